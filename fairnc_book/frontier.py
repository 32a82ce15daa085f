"""Bias against what must be kept, in sentences: one plain sentence first, the numbers behind it.

``tests`` are those of ``planned.evaluate``; changes are comparisons in a method or in total.
"""

import math
from collections.abc import Sequence

import pandas as pd

from fairnc_book import planned, tables
from fairnc_book.planned.data import (
    DOSED,
    DOSES,
    EMBEDDED,
    EVEN,
    KEPT,
    NAMES,
    NAMES_SWAPPED,
    SLOPE,
    SWAP_COLLAPSE,
    Outcome,
)
from fairnc_book.planned.report import BLINDER, FAIRER, Change, called
from fairnc_book.verdicts import Verdict
from fairnc_utils import stats
from fairnc_utils.errors import listed

#: Dose → what a sentence calls it.
_DOSES = dict(zip(sorted(DOSES), ("smallest", "main", "largest"), strict=True))

#: Words of a judgement beside ``FAIRER`` and ``BLINDER``.
NO_FAIRER, OPEN, NOT_RUN = "no fairer", "not decided", "not run"


def judged(tests: pd.DataFrame, change: Change, model: str = EMBEDDED) -> str:
    """What the rule makes of a change: *fairer* or *blinder*, *not decided* where an interval is
    missing, else *no fairer*.
    """
    comparison, method = change
    rows = [_row(tests, change, outcome, model) for outcome in (SLOPE, *KEPT)]
    if rows[0] is None:
        return NOT_RUN
    if (word := called(tests, comparison.key, model, method)) in (FAIRER, BLINDER):
        return word
    return OPEN if any(row is None or math.isnan(row["p"]) for row in rows) else NO_FAIRER


def _row(
    tests: pd.DataFrame, change: Change, outcome: Outcome, model: str = EMBEDDED
) -> pd.Series | None:
    comparison, method = change
    return planned.effect(tests, comparison.key, outcome.key, model=model, method=method)


def _side(row: pd.Series | None) -> int:
    """−1 where an outcome falls, 1 where it rises, by an interval without 0; else 0."""
    return 0 if row is None else stats.side(row["ci_low"], row["ci_high"])


def _in_words(row: pd.Series | None) -> str:
    """A change with its interval and number of seeds, or that it was not run."""
    if row is None:
        return "not run"
    seeds = "seed" if row["seeds"] == 1 else "seeds"
    return f"{tables.interval(row)}, {row['seeds']:.0f} {seeds}"


def price(tests: pd.DataFrame, *, method: str, model: str = EMBEDDED) -> str:
    """Which treatments lower the slope of a method at any dose, which raise it, and what that costs
    of what must be kept and of what only names tell.
    """
    changes = [(comparison, method) for comparison in DOSED.values()]
    slopes = {change: _row(tests, change, SLOPE, model) for change in changes}
    if all(row is None for row in slopes.values()):
        return f"No treatment of {method} was run."
    moved = {
        side: [change for change, row in slopes.items() if _side(row) == side] for side in (-1, 1)
    }
    lowering = _by_dose(moved[-1], otherwise="no treatment")
    lead = (
        f"The slope of {method} is lowered by {lowering} and raised by "
        f"{_by_dose(moved[1], otherwise='none')}."
    )
    if not moved[-1]:
        return lead
    dosed = {change: f"{change[0].treatment} {change[0].dose:g}" for change in moved[-1]}
    costs = []
    for outcome in (*KEPT, NAMES):
        worse = [
            name
            for change, name in dosed.items()
            if _side(_row(tests, change, outcome, model)) == outcome.worse
        ]
        costs.append(f"{outcome.label} with {listed(worse, otherwise='none')}")
    said = "; ".join(f"{name}: {_in_words(slopes[change])}" for change, name in dosed.items())
    return f"{lead} What gets worse with it: {'; '.join(costs)}. Change of the slope, {said}."


def _by_dose(changes: Sequence[Change], *, otherwise: str) -> str:
    """Treatments with which of their doses these are: swap (every dose), both (largest dose)."""
    counts: dict[str, list[str]] = {}
    for comparison, _ in changes:
        counts.setdefault(comparison.treatment, []).append(_DOSES[comparison.dose])
    said = [
        f"{name} ({'every' if len(those) == len(_DOSES) else listed(those)} dose)"
        for name, those in counts.items()
    ]
    return listed(said, otherwise=otherwise)


