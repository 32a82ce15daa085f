"""Prose types no result: a number beside the name of a metric or benchmark comes from a row, or it
is part of a definition.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from helpers import ROOT

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
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*[-*] )|\n(?=\|)")
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
