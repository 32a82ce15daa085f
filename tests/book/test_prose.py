"""Prose types no result: a number beside the name of a metric or benchmark comes from a row, or it
is part of a definition. Every chapter has the same frame, and words are standard ones.
"""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from helpers import ROOT, reading

from fairnc_book import frontier, planned
from fairnc_book.numbers import METRICS
from fairnc_utils import benchmarks

#: Plans are made of numbers: bounds, doses, predictions. They were written before there was any result.
PLANS = set((ROOT / "book/about").glob("plan*.md"))
PAGES = sorted(
    {*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "book").rglob("*.md"), ROOT / "README.md"}
    - PLANS
)

#: What prose calls metrics and benchmarks beside their names in the registries.
SPOKEN = (
    "StereoSet",
    "CrowS",
    "CrowS-Pairs",
    "SEAT",
    "AUL",
    "AULA",
    "WinoBias",
    "Winogender",
    "Bias in Bios",
    "Bias-NLI",
    "BUG",
    "TPR-1",
    "TPR-2",
    "GLUE",
    "CoLA",
    "SST-2",
    "MRPC",
    "QQP",
    "STS-B",
    "MNLI",
    "QNLI",
    "RTE",
    "WNLI",
    "SICK",
    "NC1",
    "NC2",
    "GNC2",
    "CDNV",
    "perplexity",
    "log ratio",
    "language score",
    "correlation",
)
#: Labels that are everyday words or single letters: alone they name no metric.
EVERYDAY = {
    "r",
    "p",
    "gap",
    "loss",
    "task",
    "value",
    "lean",
    "items left out",
    "classes",
    "preference",
    "definitional",
}

#: Values that belong to definitions: ideals, guessing, the ends of a scale, the level of intervals.
CONSTANTS = {"0", "1", "−1", "50", "100", "95%"}
#: Designs and thresholds, each in the words in which they may be named.
DEFINITIONS = (
    r"4,454 Wikipedia passages",
    r"2,000 test texts",
    r"10 unless said",
    r"90% interval",
    r"80% of such studies would detect \(80% power\)",
    r"18 person words",
    r"60 professions",
    r"20 held mostly by women, 20 by men, 20 by both alike",
    r"60 occupations",
    r"types? [12](?: and 2)?\b",
    r"P(?:\(neutral\))? > \.5",
    r"P\(neutral\) > \.7",
    r"is above \.[57]",
    r"P\(neutral\) above \.[57]",
    r"\.5 is about what a random map gets",
    r"15% of the (?:tokens|positions)",
    r"80% by , 10% by a random token, 10% left",
)

#: What is no prose: code, formulas (with a letter in them), roles such as {cite}, targets of links, HTML, lines of directives.
NOT_PROSE = re.compile(
    r"```.*?```|\[\([^)]*\)\]\([^)]*\)|\$\$.*?\$\$|\$(?=[^$]*[a-zA-Z\\])[^$\n]*(?:\n[^$\n]+)*?\$|\{[\w:-]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)|<[^>]*>|"
    r"^:[\w-]+:.*?$|^:::.*?$|https?://\S+",
    re.DOTALL | re.MULTILINE,
)
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=[>\s]*[-*] )|\n(?=\|)")
NUMBER = re.compile(r"(?<![\w.,])[−+-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:e[−-]?\d+)?%?(?![\w%]|\.\w)")


def _names() -> re.Pattern:
    """Every name of a metric or benchmark, however it is joined; longer ones first."""
    labels = {
        re.split(r" [(%·|]|,", label)[0] for label in (metric.label for metric in METRICS.values())
    }
    spoken = {*labels, *METRICS, *benchmarks.BENCHMARKS, *SPOKEN} - EVERYDAY
    parts = (
        re.sub(r"(?:\\?[ _-])+", "[ _-]", re.escape(name))
        for name in sorted(spoken, key=len, reverse=True)
    )
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)