def ruled(
    tests: pd.DataFrame,
    changes: Sequence[Change],
    *,
    subject: str,
    by: str = "method",
    model: str = EMBEDDED,
) -> str:
    """What the rule makes of several changes, in a sentence on ``subject``.

    ``by``: ``method`` or ``treatment``, what they are called after.
    """
    groups: dict[str, list[str]] = {}
    for comparison, method in changes:
        name = method if by == "method" else comparison.treatment
        lost = ", ".join(planned.lost_by(tests, comparison.key, model, method))
        word = judged(tests, (comparison, method), model)
        groups.setdefault(word, []).append(f"{name} ({lost})" if lost else name)
    texts = {
        FAIRER: "makes {} fairer",
        BLINDER: "is not shown to keep what it must in {}",
        NO_FAIRER: "leaves {} no fairer",
        OPEN: "is not decided for {}",
    }
    if not groups.keys() & texts.keys():
        return f"{subject} was not run."
    if by == "treatment":
        texts = {word: f"{word} with {{}}" for word in texts}
        texts[BLINDER] = "not shown to keep what it must with {}"
    nothing = "no method" if by == "method" else "no arm"
    words = [
        text.format(listed(groups.get(word, []), otherwise=nothing))
        for word, text in texts.items()
        if word in groups or word == FAIRER
    ]
    return f"{subject} {'; '.join(words)}."


def explained(tests: pd.DataFrame, *, method: str, model: str = EMBEDDED) -> str:
    """Whether swap collapse may explain a fall, by the arm whose pairs name none of the occupations
    that the slope is made of, and whether its part with evidence falls without the slope elsewhere.
    """
    slope = _row(tests, (planned.by_method("swap")[0][0], method), SLOPE, model)
    if slope is None or math.isnan(slope["p"]):
        return "The arm that decides whether swap collapse explains a fall has no two seeds."
    if _side(slope) < 0:
        lead = (
            "The slope falls although no pair names one of its occupations: by the plan's rule it is "
            "training for swap collapse that lowers it, and no word of the pairs"
        )
    else:
        lead = (
            "The slope does not fall where no pair names one of its occupations: training for swap "
            "collapse explains no fall"
        )
    return f"{lead}. Change: {_in_words(slope)}.{_apart(tests, method, model)}"


def _apart(tests: pd.DataFrame, method: str, model: str) -> str:
    """Arms that lower swap collapse and not the slope: mirrored answers alone do not do it there; and
    whether the part does that asks for even odds where a text does not tell.
    """
    apart = [
        change[0].treatment
        for change in planned.arms(method=method)
        if _side(_row(tests, change, SWAP_COLLAPSE, model)) < 0
        and (slope := _row(tests, change, SLOPE, model)) is not None
        and _side(slope) >= 0
    ]
    if not apart:
        return ""
    even = _side(_row(tests, (EVEN, method), SLOPE, model)) < 0
    return (
        f" But a smaller swap collapse is not by itself what lowers it: with {listed(apart)} it falls, and no fall of the "
        "slope is seen."
        + even
        * (
            " What lowers the slope is the part that makes *she* and *he* equally likely where a text does not tell: "
            "alone it does so."
        )
    )


def largest_fall(tests: pd.DataFrame, changes: Sequence[Change], *, model: str = EMBEDDED) -> str:
    """The change that lowers the slope most, and what the rule makes of it."""
    slopes = [(change, _row(tests, change, SLOPE, model)) for change in changes]
    run = [(change, row) for change, row in slopes if row is not None]
    if not run:
        return "No arm was run."
    change, slope = min(run, key=lambda pair: pair[1]["value"])
    word = judged(tests, change, model)
    word = "not shown to keep what it must" if word == BLINDER else word
    return f"The slope falls most with {change[0].treatment}, which is {word}. Change: {_in_words(slope)}."


