"""The predictions that ``book/about/plan.md`` wrote down, beside what came."""

import math
from collections.abc import Callable, Iterator
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
    collapse,
)
from fairnc_book.planned.decide import effect
from fairnc_book.verdicts import Verdict
from fairnc_utils.runs.rows import select

#: What became of a prediction.
CAME, FAILED, OPEN = "came true", "did not", "not decided yet"

#: Number in the plan → the prediction, in its words.
TEXTS = {
    1: "*uniform* lowers held-out UNC3 at all three thresholds by at least half and has no effect on the slope at the two "
    "smaller doses.",
    2: "*both* raises NC3, and raises the slope at the two larger doses; selectivity does not rise.",
    3: "*swap* lowers the slope by more than a quarter in every method with a masked language modelling loss, with kept "
    "agreement; its neutral part falls; accuracy where only names tell falls.",
    4: "The even part alone lowers the slope most and fails the bound on agreement.",
    5: "Debiased − mlm: NC1w does not fall more than in *mlm*; the slope falls.",
    6: "As released changes none of the paper's metrics by more than its smallest detectable effect.",
    7: "On most bases StereoSet, CrowS-Pairs and the zero-shot WinoBias gaps have nothing to remove.",
    8: "Where bases differ, larger ones have the larger slope; the signs of the first three hold on all of them.",
}


@dataclass(frozen=True)
class Part:
    """One statement of a prediction: what came, whether it ``holds`` (None: cannot be said), and
    whether all runs that it is about are there.
    """

    came: str
    holds: bool | None
    complete: bool = True


class Seen:
    """The tests of the embedded model, looked up by comparison and outcome."""

    def __init__(self, tests: pd.DataFrame):
        self.all = tests

    def of(self, comparison: str, key: str, method: str = TOTAL) -> pd.Series | None:
        """One test; None where it has no interval."""
        row = effect(self.all, comparison, key, method=method)
        return None if row is None or math.isnan(row["p"]) else row

    def part(self, comparison: str, key: str, holds: Callable, method: str = TOTAL) -> Part:
        """A statement on one test: ``holds`` of its row; None where that is None."""
        row = self.of(comparison, key, method)
        if row is None:
            return Part(f"{comparison}: not run", None, complete=False)
        whose = "" if method == TOTAL else f" in {method}"
        change = tables.interval(row)
        return Part(f"{comparison}, {row['label']}{whose}: {change}", holds(row), not row["note"])


def predictions(tests: pd.DataFrame) -> pd.DataFrame:
    """One row a prediction: ``number``, ``prediction``, ``came`` (what the runs say, in words and
    changes with intervals), ``outcome``: came true, did not, or not decided yet.

    It came true if every part of it holds and every run that it is about is there; it did not if a
    part fails whose runs are all there.
    """
    seen = Seen(tests)
    rows = []
    for number, text in TEXTS.items():
        parts = list(_PARTS[number](seen))
        rows.append(
            {
                "number": number,
                "prediction": text,
                "came": "; ".join(part.came for part in parts),
                "outcome": _outcome(parts),
            }
        )
    return pd.DataFrame(rows)


def _outcome(parts: list[Part]) -> str:
    if any(part.holds is False and part.complete for part in parts):
        return FAILED
    return CAME if all(part.holds and part.complete for part in parts) else OPEN


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
    selectivity = "selectivity/bls/gender/selectivity"
    yield seen.part("both", selectivity, lambda row: not _rises(row))


def _swap(seen: Seen) -> Iterator[Part]:
    for method in WITH_MLM:
        yield seen.part(
            "swap", SLOPE.key, lambda row: bool(row["ci_high"] < -row["first"] / 4), method
        )
    for bound in KEPT[:2]:
        yield seen.part("swap", bound.key, lambda row: bool(row["kept"]))
    yield seen.part("swap", NEUTRAL_PART.key, _falls)
    yield seen.part("swap", NAMES.key, lambda row: bool(row["value"] < -2))


def _even(seen: Seen) -> Iterator[Part]:
    others = [seen.of(arm.key, SLOPE.key) for arm in ARMS if arm != EVEN]
    complete = all(row is not None for row in others)
    least = min((row["value"] for row in others if row is not None), default=None)
    part = seen.part(
        EVEN.key, SLOPE.key, lambda row: None if least is None else row["value"] < least
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
            "released", outcome.key, lambda row: bool(abs(row["value"]) <= row["smallest"])
        )


def _nothing(seen: Seen) -> Iterator[Part]:
    wanted = ("stereoset_intra", "winobias_zero_shot", "crows_official")
    keys = [each.key for each in (*SECONDARY, *PAPER) if each.measure.benchmark in wanted]
    rows = select(seen.all, method=TOTAL)
    rows = rows[rows["verdict"].ne("") & rows["model"].ne(OVER_BASES)]
    bases = rows["model"].nunique()
    for key in (key for key in keys if not key.endswith(("/SS", "/ICAT"))):
        of_key = rows[rows["key"] == key].drop_duplicates("model")
        nothing = int((of_key["verdict"] == Verdict.NOTHING).sum())
        label = of_key["label"].iloc[0] if len(of_key) else key
        yield Part(
            f"{label}: nothing to remove on {nothing} of {len(of_key)} bases",
            nothing > len(of_key) / 2 if len(of_key) else None,
            complete=bases > 1,
        )


def _bases(seen: Seen) -> Iterator[Part]:
    slopes = select(seen.all, comparison="swap", key=SLOPE.key, family="D", method=TOTAL)
    slopes = slopes[slopes["p"].notna() & slopes["model"].ne(OVER_BASES)]
    said = ", ".join(f"{row['model']} {tables.interval(row)}" for _, row in slopes.iterrows())
    agree = bool((slopes["ci_high"] < 0).all()) if len(slopes) > 1 else None
    yield Part(f"change of the slope with swap: {said or 'not run'}", agree, complete=False)


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
