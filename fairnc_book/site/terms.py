"""The first use of each term of the glossary on a page links there, with the definition on hover.

Terms are the glossary's definition lists and the names of metrics that stand in its tables as a word of
capitals (NC3, ICAT). They are found in prose as exact words or simple plurals, not in headings, code,
links, tables, captions or signatures. A term that is also a common word of other meaning is left
out (``COMMON``).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from docutils import nodes
from sphinx import addnodes

#: Page of the glossary; and pages that are lists or a document kept word by word.
GLOSSARY = "about/glossary"
LEFT_OUT = re.compile(r"about/(glossary|references|plan.*)|search|api/.*")

#: Terms whose word means something else as often: *the head of a table*, *at every level*.
COMMON = {"head", "level", "random", "survival", "student", "teacher"}

#: A definition is cut to so many characters on hover.
SHOWN = 240

#: Name of a metric: a word with two capitals at least.
_METRIC = re.compile(r"[A-Z]+[A-Z\d]+")

#: In these no term is linked.
_WITHIN = (
    nodes.title,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.table,
    nodes.caption,
    nodes.raw,
    nodes.math,
    nodes.math_block,
    nodes.term,
    nodes.rubric,
    addnodes.desc,
    addnodes.pending_xref,
    addnodes.compact_paragraph,
)

#: LaTeX of a definition → what a hover shows, which sets no formulas.
_PLAIN = (
    (re.compile(r"\\(?:operatorname|text|mathrm)\{([^}]*)\}"), r"\1"),
    (re.compile(r"\\(?:lVert|rVert)"), "‖"),
    (re.compile(r"\\,|\\ |~"), " "),
    (re.compile(r"\\lambda"), "λ"),
    (re.compile(r"\\mu"), "μ"),
    (re.compile(r"\\cdot"), "·"),
    (re.compile(r"\\(?=[a-z])"), ""),
    (re.compile(r"[{}]"), ""),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class Term:
    """A term of the glossary, its definition in plain text, and its anchor there."""

    word: str
    definition: str
    anchor: str

    @property
    def pattern(self) -> str:
        """What finds it: its words with any space between, a first letter of either size."""
        first, rest = self.word[0], re.escape(self.word[1:]).replace(r"\ ", r"\s+")
        if _METRIC.fullmatch(self.word):
            return re.escape(self.word)
        return f"[{first.lower()}{first.upper()}]{rest}(?:s|es)?"


def anchor(word: str) -> str:
    """Id of a term on the page of the glossary."""
    return "term-" + re.sub(r"\W+", "-", word.lower()).strip("-")


def plain(text: str) -> str:
    """A definition as a hover shows it."""
    for latex, instead in _PLAIN:
        text = latex.sub(instead, text)
    text = text.strip().removesuffix(".")
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rpartition(' ')[0]} …"


def _text(definition: nodes.Element) -> str:
    """What a definition says, without its sources, which are keys until they are resolved."""
    said = definition.deepcopy()
    for source in list(said.findall(addnodes.pending_xref)):
        if source.get("refdomain") == "cite":
            source.parent.remove(source)
    return said.astext()


def of_glossary(glossary: nodes.document) -> list[Term]:
    """The terms of the glossary, the longest first; each gets its anchor in the document."""
    found: dict[str, Term] = {}
    for holder, words, definition in (*_listed(glossary), *_metrics(glossary)):
        for word in words:
            if word in COMMON or word in found:
                continue
            found[word] = Term(word, plain(definition), anchor(word))
            if anchor(word) not in holder["ids"]:
                holder["ids"].append(anchor(word))
    return sorted(found.values(), key=lambda term: -len(term.word))


def _listed(glossary: nodes.document) -> Iterator[tuple[nodes.Element, list[str], str]]:
    for item in glossary.findall(nodes.definition_list_item):
        definition = _text(next(item.findall(nodes.definition)))
        for term in item.findall(nodes.term):
            names = [text for text in term.children if isinstance(text, nodes.Text)]
            words = ", ".join(names).split(",")
            yield term, [word.strip() for word in words if len(word.strip()) > 2], definition


def _metrics(glossary: nodes.document) -> Iterator[tuple[nodes.Element, list[str], str]]:
    for row in glossary.findall(nodes.row):
        name, definition, *_ = (*row.children, None)
        if definition is None or name.next_node(nodes.Text) is None:
            continue
        words = re.split(r"[\s(),]+", name.next_node(nodes.Text))
        if words and _METRIC.fullmatch(words[0]):
            yield name, [words[0]], _text(definition)


def link(document: nodes.document, terms: list[Term], address: str) -> None:
    """Link the first use of each term in a page's prose. ``address``: of the glossary, from the page."""
    left = {term.word: term for term in terms}
    for text in list(document.findall(nodes.Text)):
        if not left:
            return
        if _is_prose(text):
            _link_in(text, left, address)


def _is_prose(text: nodes.Text) -> bool:
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, _WITHIN):
            return False
        in_paragraph |= isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def _link_in(text: nodes.Text, left: dict[str, Term], address: str) -> None:
    """Replace a text by itself with links to the terms that are ``left``; takes them from there."""
    rest, parts = str(text), []
    while found := _next(rest, left):
        match, term = found
        del left[term.word]
        parts += [nodes.Text(rest[: match.start()])] * bool(match.start())
        reference = nodes.reference(
            "",
            match.group(),
            internal=True,
            refuri=f"{address}#{term.anchor}",
            reftitle=term.definition,
            classes=["term"],
        )
        parts.append(reference)
        rest = rest[match.end() :]
    if parts:
        parts += [nodes.Text(rest)] * bool(rest)
        text.parent.replace(text, parts)


def _next(text: str, left: dict[str, Term]) -> tuple[re.Match, Term] | None:
    """The first use of any term that is left; of two that begin together the longer one."""
    every = [
        (match, term)
        for term in left.values()
        if (match := re.search(rf"(?<![\w-]){term.pattern}(?![\w-])", text))
    ]
    return min(every, key=lambda each: (each[0].start(), -len(each[1].word)), default=None)


def mark(app, document: nodes.document) -> None:
    """Give the glossary's terms their anchors."""
    if app.env.docname == GLOSSARY:
        of_glossary(document)


def resolve(app, document: nodes.document, docname: str) -> None:
    """Link the terms of a page that is about to be written."""
    if app.builder.format != "html" or LEFT_OUT.fullmatch(docname):
        return
    if GLOSSARY not in app.env.found_docs:
        return
    if not hasattr(app, "terms_of_glossary"):
        app.terms_of_glossary = of_glossary(app.env.get_doctree(GLOSSARY))
    link(document, app.terms_of_glossary, app.builder.get_relative_uri(docname, GLOSSARY))


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("doctree-read", mark)
    app.connect("doctree-resolved", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