def names_back(tests: pd.DataFrame, *, method: str, model: str = EMBEDDED) -> str:
    """What swapping names as well does where only names tell, beside plain pairs at the same seeds."""
    difference = _row(tests, (NAMES_SWAPPED, method), NAMES, model)
    if difference is None:
        return "Swapped names were not run beside plain pairs."
    if math.isnan(difference["p"]):
        lead = "A single seed of swapped names decides nothing."
    else:
        lead = {
            1: "Swapping names brings back what names tell.",
            -1: "Swapping names loses more of what names tell.",
            0: "It is not shown that swapping names brings back what names tell.",
        }[_side(difference)]
    plain, swapped = (
        _row(tests, change, NAMES, model)
        for change in planned.arms("swap", "names swapped", method=method)
    )
    return (
        f"{lead} Change of {NAMES.label} from {method} alone: plain pairs {_in_words(plain)}; names "
        f"swapped {_in_words(swapped)}. Swapped against plain pairs: {_in_words(difference)}."
    )


def on_rare_occupations(
    tests: pd.DataFrame, changes: Sequence[Change], *, model: str = EMBEDDED
) -> str:
    """Whether the slope, where it falls over all occupations, falls over rarely named ones as well."""
    falls = [change for change in changes if _side(_row(tests, change, SLOPE, model)) < 0]
    if not falls:
        return "No arm lowers the slope, so there is nothing to look for."
    rows = {
        (change, o.label): _row(tests, change, o, model) for change in falls for o in planned.RARE
    }
    missing = [
        f"{comparison.treatment} ({label})"
        for ((comparison, _), label), row in rows.items()
        if _side(row) >= 0
    ]
    lead = "Where the slope falls, it falls over occupations that the pairs hardly name as well"
    if missing:
        lead = "The slope does not fall over all rarely named occupations: it is not shown with "
        lead += listed(missing)
    counts = {label: row["units"] for (_, label), row in rows.items() if row is not None}
    said = "; ".join(f"{units:.0f} occupations make the {label}" for label, units in counts.items())
    return f"{lead}. {said}."


def carried_over(
    tests: pd.DataFrame,
    changes: Sequence[Change],
    outcomes: Sequence[Outcome],
    *,
    model: str = EMBEDDED,
) -> str:
    """Which other measures of bias fall or rise with which treatment; those without a bias to
    remove in the untrained model, and those not run, apart.
    """
    rows = {
        (change, o.label): _row(tests, change, o, model) for change in changes for o in outcomes
    }
    by_label = {
        outcome.label: [
            row for (_, label), row in rows.items() if label == outcome.label and row is not None
        ]
        for outcome in outcomes
    }
    absent = [label for label, those in by_label.items() if not those]
    nothing = [
        label
        for label, those in by_label.items()
        if any(row["verdict"] == Verdict.NOTHING for row in those)
    ]
    counted = [label for label in by_label if label not in absent + nothing]
    sentences = []
    for treatment in dict.fromkeys(comparison.treatment for comparison, _ in changes):
        moves = {"lowers": -1, "raises": 1}
        said = []
        for label in counted:
            of_label = {
                method: _side(row)
                for ((comparison, method), each), row in rows.items()
                if comparison.treatment == treatment and each == label
            }
            for verb, side in moves.items():
                methods = [method for method, found in of_label.items() if found == side]
                if methods:
                    where = "every method" if len(methods) == len(of_label) else listed(methods)
                    said.append(f"{verb} {label} in {where}")
        if said:
            sentences.append(f"*{treatment}* {'; '.join(said)}.")
        elif counted:
            sentences.append(f"*{treatment}* is not shown to move any other measure.")
    for lead, labels in (("Nothing to remove", nothing), ("Not run", absent)):
        sentences += [f"{lead}: {'; '.join(labels)}."] if labels else []
    return " ".join(sentences)


def causal_finding(tests: pd.DataFrame, missing: str) -> str:
    """What the runs of the causal model say, and which were not run (``planned.lacking``), in Markdown."""
    families = {name: planned.by_method(name, planned.CAUSAL) for name in planned.TREATMENTS}
    every = [change for changes in families.values() for change in changes]
    if all(judged(tests, change, planned.CAUSAL) == NOT_RUN for change in every):
        lead = "**Not run.** The book says nothing of causal models yet."
    else:
        said = (
            ruled(tests, changes, subject=f"*{name}*", model=planned.CAUSAL)
            for name, changes in families.items()
        )
        lead = f"**Finding.** {' '.join(said)}"
    return f"{lead}\n\n{missing}"