NAMES = _names()


def typed(text: str) -> list[str]:
    """Paragraphs that name a metric or benchmark and type a number that no definition excuses."""
    typed_numbers = []
    for paragraph in paragraphs(text):
        left = NAMES.sub(" ", re.sub("|".join(DEFINITIONS), " ", paragraph))
        numbers = {number.rstrip(",") for number in NUMBER.findall(left)}
        if NAMES.search(paragraph) and not numbers <= CONSTANTS:
            typed_numbers.append(paragraph)
    return typed_numbers


def paragraphs(text: str) -> list[str]:
    """Paragraphs, list items and table rows without what is no prose, each on one line."""
    return [
        " ".join(part.split())
        for part in PARAGRAPH.split(NOT_PROSE.sub(" ", text.replace("\\|", "|")))
    ]


def prose(path: Path) -> Iterator[str]:
    """Texts of a page: its Markdown; in a notebook also what its code shows, which is told by
    blanks between words.
    """
    if path.suffix == ".md":
        yield path.read_text()
        return
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield cell.source
        elif "parameters" not in cell.metadata.get("tags", []):
            nodes = ast.walk(ast.parse(cell.source))
            yield from (
                node.value
                for node in nodes
                if isinstance(node, ast.Constant) and " " in str(node.value)
            )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_types_no_result(path):
    assert [number for text in prose(path) for number in typed(str(text))] == []


@pytest.mark.parametrize(
    "planted",
    [
        "UNC3 falls to .034.",
        "UNC3 falls to $.034$.",
        "After training, NC3 is 0.557 and more uniform.",
        "The masked perplexity rises by 12%.",
        "With BEC the occupation slope is −2.14 [1.44, 2.84].",
        "- On StereoSet the model prefers the stereotype in 57 of the blanks.",
        "| UNC3 | .039 | .030 |",
        "We looked at CrowS-Pairs.\nIts share of stereotypes is\n52.3.",
        "ICAT moved by +1.2 points.",
        "The TPR gap is 4 points, F1 81.",
        "Matthews correlation: 3e-2.",
        "The mean log ratio shrinks to 0.1 (15% of the tokens).",
    ],
)
def test_a_typed_result_is_found(planted):
    assert len(typed(planted)) == 1


@pytest.mark.parametrize(
    "fine",
    [
        "UNC3 is 0 in a collapsed model, NC3 is 1 at most.",
        "SS is ideally 50, LM and ICAT 100; intervals are 95%.",
        "NC2 and GNC2 need $K \\le D + 1$ with $D = 384$; UNC3 falls when $\\lambda = 10$.",
        "WinoBias has type 1 and type 2 {cite}`zhao2018gender`; see `accuracy > 0.7`.",
        "P(neutral) > .5 is a threshold; the F1 of pro sentences is not.",
        "It took 12 minutes.\n\nUNC3 is another matter.",
        "Perplexity is taken at 15% of the tokens.",
    ],
)
def test_definitions_pass(fine):
    assert typed(fine) == []


def test_every_excuse_is_needed():
    """A definition that no page states any more excuses nothing."""
    everything = "\n".join(
        part for path in PAGES for text in prose(path) for part in paragraphs(str(text))
    )
    assert [definition for definition in DEFINITIONS if not re.search(definition, everything)] == []


def test_code_that_shows_a_number_is_looked_at():
    captions = [str(text) for path in PAGES if path.suffix == ".ipynb" for text in prose(path)]
    assert any("95% interval" in text for text in captions)


# ---------------------------------------------------------------- the frame of a chapter


def contents() -> list[tuple[bool, str]]:
    """Pages in the order of the table of contents, and whether each is a numbered chapter."""
    parts = yaml.safe_load((ROOT / "book/_toc.yml").read_text())["parts"]
    return [
        (bool(part.get("numbered")), page["file"]) for part in parts for page in part["chapters"]
    ]


