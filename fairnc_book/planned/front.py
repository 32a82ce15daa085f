"""The front page's answer: a short one in plain words, and a strip of verdicts, one row a question."""

from collections.abc import Mapping, Sequence

import pandas as pd

from fairnc_book.planned.data import (
    DOSED,
    EMBEDDED,
    KEPT,
    MAIN_DOSE,
    OVER_BASES,
    SLOPE,
    THRESHOLDS,
    TOTAL,
    collapse,
)
from fairnc_book.planned.decide import effect
from fairnc_book.planned.predictions import CAME
from fairnc_book.planned.report import FAIRER, called
from fairnc_book.planned.sentences import lost_by
from fairnc_book.verdicts import Verdict
from fairnc_utils.errors import listed
from fairnc_utils.runs.rows import select
from fairnc_utils.stats import side

#: Treatments that enforce neural collapse: of its properties one, or two.
ENFORCING = ("uniform", "both")

#: Spread of the alignment of gender words, and the two other measures of their collapse.
_SPREAD = collapse("unc3", THRESHOLDS[1])
_COLLAPSE = (_SPREAD, collapse("nc3", THRESHOLDS[1]), collapse("nc1w", THRESHOLDS[1]))

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

#: What must be kept → what a reader calls it.
_KEPT = {
    "agreement log loss": "certainty",
    "agreement accuracy %": "pronoun agreement",
    "log perplexity": "fluency",
}

#: Verdict → mark, class of the mark, and answer to "does it lower the bias?".
_MARKS = {
    Verdict.SUPPORTED: ("✓", "yes", "yes"),
    Verdict.CONTRADICTED: ("✗", "no", "no, raises it"),
    Verdict.OVERSHOOTS: ("✗", "no", "no, turns it around"),
    Verdict.MIXED: ("◐", "partly", "differs by method"),
    Verdict.NO_EFFECT: ("✗", "no", "no"),
    Verdict.INCONCLUSIVE: ("○", "open", "cannot tell"),
    Verdict.NOTHING: ("○", "open", "no bias to lower"),
    Verdict.FAILED: ("○", "open", "instrument failed"),
}
_NOT_RUN = ("○", "open", "not run")


def short_answer(tests: pd.DataFrame) -> str:
    """At most 130 words in Markdown, without a numeral: on which model, what was found on collapse
    and on enforcing it, what lowers the bias, how sure, and what is not shown.
    """
    return "\n\n".join(
        (
            f"{_first(tests)} {_by_method(tests)}",
            f"{_debiased(tests)} {_swap(tests)}",
            f"*How sure:* rules fixed beforehand; several seeds. "
            f"{_over_bases(tests)} *Not tested:* large models, other languages, harm in use.",
        )
    )


def strip(tests: pd.DataFrame, outcomes: Sequence[str]) -> str:
    """The verdicts as a table in Markdown: question, answer with its mark, one number. ``outcomes``: of
    the predictions.
    """
    rows = [
        ("{doc}`Are debiased models more collapsed? <notebooks/08-claims>`", *_collapsed(tests)),
        (
            "{doc}`Does debiasing itself lower the bias? <notebooks/07-training>`",
            *_lowers(tests, "debiased"),
        ),
        (
            "{doc}`Does making gender words uniform lower it? <notebooks/11-uniform-duality>`",
            *_lowers(tests, "uniform"),
        ),
        (
            "{doc}`Does aligning them as well? <notebooks/11-uniform-duality>`",
            *_lowers(tests, "both"),
        ),
        (
            "{doc}`Does swap collapse, this book's proposal? <notebooks/12-swap-collapse>`",
            *_lowers(tests, "swap"),
        ),
        _predicted(outcomes),
    ]
    lines = [
        f"* - {question}\n  - [{mark}]{{.sign .{tone}}} {said}\n  - {number}"
        for question, (mark, tone, said), number in rows
    ]
    head = "* - Question\n  - Answer\n  - Change"
    return "\n".join(
        ("```{list-table}", ":header-rows: 1", ":class: verdict-strip", "", head, *lines, "```")
    )


