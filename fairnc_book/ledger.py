"""The ledger: what each system beside the main paper claims, what is found here, and what more would take.

One entry a system. Its numbers are looked up in result rows of the untrained model, recorded ones before
live ones, so that a claim without a run says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fairnc_book import tables
from fairnc_book.numbers import METRICS, UNTRAINED
from fairnc_utils.runs.rows import recorded, select

EMBEDDED, CAUSAL = "models/minilm-mlm", "smollm2"

NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Number:
    """A metric and where its rows are: ``benchmark``, ``split``, ``axis`` and what else tells them apart;
    ``of``: what it is a number of, for people.
    """

    metric: str
    of: str
    where: Mapping[str, str]
    model: str = EMBEDDED

    def row(self, results: pd.DataFrame) -> pd.Series | None:
        """Its row of the untrained model, a recorded one before a live one, the last that was made;
        None: not run.
        """
        where = {"method": UNTRAINED.method} | dict(self.where)
        where |= {"metric": self.metric, "model": self.model}
        for column, value in where.items():
            results = results[results[column] == value]
        results = results[results["variant"] != "difference"]
        if results.empty:
            return None
        first = (results["origin"] == "recorded").to_numpy()
        made = results.assign(first=first).sort_values(["first", "created"], kind="stable")
        return made.iloc[-1]

    def said(self, results: pd.DataFrame) -> str:
        """What it is, its value with its interval, the number of units and the origin."""
        row = self.row(results)
        if row is None:
            return NOT_RUN
        units = "" if np.isnan(row["n"]) else f", n = {row['n']:.0f}"
        label = METRICS[self.metric].label
        return f"{label} of {self.of}: {tables.interval(row)}{units}, {row['origin']}"


@dataclass(frozen=True)
class Entry:
    """A ``system`` with its ``source``, a key of the bibliography; what it ``claims``; the ``numbers``
    that are found and the ``controls`` that stand beside them; what would be needed for ``more``.
    ``instead``: what answers it where no single number can.
    """

    system: str
    source: str
    claims: str
    numbers: tuple[Number, ...]
    controls: tuple[Number, ...]
    more: str
    model: str = field(default=EMBEDDED)
    instead: str = ""


def _on(
    benchmark: str,
    split: str,
    axis: str,
    metric: str,
    of: str,
    *,
    model: str = EMBEDDED,
    **where: str,
) -> Number:
    where = {"benchmark": benchmark, "split": split, "axis": axis} | where
    return Number(metric, of, where, model)


ENTRIES = (
    Entry(
        "Contextual word-level bias",
        "tan2019assessing",
        "Race is associated more than gender, and both together more than either.",
        (
            _on("seat_word", "intersection", "white_black_men", "effect_size", "race, men"),
            _on("seat_word", "intersection", "white_men_women", "effect_size", "gender, white"),
            _on("seat_word", "intersection", "white_men_black_women", "effect_size", "both"),
        ),
        (
            _on("seat_word", "intersection", "white_men_black_women", "p_words", "both"),
        ),
        "names that more tokenizers keep whole, models of several sizes",
    ),
    Entry(
        "Implicit and decision bias",
        "bai2025explicitly",
        "Models that refuse explicit bias still associate by stereotype, and association predicts decision.",
        (
            _on("iat", "words", "all", "association", "eight stereotypes"),
            _on("unqover", "occupations", "gender", "decision_size", "women against men"),
        ),
        (
            _on("iat", "control", "nonce", "association", "words that mean nothing"),
            _on("unqover", "control", "gender", "decision_size", "pairs of one gender"),
        ),
        "a model that follows instructions, from about a billion parameters on",
    ),
    Entry(
        "UnQover",
        "li2020unqovering",
        "Models decide between people by ethnicity and religion once order and negation are taken out.",
        (
            _on("unqover", "sample", "ethnicity", "decision", "stigmatized against majority"),
            _on("unqover", "sample", "religion", "decision", "stigmatized against majority"),
        ),
        (
            _on("unqover", "sample", "ethnicity", "order_error", "the order of the people"),
            _on("unqover", "sample", "ethnicity", "opposite_error", "the opposite activity"),
        ),
        "models that read a negation",
    ),
    Entry(
        "BBQ",
        "parrish2022bbq",
        "Models answer by stereotype where a text does not tell, and more often err where it tells against it.",
        (
            _on("bbq", "sample", "all", "bias_ambiguous", "eleven categories", model=CAUSAL),
            _on("bbq", "sample", "all", "bias_disambiguated", "eleven categories", model=CAUSAL),
        ),
        (
            _on("bbq", "sample", "all", "accuracy_disambiguated", "the text", model=CAUSAL),
            _on("bbq", "no_context", "all", "accuracy_disambiguated", "no text", model=CAUSAL),
        ),
        "a causal model that finds an answer which the text gives",
        CAUSAL,
    ),
    Entry(
        "CALM",
        "gupta2023calm",
        "Answers depend on the group that a name is typical of, in larger models more.",
        (
            _on("gap_names", "test", "names", "name_range", "five groups"),
            _on("gap_names", "test", "names", "calm", "five groups"),
        ),
        (
            _on("gap_names", "test", "names", "name_range_null", "groups at random"),
            _on("gap_names", "mismatched", "names", "name_accuracy", "names of the other gender"),
        ),
        "several sizes of one family; the 224 templates, which carry no licence",
    ),
    Entry(
        "Subtler biases",
        "kamruzzaman2024subtler",
        "Models generalize from age, beauty, nationality and institution to good and bad traits.",
        (
            _on("valence", "descriptors", "beauty", "valence", "unattractive against attractive"),
            _on("valence", "descriptors", "age", "valence", "old against young"),
        ),
        (
            _on("valence", "control", "nonce", "valence", "words that mean nothing"),
            _on("valence", "control", "planted", "valence", "unkind against kind people"),
        ),
        "the items of the paper, which ask for a choice of three",
    ),
    Entry(
        "BiasLens",
        "gao2025biaslens",
        "The bias of a concept, read off concept vectors, agrees with what tests say (Spearman above .85).",
        (
            _on("concept_bias", "as_written", "gender", "follows_size_sentences", "sentences"),
            _on("concept_bias", "as_written", "gender", "follows_means", "class means"),
        ),
        (
            _on("concept_bias", "gender", "gender", "follows_size_sentences", "balanced sentences"),
            _on("concept_bias", "as_written", "gender", "cav_accuracy", "held-out sentences"),
        ),
        "models of several billion parameters, whose concepts are more than words",
    ),
    Entry(
        "Labour statistics",
        "gorti2024unboxing",
        "Thirty-two labour facts in the prompt lower bias by 65% on average.",
        (
            _on("occupation_calibration", "bls", "all", "calibration_error", "no facts"),
            _on("occupation_calibration", "facts_32", "all", "calibration_error", "32 facts"),
        ),
        (
            _on("occupation_calibration", "reversed_32", "all", "calibration_error", "32 reversed"),
            _on("occupation_calibration", "placebo_32", "all", "calibration_error", "32 sentences"),
        ),
        "a model that reads numbers; race shares by occupation, which no offline source has",
    ),
    Entry(
        "GECO",
        "wilming2024geco",
        "Explanations lie more on the words that truly differ when embeddings are trained anew.",
        (
            _on("explanations", "test", "gradient", "mass_accuracy", "new embeddings", method="new_embeddings"),
        ),
        (
            _on("explanations", "test", "random", "mass_accuracy", "relevance by lot", method="new_embeddings"),
        ),
        "the sentences of the paper, which carry labels of annotators",
    ),
    Entry(
        "Bias index (LLMBI)",
        "oketunji2023llmbi",
        "One weighted index can state how biased a model is.",
        (),
        (),
        "weights that somebody answers for",
        instead="the ranks of the recorded methods under drawn weights, in the chapter of tables",
    ),
    Entry(
        "Politics by size",
        "exler2025large",
        "Bias towards left parties grows with the number of parameters.",
        (),
        (),
        "several sizes of one family, and the theses with the parties' answers",
        instead="nothing: models of this size cannot test it",
    ),
    Entry(
        "Survey of bias and fairness",
        "gallegos2024bias",
        "Metrics, data sets and mitigations fall into taxonomies (no experiment).",
        (),
        (),
        "what its empty cells name",
        instead="the page of what the book covers, cell by cell",
    ),
)  # fmt: skip


#: Profiles of the runs whose rows are looked up.
EDITIONS = ("groups", "concepts")


def recorded_rows() -> pd.DataFrame:
    """The result rows that come with the book and that an entry may name."""
    return select(recorded(), profile=EDITIONS)


def of(*sources: str) -> tuple[Entry, ...]:
    """The entries with these sources."""
    return tuple(entry for entry in ENTRIES if entry.source in sources)


def markdown(results: pd.DataFrame, *, entries: Iterable[Entry] = ENTRIES) -> str:
    """One row a system: what it claims, what is found, its control, and what more would take. A Markdown
    table, in which the book turns sources into citations.
    """
    rows = ["| system | claims | model | found here | control | for more |", "|" + "---|" * 6]
    for entry in entries:
        cells = (
            f"{entry.system} {tables.cited(entry.source)}",
            entry.claims,
            f"`{entry.model}`",
            _lines(entry.numbers, results) or entry.instead,
            _lines(entry.controls, results),
            entry.more,
        )
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _lines(numbers: tuple[Number, ...], results: pd.DataFrame) -> str:
    return "<br>".join(dict.fromkeys(number.said(results) for number in numbers))


def finding(results: pd.DataFrame, *, entries: Iterable[Entry] = ENTRIES) -> str:
    """How many systems have a number here, and which have none; those that no number can answer are not
    counted.
    """
    asked = [entry for entry in entries if entry.numbers]
    missing = [e.system for e in asked if all(n.row(results) is None for n in e.numbers)]
    lead = "Every system that a number can answer has one here."
    if missing:
        most = 2 * len(missing) > len(asked)
        lead = f"{'Most' if most else 'Some'} of these systems have no number here yet."
    said = f"{lead} {len(asked) - len(missing)} of {len(asked)} have one."
    return f"{said} Not run yet: {', '.join(missing)}." if missing else said
