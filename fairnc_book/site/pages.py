"""What the theme's pages lack: names that agree with what is seen, one title a page with a picture for
sharing, buttons that open a notebook, how to cite, and nothing that no page uses.

A chapter can be opened in JupyterLab on the reader's own machine (``make lab``). Where the book is
published from a repository on GitHub, named by ``FAIRNC_REPOSITORY`` (its address) and
``FAIRNC_BRANCH``, two more ways are offered: Colab, which opens the notebook that was published
with the page, and a container in the browser, which ``.devcontainer`` describes.
"""

import json
import os
import re
from html import escape, unescape
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from fairnc_utils.runs import checkout

#: Markup of the theme → what stands there instead. A name that differs from the visible text misleads voice control.
MENDED = (
    (re.compile(r'(<button class="[^"]*search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    # The head of a printed page repeats the title; the page has one heading of the first level.
    (
        re.compile(r'(<div id="jb-print-docs-body"[^>]*>\s*)<h1>(.*?)</h1>', re.DOTALL),
        r'\1<p class="printed-title">\2</p>',
    ),
    (re.compile(r'(<meta name="viewport"[^>]*>)\s*<meta name="viewport"[^>]*>'), r"\1"),
    # A notebook is saved, not shown as text.
    (re.compile(r'(<a href="[^"]*_sources/[^"]*\.ipynb") target="_blank"'), r"\1 download"),
)

#: Where ``make lab`` serves the notebooks.
LAB = "http://localhost:8888/lab/tree"


#: Files of the theme below ``_static`` that no page loads: source maps, other languages, fonts that are there in smaller form.
UNUSED = ("**/*.map", "locales/**/*.*", "vendor/fontawesome/webfonts/*.ttf")

#: Branch that `.github/workflows/pages.yml` publishes the pages and their notebooks on.
PUBLISHED = "gh-pages"

#: First cell of a published notebook.
INSTALL = """\
# Only where the project is not installed, as in Colab; it takes some minutes. On your own machine, `make lab` has everything.
!git clone --quiet --depth 1 --branch {branch} {address} project
%pip install --quiet --editable ./project[book]
%cd project"""


#: The theme's pictures of icons, of which a book uses some dozen in two thousand, and one of them in it.
ICONS = "_static/scripts/fontawesome.js"
_ICON = re.compile(
    r'(?:"(?P<quoted>[\w-]+)"|(?P<name>[\w$]+)):\[\d+,\d+,\[(?P<also>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)


def icons_of(script: str, used: set[str]) -> str:
    """The script with those icons alone that are used, by name or by another name of theirs."""

    def keep(icon: re.Match) -> str:
        names = {icon["quoted"] or icon["name"], *re.findall(r'"([\w-]+)"', icon["also"])}
        return icon.group() if names & used else ""

    return _ICON.sub(keep, script)


def _leave_icons(file: Path, used: set[str]) -> bool:
    """Take the icons that are not used out of the theme's script; whether there were any."""
    if not file.is_file():
        return False
    script = file.read_text(encoding="utf-8")
    fewer = icons_of(script, used)
    file.write_text(fewer, encoding="utf-8")
    return len(fewer) < len(script)


def mend(page: str) -> tuple[str, set[re.Pattern]]:
    """A page of the theme with its flaws mended, and those that it had."""
    had = set()
    for flaw, instead in MENDED:
        page, count = flaw.subn(instead, page)
        had |= {flaw} if count else set()
    return page, had


def finish(app, exception) -> None:
    """Mend all pages; make the notebooks for download what a reader would run; take away what no
    page loads.

    What is looked for and nowhere found gives a warning: the theme has changed, and its pages have
    flaws of another form.
    """
    if exception or app.builder.format != "html":
        return
    site, missing = Path(app.outdir), {flaw for flaw, _ in MENDED}
    icons, texts = set(), {}
    for path in site.rglob("*.html"):
        page, had = mend(path.read_text(encoding="utf-8"))
        path.write_text(page, encoding="utf-8")
        missing -= had
        icons |= set(re.findall(r"\bfa-([a-z\d-]+)", page))
        name = path.relative_to(site).with_suffix("").as_posix()
        if name in app.env.found_docs:
            texts[name] = prose(page)
    for path in (*site.glob("_static/*.js"), *site.glob("_static/scripts/*theme*.js")):
        icons |= set(re.findall(r"\bfa-([a-z\d-]+)", path.read_text(encoding="utf-8")))
    missing |= set() if _leave_icons(site / ICONS, icons) else {ICONS}
    found = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    (site / "_static").mkdir(exist_ok=True)
    (site / "_static" / SEARCHED).write_text(f"window.BookTexts = {found};\n", encoding="utf-8")
    for path in (site / "_sources").rglob("*.ipynb"):
        nbformat.write(for_readers(nbformat.read(path, as_version=4)), path)
    for pattern in UNUSED:
        files = list((site / "_static").glob(pattern))
        missing |= set() if files else {pattern}
        for path in files:
            path.unlink()
    for what in missing:
        logging.getLogger(__name__).warning(
            "no page has %s any more: see fairnc_book.site.pages", what
        )


#: Texts of the pages, for the page of search alone; how much of each, in characters.
SEARCHED = "texts.js"
_KEPT_OF_TEXT = 20_000

_ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
_SECTION = re.compile(r'<section\b[^>]*\bid="([^"]+)"[^>]*>')
_HEADING = re.compile(r"<h[2-6][^>]*>(.*?)</h[2-6]>", re.DOTALL)
_NO_PROSE = re.compile(
    r"<(script|style|pre|nav|svg|table|noscript)\b.*?</\1>|<h1.*?</h1>|<a class=\"headerlink\".*?</a>|<[^>]+>",
    re.DOTALL,
)


def prose(page: str) -> list[tuple[str, str, str]]:
    """What a page says in plain text, without code and tables: anchor, heading and text of each
    section. The first, with the page's title, has neither anchor nor heading.
    """
    article = _ARTICLE.search(page)
    if not article:
        return []
    before, *parts = _SECTION.split(article.group(1))
    sections, room = [], _KEPT_OF_TEXT
    for anchor, part in zip(parts[::2], parts[1::2], strict=True):
        heading = _HEADING.search(part) if sections else None
        text = _plain(part[: heading.start()] + part[heading.end() :] if heading else part)[:room]
        room -= len(text)
        sections.append(
            (anchor if heading else "", _plain(heading.group(1)) if heading else "", text)
        )
    return sections or [("", "", _plain(before)[:room])]


def _plain(markup: str) -> str:
    """The text of a piece of a page."""
    text = unescape(_NO_PROSE.sub(" ", markup))
    return re.sub(r" (?=[.,;:!?)\]])|(?<=[\[(]) ", "", " ".join(text.split()))


def repository() -> tuple[str, str] | None:
    """Address and branch of the repository that the book is published from, if it is named and one
    of GitHub.
    """
    address = os.environ.get("FAIRNC_REPOSITORY", "")
    return (
        (address, os.environ.get("FAIRNC_BRANCH", "main"))
        if urlsplit(address).hostname == "github.com"
        else None
    )


def for_readers(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with this build's parameters and without outputs: the page has those, and they
    would double the book.

    Where it can be opened far from the project, its first cell installs that.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if published := repository():
        install = INSTALL.format(address=published[0], branch=published[1])
        notebook.cells.insert(0, nbformat.v4.new_code_cell(install, id="install"))
    return notebook


def name_repository(app, config) -> None:
    """Let the theme link to the repository, where one is named."""
    if address := os.environ.get("FAIRNC_REPOSITORY"):
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": os.environ.get("FAIRNC_BRANCH", "main"),
            "path_to_docs": "",
            "use_repository_button": True,
        }


def ways_to_open(pagename: str) -> list[dict]:
    """Buttons that open the notebook of a page."""
    chapter = pagename.removeprefix("notebooks/")
    ways = [
        {
            "text": "JupyterLab here",
            "tooltip": "Open on this machine, while `make lab` runs",
            "icon": "fas fa-laptop",
            "url": f"{LAB}/{chapter}.ipynb",
        }
    ]
    if published := repository():
        project = urlsplit(published[0]).path.strip("/").removesuffix(".git")
        ways += [
            {
                "text": "Colab",
                "tooltip": "Open in Colab; the first cell installs the project",
                "icon": "fas fa-cloud",
                "url": f"https://colab.research.google.com/github/{project}/blob/{PUBLISHED}/_sources/{pagename}.ipynb",
            },
            {
                "text": "In the browser",
                "tooltip": "The whole project in a container; then `make lab`",
                "icon": "fas fa-box",
                "url": f"https://codespaces.new/{project}/tree/{published[1]}",
            },
        ]
    return [{"type": "link"} | way for way in ways]


def add_ways(app, pagename, templatename, context, doctree) -> None:
    """Add to a chapter's buttons those that open its notebook, and to the search what stands around a
    word that was found.
    """
    if pagename == "search":
        app.add_js_file(SEARCHED)
        app.add_js_file("snippets.js")
    if pagename.startswith("notebooks/"):
        group = {
            "type": "group",
            "label": "launch-buttons",
            "icon": "fas fa-rocket",
            "tooltip": "Open it",
        }
        context["header_buttons"].insert(0, group | {"buttons": ways_to_open(pagename)})


#: Picture for sharing: its place in the book, and what it shows.
PICTURE = (
    "_static/headline.png",
    "How well the means of gender words agree with their embeddings, beside control words.",
)

#: A description is cut to what search engines and messengers show.
DESCRIBED = 160


def published_at() -> str:
    """Where the pages are published, with a slash at the end; empty where nobody knows."""
    if (named := repository()) is None:
        return ""
    owner, _, project = urlsplit(named[0]).path.strip("/").removesuffix(".git").partition("/")
    return f"https://{owner.lower()}.github.io/{project}/"


def description(doctree) -> str:
    """What a page is about: its question, else its first paragraph, cut at a word."""
    if doctree is None:
        return ""
    texts = [
        " ".join(paragraph.astext().split())
        for paragraph in doctree.findall(nodes.paragraph)
        if not isinstance(paragraph.parent, nodes.footnote | nodes.entry)
    ]
    text = next((text for text in texts if text.startswith("Question.")), (texts or [""])[0])
    text = text.removeprefix("Question.").strip()
    return text if len(text) <= DESCRIBED else f"{text[:DESCRIBED].rpartition(' ')[0]} …"


def describe(app, pagename, templatename, context, doctree) -> None:
    """Add what a search engine and a message that shares the page show of it; name the book once."""
    title = re.sub(r"<[^>]+>", "", context.get("title") or "")
    if title == app.config.html_title:
        context["docstitle"] = ""
    if doctree is None:
        return
    metas = doctree.findall(nodes.meta)
    said = next((meta["content"] for meta in metas if meta.get("name") == "description"), "")
    picture, alt = PICTURE
    about = escape(said or description(doctree), quote=True)
    shared = {
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:title": escape(title, quote=True),
        "og:description": about,
        "og:image": f"{published_at() or '../' * pagename.count('/')}{picture}",
        "og:image:alt": alt,
    }
    if published_at():
        shared["og:url"] = f"{published_at()}{pagename}.html"
    tags = [f'<meta property="{name}" content="{text}" />' for name, text in shared.items()]
    if not said:
        tags.append(f'<meta name="description" content="{about}" />')
    context["metatags"] = "\n".join((context.get("metatags") or "", *tags))


class Citation(SphinxDirective):
    """How to cite the project and the paper that it tests, and under which licence it is to be had,
    from ``CITATION.cff``; where it lies, if a repository is named.
    """

    def run(self) -> list[nodes.Node]:
        file = checkout.root() / "CITATION.cff"
        self.env.note_dependency(str(file))
        citation = yaml.safe_load(file.read_text(encoding="utf-8"))
        authors = " and ".join(author["name"] for author in citation["authors"])
        address = os.environ.get("FAIRNC_REPOSITORY", "")
        where = (
            f"The repository is [{urlsplit(address).path.strip('/')}]({address})."
            if address
            else ""
        )
        lines = [
            f"{citation['message']} {authors} ({self.config.copyright}). *{citation['title']}*, version "
            f"{citation['version']}. The paper: {{cite:t}}`xu2025collapsed`. The file `CITATION.cff` has both "
            "for reference managers.",
            "",
            f"Licence of code, text and recorded scores: {citation['license']}. {where}".strip(),
        ]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, str(file)), 0, holder)
        return holder.children


#: Extensions of Jupyter Book that do not say whether several processes may read pages: one numbers sections when all are
#: read, one is about LaTeX.
SILENT = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")


def read_side_by_side(app, env, docnames) -> None:
    """Say it for those that are silent, without which Sphinx reads one page after the other."""
    for name in set(SILENT) & set(app.extensions):
        app.extensions[name].parallel_read_safe = True


def setup(app) -> dict:
    """Register with Sphinx."""
    app.add_directive("citation", Citation)
    app.connect("env-before-read-docs", read_side_by_side)
    app.connect("config-inited", name_repository)
    app.connect("html-page-context", add_ways, priority=900)  # after the theme's own buttons
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