def source(page: str) -> Path:
    """Where a page of the table of contents is written."""
    if page.startswith("notebooks/"):
        return ROOT / f"{page}.ipynb"
    return ROOT / f"book/{page}.md"


def markdown(path: Path) -> str:
    """The Markdown of a page."""
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


CONTENTS = contents()
NUMBERED = [place for place, (numbered, _) in enumerate(CONTENTS) if numbered]
OVERVIEW = re.compile(
    r"\A(?:\(.*\)=\n)?# .+\n\n"
    r"> \*\*Overview\*\*\n>\n"
    r"> - \*\*You learn:\*\* (?:.+\n)(?:>   .+\n)*"
    r"> - \*\*Time:\*\* about \d+ minutes to read\.\n"
    r"> - \*\*You need:\*\* (?:.+\n)(?:>   .+\n)*\n"
)

each_chapter = pytest.mark.parametrize("place", NUMBERED, ids=lambda place: CONTENTS[place][1])


@each_chapter
def test_chapter_opens_with_an_overview_and_a_question(place):
    text = markdown(source(CONTENTS[place][1]))
    overview = OVERVIEW.match(text)
    assert overview
    assert text[overview.end() :].startswith("**Question.** ")


@each_chapter
def test_chapter_closes_with_summary_limits_and_the_next_page(place):
    page, following = source(CONTENTS[place][1]), source(CONTENTS[place + 1][1])
    text = markdown(page)
    assert "\n## Summary\n" in text
    assert re.search(r"\n##+ Limits\n", text)
    last = text.rstrip().rpartition("\n\n")[2]
    assert last.startswith("**Next:** ")
    (link,) = re.findall(r"\]\(([^)]+)\)", last)
    assert (page.parent / link).resolve() == following


# ---------------------------------------------------------------- words

#: Dialect and riddles → what a stranger understands.
RIDDLES = {
    r"What (?:it|they) cannot(?:\.|\*)": "what it cannot show",
    r"power \.8": "smallest effect detectable with 80% power",
    r"fairer (?:inside|in use)": "intrinsically fairer, fairer in downstream tasks",
    r"Fairness (?:inside|in use)": "intrinsic, extrinsic fairness",
    r"\bdearest\b": "most expensive",
    r"(?:contradicts|supports)(?:\*\*)? that\b": "contradicts the claim that",
    r"leaves? (?:zero|0) out|leave out 0|intervals? without 0": "the interval excludes zero",
    r"make both ends meet": "say what is meant",
    r"a short way indeed": "say what is meant",
    r"cannot acquit|is an anecdote|never fires": "say what is meant",
    r"off (?:their|the|its) ideal": "away from the ideal",
    r"drawn by lot": "drawn at random",
    r"looked-down-on": "stigmatized",
    r"\bfor certain\b": "significantly, clearly",
    r"speaks? worse|says less of anything": "is a worse language model",
    r"not shown kept": "not shown to be kept",
    r"goes on from": "continues",
}

#: Where readers meet text that code makes; comments and docstrings are read by others.
TEXTS = sorted((ROOT / "fairnc_book").rglob("*.py"))