def methods_apart(tests: pd.DataFrame) -> str:
    """Where the total of a treatment is the doing of few methods: a sentence in Markdown."""
    raised = _methods(tests, "uniform")
    names = [method for method, verdict in raised.items() if verdict == Verdict.CONTRADICTED]
    if not names or len(names) == len(raised):
        return ""
    others = [verdict for method, verdict in raised.items() if method not in names]
    rest = "has no effect" if set(others) == {Verdict.NO_EFFECT} else "is not shown to"
    return (
        f"Totals hide differences: of {_count(len(raised))} ways of training, making gender words uniform raises the "
        f"bias in {listed([f'*{name}*' for name in names])} alone, and {rest} in the others."
    )


def _count(number: int, none: str = "no") -> str:
    if not number:
        return none
    return _WORDS[number] if number < len(_WORDS) else str(number)


def _verdict(tests: pd.DataFrame, key: str, model: str = EMBEDDED) -> str:
    row = effect(tests, key, SLOPE.key, model=model)
    return "" if row is None else row["verdict"]


def _methods(tests: pd.DataFrame, treatment: str) -> Mapping[str, str]:
    """Method → verdict of a treatment on the slope of the embedded model."""
    rows = {
        method: effect(tests, treatment, SLOPE.key, method=method)
        for method in DOSED[treatment, MAIN_DOSE].of(EMBEDDED)
    }
    return {method: row["verdict"] for method, row in rows.items() if row is not None}


def _first(tests: pd.DataFrame) -> str:
    name = f"*{EMBEDDED.rpartition('/')[2]}*, a small masked model"
    verdicts = [_verdict(tests, treatment) for treatment in ENFORCING]
    if FAIRER in [called(tests, treatment) for treatment in ENFORCING]:
        return f"**Yes.** On {name}, enforcing neural collapse makes debiasing fairer."
    if all(verdict in (Verdict.NO_EFFECT, Verdict.CONTRADICTED) for verdict in verdicts):
        return f"**No.** On {name}, enforcing neural collapse while debiasing makes it no fairer."
    return (
        f"**Not known yet.** The runs cannot tell whether enforcing neural collapse makes {name}, "
        "fairer."
    )


def _by_method(tests: pd.DataFrame) -> str:
    found = {each: _methods(tests, each) for each in ENFORCING}
    every = [verdict for of_each in found.values() for verdict in of_each.values()]
    lowered, raised = every.count(Verdict.SUPPORTED), every.count(Verdict.CONTRADICTED)
    return (
        "We judge by how strongly its choice of *she* or *he* follows the share of women in an occupation. In "
        f"{_count(len(every))} trials ({_count(len(found))} forms of collapse, {_count(max(map(len, found.values())))} "
        f"ways of training) this bias falls in {_count(lowered, 'none')} and rises in {_count(raised, 'none')}."
    )


def _more_collapsed(tests: pd.DataFrame) -> list[bool]:
    """Whether debiased models are shown to be more collapsed, by each of ``_COLLAPSE``."""
    rows = [effect(tests, "debiased", each.key) for each in _COLLAPSE]
    return [row is not None and row["verdict"] == Verdict.SUPPORTED for row in rows]


def _debiased(tests: pd.DataFrame) -> str:
    supported = _more_collapsed(tests)
    if all(supported):
        return "Debiased models are more collapsed."
    if any(supported):
        return "Debiased models are more collapsed by some measures only."
    return "Debiased models are not shown to be more collapsed."


def _swap(tests: pd.DataFrame) -> str:
    if _verdict(tests, "swap") != Verdict.SUPPORTED:
        return "Our own proposal, *swap collapse*, is not shown to lower the bias."
    costs, lost = _costs(tests, "swap")
    price = f"It {costs} {listed(lost)}." if lost else "It keeps what it must."
    return (
        "Our own proposal, *swap collapse*, lowers the bias: where a text tells no gender, *she* and *he* should be "
        f"equally likely; elsewhere, swapping it should swap the answer. {price}"
    )


