"""The predictions that ``book/about/plan.md`` wrote down, in its words, beside what came."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from fairnc_book import tables
from fairnc_book.planned.data import (
    ARMS,
    DEFINITIONAL,
    EVEN,
    KEPT,
    NAMES,
    NEUTRAL_PART,
    OVER_BASES,
    PAPER,
    SECONDARY,
    SLOPE,
    THRESHOLDS,
    TOTAL,
    WITH_MLM,
    Outcome,
    collapse,
)
from fairnc_book.planned.decide import effect
from fairnc_book.planned.study import Study
from fairnc_book.verdicts import Verdict
from fairnc_utils import stats
from fairnc_utils.errors import FairNCError, listed
from fairnc_utils.runs import checkout
from fairnc_utils.runs.rows import select

#: What became of a prediction.
CAME, FAILED, OPEN = "came true", "did not", "not decided yet"

PLAN = "book/about/plan.md"

#: Width and depth in the name of a base that was trained from random weights.
_SIZE = re.compile(r"scratch-(\d+)x(\d+)")


def statements(plan: str, numbers: Iterable[int]) -> dict[int, str]:
    """Number → prediction, word by word as the section *Predictions* of a plan has it.

    ``plan``: its page, from the project's root. Raises ``FairNCError`` unless each prediction of these
    ``numbers`` stands there, and no other.
    """
    page = (checkout.root() / plan).read_text(encoding="utf-8")
    _, _, section = page.partition("\n## Predictions\n")
    parts = re.split(r"^(\d+)\. ", section.partition("\n## ")[0], flags=re.MULTILINE)[1:]
    said = {
        int(number): " ".join(text.split())
        for number, text in zip(parts[::2], parts[1::2], strict=True)
    }
    if set(said) != set(numbers):
        raise FairNCError(
            f"{plan} numbers its predictions {sorted(said)}; those that are tested are {sorted(numbers)}"
        )
    return said


@dataclass(frozen=True)
class Part:
    """One statement of a prediction: what came, whether it ``holds`` (None: cannot be said), and
    whether all runs that it is about are there.
    """

    came: str
    holds: bool | None
    complete: bool = True

    @property
    def outcome(self) -> str:
        """What became of it."""
        if not self.complete or self.holds is None:
            return OPEN
        return CAME if self.holds else FAILED

    def __str__(self) -> str:
        so_far = {True: "true so far", False: "not so, so far", None: OPEN}
        return self.outcome if self.complete else so_far[self.holds]


class Seen:
    """The tests of the embedded model, looked up by comparison and outcome, and the untrained models of
    all ``studies``.
    """

    def __init__(self, tests: pd.DataFrame, studies: Sequence[Study]):
        self.all, self.studies = tests, studies

    def untrained(self, outcome: Outcome) -> dict[str, stats.Estimate]:
        """Base → what it says of an outcome before any training, where it is measured."""
        found = {study.model: study.base(outcome) for study in self.studies}
        return {model: base for model, base in found.items() if base is not None}

    def of(self, comparison: str, key: str, method: str = TOTAL) -> pd.Series | None:
        """One test; None where it has no interval."""
        row = effect(self.all, comparison, key, method=method)
        return None if row is None or math.isnan(row["p"]) else row

    def part(
        self,
        comparison: str,
        key: str,
        holds: Callable,
        method: str = TOTAL,
        *,
        beside: Callable = lambda row: "",
    ) -> Part:
        """A statement on one test: ``holds`` of its row; None where that is None. ``beside``: of the
        row, what the change is to be held against.
        """
        row = self.of(comparison, key, method)
        if row is None:
            return Part(f"{comparison}: not run", None, complete=False)
        whose = "" if method == TOTAL else f" in {method}"
        return Part(
            f"{comparison}, {row['label']}{whose}: {_sides(row)}{beside(row)}",
            holds(row),
            not row["note"],
        )


def predictions(tests: pd.DataFrame, studies: Sequence[Study] = ()) -> pd.DataFrame:
    """One row a prediction: ``number``, ``prediction`` in the plan's words, ``parts`` (a ``Part`` for
    each of its statements), ``outcome``: came true, did not, or not decided yet. ``studies``: of the
    bases, for what is predicted of untrained models.

    It came true if every part of it holds and every run that it is about is there; it did not if a
    part fails whose runs are all there.
    """
    seen = Seen(tests, studies)
    return beside(PLAN, {number: list(parts(seen)) for number, parts in _PARTS.items()})


def beside(plan: str, came: Mapping[int, list[Part]]) -> pd.DataFrame:
    """The predictions of a plan beside what ``came`` of their statements, as ``predictions`` has them."""
    return pd.DataFrame(
        {
            "number": number,
            "prediction": text,
            "parts": came[number],
            "outcome": _outcome(came[number]),
        }
        for number, text in statements(plan, came).items()
    )


def predictions_finding(predicted: pd.DataFrame) -> str:
    """How many predictions came true, and which did not."""
    by = {
        word: list(predicted.loc[predicted["outcome"] == word, "number"])
        for word in (CAME, FAILED, OPEN)
    }
    some = len(by[CAME])
    lead = "All" if some == len(predicted) else "Some" if some else "None"
    said = [f"{lead} of the predictions came true. Counted: {some} of {len(predicted)}."]
    for lead, word in (("Not so", FAILED), ("Not decided yet", OPEN)):
        said += [f"{lead}: {listed(map(str, by[word]))}."] if by[word] else []
    return " ".join(said)


def _outcome(parts: list[Part]) -> str:
    outcomes = {part.outcome for part in parts}
    return next(word for word in (FAILED, OPEN, CAME) if word in outcomes)


def _sides(row: pd.Series) -> str:
    """Comparator → treated, and the change with its interval."""
    ends = " → ".join(tables.number(row[side]) for side in ("first", "second"))
    return f"{ends}, change {tables.interval(row)}"


def _falls(row: pd.Series) -> bool:
    return bool(row["ci_high"] < 0)


def _rises(row: pd.Series) -> bool:
    return bool(row["ci_low"] > 0)


def _none(row: pd.Series) -> bool | None:
    """No effect; a significant one is none, an interval that is too wide says nothing."""
    if row["none"]:
        return True
    return False if _falls(row) or _rises(row) else None


def _uniform(seen: Seen) -> Iterator[Part]:
    for count in THRESHOLDS:
        key = collapse("unc3", count).key
        yield seen.part("uniform", key, lambda row: bool(row["second"] <= row["first"] / 2))
    for dose in ("uniform 0.1", "uniform"):
        yield seen.part(dose, SLOPE.key, _none)


def _both(seen: Seen) -> Iterator[Part]:
    for count in THRESHOLDS:
        yield seen.part("both", collapse("nc3", count).key, _rises)
    for dose in ("both", "both 1"):
        yield seen.part(dose, SLOPE.key, _rises)
        yield seen.part(dose, DEFINITIONAL.key, _rises)
        yield _at_least_as_much(seen, dose)
    selectivity = "selectivity/bls/gender/selectivity"
    yield seen.part("both", selectivity, lambda row: not _rises(row))


def _at_least_as_much(seen: Seen, dose: str) -> Part:
    """Whether definitional gender rises by as large a share of its comparator as the slope does."""
    rows = [seen.of(dose, key) for key in (DEFINITIONAL.key, SLOPE.key)]
    if any(row is None for row in rows):
        return Part(f"{dose}: not run", None, complete=False)
    shares = [100 * row["value"] / row["first"] for row in rows]
    said = " against ".join(f"{tables.number(share)}%" for share in shares)
    complete = not any(row["note"] for row in rows)
    return Part(
        f"{dose}, definitional gender against slope: {said} of the comparator",
        shares[0] >= shares[1],
        complete,
    )


def _quarter(row: pd.Series) -> bool:
    return bool(row["ci_high"] < -row["first"] / 4)


def _swap(seen: Seen) -> Iterator[Part]:
    for method in WITH_MLM:
        yield seen.part(
            "swap",
            SLOPE.key,
            _quarter,
            method,
            beside=lambda row: f" (a quarter: {tables.number(-row['first'] / 4)})",
        )
    for bound in KEPT[:2]:
        yield seen.part(
            "swap",
            bound.key,
            lambda row: bool(row["kept"]),
            beside=lambda row, bound=bound: f" (bound {bound.worse * bound.allowed:g})".replace(
                "-", "−"
            ),
        )
    yield seen.part("swap", NEUTRAL_PART.key, _falls)
    yield seen.part("swap", NAMES.key, lambda row: bool(row["value"] < -2))


def _even(seen: Seen) -> Iterator[Part]:
    others = [seen.of(arm.key, SLOPE.key) for arm in ARMS if arm != EVEN]
    complete = all(row is not None for row in others)
    least = min((row["value"] for row in others if row is not None), default=None)
    part = seen.part(
        EVEN.key,
        SLOPE.key,
        lambda row: None if least is None else bool(row["value"] < least),
        beside=lambda row: (
            "" if least is None else f" (least of the others: {tables.number(least)})"
        ),
    )
    yield Part(part.came, part.holds, part.complete and complete)
    for bound in KEPT[:1]:
        yield seen.part(EVEN.key, bound.key, lambda row: not row["kept"])


def _debiased(seen: Seen) -> Iterator[Part]:
    key = collapse("nc1w", 50).key
    yield seen.part("debiased", key, _falls_no_more)
    yield seen.part("debiased", SLOPE.key, lambda row: row["verdict"] == Verdict.SUPPORTED)


def _falls_no_more(row: pd.Series) -> bool | None:
    """That something does not fall is seen if it rises; an interval that holds 0 says nothing."""
    if _rises(row):
        return True
    return False if _falls(row) else None


def _released(seen: Seen) -> Iterator[Part]:
    for outcome in PAPER:
        yield seen.part(
            "released",
            outcome.key,
            lambda row: bool(abs(row["value"]) <= row["smallest"]),
            beside=lambda row: (
                f" (smallest effect detectable with 80% power: {tables.number(row['smallest'])})"
            ),
        )


def _nothing(seen: Seen) -> Iterator[Part]:
    wanted = ("stereoset_intra", "winobias_zero_shot", "crows_official")
    asked = [each for each in (*SECONDARY, *PAPER) if each.measure.benchmark in wanted]
    for outcome in asked:
        metric = outcome.measure.metric
        if metric.better:
            continue  # ICAT has no bias to remove
        bases = seen.untrained(outcome).values()
        nothing = sum(
            not stats.side(base.ci_low, base.ci_high, metric.ideal or 0.0) for base in bases
        )
        yield Part(
            f"{outcome.label}: nothing to remove on {nothing} of {len(bases)} bases",
            nothing > len(bases) / 2 if bases else None,
            complete=len(bases) > 1,
        )


def _bases(seen: Seen) -> Iterator[Part]:
    yield _larger(seen)
    unc3, nc3 = (collapse(name, 50).key for name in ("unc3", "nc3"))
    for comparison, key, holds, way in (
        ("uniform", unc3, _falls, "falls"),
        ("both", nc3, _rises, "rises"),
        ("both", SLOPE.key, _rises, "rises"),
        ("swap", SLOPE.key, _falls, "falls"),
    ):
        rows = select(seen.all, comparison=comparison, key=key, method=TOTAL)
        rows = rows[rows["p"].notna() & rows["model"].ne(OVER_BASES)].drop_duplicates("model")
        agree = sum(holds(row) for _, row in rows.iterrows())
        label = rows["label"].iloc[0] if len(rows) else key
        yield Part(
            f"{comparison}, {label} {way}: on {agree} of {len(rows)} bases",
            agree == len(rows),
            complete=len(rows) > 1,
        )


def _larger(seen: Seen) -> Part:
    """Whether, of the bases from random weights, the larger ones have the larger slope, as means over
    the seeds of a size.
    """
    by_size: dict[tuple[int, ...], list[float]] = {}
    for model, base in seen.untrained(SLOPE).items():
        if size := _SIZE.search(model):
            by_size.setdefault(tuple(map(int, size.groups())), []).append(base.value)
    sizes = sorted(by_size, key=lambda size: size[0] * size[1] ** 2)
    slopes = [sum(by_size[size]) / len(by_size[size]) for size in sizes]
    said = ", ".join(
        f"{size[0]} × {size[1]} {tables.number(slope)}"
        for size, slope in zip(sizes, slopes, strict=True)
    )
    return Part(
        f"slope of bases from random weights: {said or 'not run'}",
        slopes == sorted(slopes),
        complete=len(sizes) > 2,
    )


_PARTS = {
    1: _uniform,
    2: _both,
    3: _swap,
    4: _even,
    5: _debiased,
    6: _released,
    7: _nothing,
    8: _bases,
}