def shown(path: Path) -> Iterator[str]:
    """Strings of a module that a reader may see: all but docstrings."""
    tree = ast.parse(path.read_text())
    bodies = (node.body for node in ast.walk(tree) if hasattr(node, "body"))
    first = [
        body[0].value
        for body in bodies
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in first:
            yield node.value


def riddles(text: str) -> list[str]:
    """Words of the text that say less than they should."""
    return [match[0] for riddle in RIDDLES for match in re.finditer(riddle, text)]


@pytest.mark.parametrize("path", [*PAGES, *TEXTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_standard_ones(path):
    texts = shown(path) if path.suffix == ".py" else prose(path)
    assert [riddle for text in texts for riddle in riddles(" ".join(str(text).split()))] == []


@pytest.mark.parametrize(
    "riddle", ["**What it cannot.** Many items", "finds with power .8", "which leaves zero out"]
)
def test_a_riddle_is_found(riddle):
    assert len(riddles(riddle)) == 1


# ---------------------------------------------------------------- findings


def written(node: ast.expr) -> str:
    """A text as code writes it, with one sign for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "▢" for part in node.values
        )
    return str(getattr(node, "value", ""))


def findings(path: Path) -> Iterator[str]:
    """Findings and answers that a notebook shows, as they are written."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield from re.findall(
                r"^\*\*(?:Finding|Answer)\..*(?:\n.+)*", cell.source, re.MULTILINE
            )
        else:
            texts = map(written, filter(_text, ast.walk(ast.parse(cell.source))))
            yield from (text for text in texts if re.match(r"\*\*(?:Finding|Answer)\.", text))


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr | ast.Constant)


@pytest.mark.parametrize(
    "path", [path for path in PAGES if path.suffix == ".ipynb"], ids=lambda path: path.stem
)
def test_no_finding_opens_with_a_number(path):
    assert [text for text in findings(path) if reading.LONE.search(reading.opening(text))] == []


@pytest.mark.parametrize(
    ("finding", "first"),
    [
        ("**Finding.** Training lowers it. By 3.", "Training lowers it."),
        ("**Answer.** NC3 with `x 3` falls: 4.", "NC3 with falls:"),
        ("No finding. 3", ""),
    ],
)
def test_the_opening_of_a_finding_is_its_first_sentence(finding, first):
    assert reading.opening(finding) == first


def test_a_number_in_an_opening_is_found():
    assert reading.LONE.search(reading.opening("**Finding.** Of 3 models none is fairer."))
    assert reading.LONE.search(reading.opening("**Finding.** It falls by −0.2 [−0.3, −0.1]."))
    assert not reading.LONE.search(
        reading.opening("**Finding.** NC3 and int8 under prune@0.3 do nothing.")
    )


# ---------------------------------------------------------------- reading ease


def test_reading_ease_tells_plain_from_hard():
    plain = "The model is not fairer. It does as it did."
    hard = (
        "Heterogeneous intersectional operationalizations necessitate multidimensional "
        "recalibration of methodologically underdetermined generalizations."
    )
    assert reading.ease(plain) > 80 > 0 > reading.ease(hard)
    assert reading.ease("0.3 [0.1, 0.5]") == 100
    assert reading.ease("The cat sat on it 0.3 [0.1, 0.5].") == reading.ease("The cat sat on it.")


def test_captions_are_easy_to_read():
    """Captions of tables and figures as notebooks write them."""
    captions = [
        written(keyword.value)
        for path in PAGES
        if path.suffix == ".ipynb"
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "caption" and _text(keyword.value)
    ]
    assert len(captions) > 80
    assert statistics.median(map(reading.ease, captions)) >= 50


def test_findings_of_the_second_edition_are_easy_to_read(planned_findings):
    assert statistics.median(map(reading.ease, planned_findings)) >= 50


def test_findings_of_the_second_edition_open_without_a_number(planned_findings):
    assert [text for text in planned_findings if reading.LONE.search(reading.opening(text))] == []
    assert all(map(reading.opening, planned_findings))


@pytest.fixture(scope="module")
def planned_findings() -> list[str]:
    """Sentences on the recorded runs of the second edition; intervals of few draws serve as well."""
    effects = planned.evaluate(planned.recorded_studies(causal=False), resamples=20)
    families = [planned.finding(effects, family.key) for family in planned.FAMILIES]
    others = [
        frontier.price(effects, method="cda"),
        frontier.names_back(effects, method="cda"),
        frontier.explained(effects, method="cda"),
        frontier.on_rare_occupations(effects, planned.arms("swap", method="cda")),
    ]
    return [*families, planned.dose_finding(effects), *(f"**Finding.** {text}" for text in others)]