def _costs(tests: pd.DataFrame, treatment: str) -> tuple[str, list[str]]:
    """How a treatment stands to what it is not shown to keep, as a verb: a loss that is shown *costs*,
    another *may cost*; and what that is, as a reader calls it.
    """
    lost, shown = lost_by(tests, treatment), []
    for outcome in KEPT:
        row = effect(tests, treatment, outcome.key)
        if outcome.label in lost and side(row["ci_low"], row["ci_high"]) == outcome.worse:
            shown.append(outcome.label)
    return "costs" if shown else "may cost", [_KEPT[label] for label in shown or lost]


#: What a treatment is not shown to do to the bias over bases → what is said of enforcing collapse.
_ENFORCED_OVER_BASES = {
    Verdict.SUPPORTED: "enforcing collapse does, too",
    Verdict.CONTRADICTED: "enforcing collapse raises it",
}


def _over_bases(tests: pd.DataFrame) -> str:
    rows = [effect(tests, each, SLOPE.key, model=OVER_BASES) for each in (*ENFORCING, "swap")]
    if any(row is None for row in rows):
        return "No other model is compared yet."
    *enforced, swapped = (row["verdict"] for row in rows)
    first = f"swap collapse {'lowers' if swapped == Verdict.SUPPORTED else 'is not shown to lower'} the bias"
    shown = [verdict for verdict in enforced if verdict in _ENFORCED_OVER_BASES]
    rest = _ENFORCED_OVER_BASES[shown[0]] if len(set(shown)) == 1 else None
    return f"Over several models {first}; {rest or 'enforcing collapse is not shown to change it'}."


def _collapsed(tests: pd.DataFrame) -> tuple[tuple[str, str, str], str]:
    supported = _more_collapsed(tests)
    mark = (
        ("✓", "yes", "yes")
        if all(supported)
        else ("◐", "partly", "by some measures")
        if any(supported)
        else ("✗", "no", "not shown")
    )
    return mark, f"unevenness {_relative(effect(tests, 'debiased', _SPREAD.key))}"


def _lowers(tests: pd.DataFrame, key: str) -> tuple[tuple[str, str, str], str]:
    row = effect(tests, key, SLOPE.key, model=EMBEDDED, method=TOTAL)
    if row is None or not row["verdict"]:
        return _NOT_RUN, "–"
    mark, tone, said = _MARKS[Verdict(row["verdict"])]
    single = select(tests, comparison=key, key=SLOPE.key, model=EMBEDDED, verdict=row["verdict"])
    methods = set(single["method"]) - {TOTAL}
    every = _tried(tests, key)
    if row["verdict"] in (Verdict.SUPPORTED, Verdict.CONTRADICTED) and every > 1:
        all_of = "both" if every == 2 else f"all {_count(every)}"
        number = all_of if len(methods) == every else f"{_count(len(methods))} of {_count(every)}"
        said += f"{',' * said.isalpha()} in {number} methods"
    if mark == "✓" and (of := _costs(tests, key))[1]:
        mark, tone, said = "◐", "partly", f"{said}; {of[0]} {listed(of[1])}"
    return (mark, tone, said), f"bias {_relative(row)}"


def _tried(tests: pd.DataFrame, key: str) -> int:
    """In how many methods of the embedded model a comparison has a verdict on the slope."""
    rows = select(tests, comparison=key, key=SLOPE.key, model=EMBEDDED)
    return rows.loc[rows["verdict"].ne("") & rows["method"].ne(TOTAL), "method"].nunique()


def _predicted(outcomes: Sequence[str]) -> tuple[str, tuple[str, str, str], str]:
    came, number = outcomes.count(CAME), len(outcomes)
    mark = (
        ("✓", "yes", "all did")
        if came == number
        else ("◐", "partly", "most did")
        if 2 * came > number
        else ("✗", "no", "most did not")
    )
    question = f"Which of the {_count(number)} predictions made beforehand came true?"
    return f"{{doc}}`{question} <notebooks/08-claims>`", mark, f"{came} came true"


def _relative(row: pd.Series | None) -> str:
    """A change in percent of what it is without the treatment, to two significant digits."""
    if row is None or not row["first"]:
        return "–"
    percent = 100 * row["value"] / abs(row["first"])
    text = f"{percent:+.2g}" if abs(percent) < 100 else f"{percent:+.0f}"
    return text.replace("-", "−") + "%"
