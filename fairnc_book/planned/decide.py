"""From the studies to a table of tests: effect by method, total, Holm's p, verdict; and what was not
run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

from fairnc_book.planned.data import (
    EDITION,
    EMBEDDED,
    EVERY_FAMILY,
    OVER_BASES,
    TOTAL,
    Comparison,
    Family,
    Outcome,
)
from fairnc_book.planned.study import Study
from fairnc_book.verdicts import AdjustedEffect, Verdict, equivalent, kept, verdict
from fairnc_utils import stats
from fairnc_utils.runs import checkout, recording
from fairnc_utils.runs.rows import recorded, select

if TYPE_CHECKING:
    from fairnc_utils.runs.grid import Cell

#: What was not run: its effect, and its changes seed by seed.
_NAN = float("nan")
_NOT_RUN = stats.Effect(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN, 0, 0)
_NO_CHANGES = stats.Changes(np.array([]))


@dataclass
class _Test:
    """One comparison on one outcome, of a method of a base, of its total, or over bases."""

    family: Family
    comparison: Comparison
    outcome: Outcome
    model: str
    method: str
    effect: stats.Effect = _NOT_RUN
    note: str = ""
    first: float = float("nan")
    second: float = float("nan")
    singles: list["_Test"] = field(default_factory=list)
    treated: stats.Estimate | None = None
    changes: stats.Changes = _NO_CHANGES
    levels: stats.Changes = _NO_CHANGES
    holm_p: float = float("nan")

    @property
    def adjusted(self) -> AdjustedEffect:
        """The effect with Holm's p."""
        return AdjustedEffect(self.effect, self.holm_p)

    @property
    def tested(self) -> bool:
        """Whether it has an interval over seeds."""
        return bool(np.isfinite(self.effect.error))


def evaluate(
    studies: Sequence[Study],
    families: Sequence[Family] = EVERY_FAMILY,
    *,
    resamples: int = 2000,
) -> pd.DataFrame:
    """One row a test: each family's comparisons on its outcomes, for each method of each base, in
    ``total``, and over masked bases where several have it.

    Columns: ``family``, ``comparison``, ``key`` (of the outcome), ``label``, ``model``, ``method``;
    ``first``, ``second``: means on either side; ``value`` with ``ci_low``, ``ci_high``, ``error``,
    ``df``, ``seeds``, ``units``; ``p``, ``holm_p``, ``verdict`` and ``smallest`` (the effect found with
    power .8); of totals ``i2`` (percent), ``left_low`` and ``left_high`` (range of the total when one
    method is left out), ``none`` (whether the 90% interval lies within the margin); ``kept``: whether
    a bound is kept; ``note``: why there is no number. Families that describe have neither Holm's p nor
    a verdict.
    """
    tests: list[_Test] = []
    for study in studies:
        seen: dict[tuple, list[_Test]] = {}  # what several families ask for is computed once
        for family in families:
            for comparison, outcomes in family.tests.items():
                for outcome in outcomes:
                    where = (comparison.key, outcome.key)
                    if where not in seen:
                        seen[where] = _tests(study, family, comparison, outcome, resamples)
                    tests += _filed(family, seen[where])
    masked = {study.model for study in studies if study.masked}
    tests += _over_bases([test for test in tests if test.model in masked])
    _adjust(tests)
    by_model, failed = {study.model: study for study in studies}, _failed(studies, tests)
    return pd.DataFrame([_row(test, by_model.get(test.model), failed) for test in tests])


def _failed(studies: Sequence[Study], tests: Iterable[_Test]) -> set[str]:
    """Instruments that a planted bias does not move on the base where it was planted."""
    asked = {
        test.outcome.key: test.outcome
        for test in tests
        if test.family.judged and test.outcome.of_occupations
    }
    return {
        key
        for key, outcome in asked.items()
        if any(study.moves(outcome) is False for study in studies)
    }


def _filed(family: Family, tests: Sequence[_Test]) -> list[_Test]:
    """The methods and their total, the last one, as tests of a family."""
    copies = [replace(test, family=family) for test in tests]
    for total in copies[-1:]:
        total.singles = copies[:-1]
    return copies


def _tests(
    study: Study, family: Family, comparison: Comparison, outcome: Outcome, resamples: int
) -> list[_Test]:
    """Each method that the plan compares on this base, and their total."""
    singles = [
        _single(study, _Test(family, comparison, outcome, study.model, method), resamples)
        for method in comparison.of(study.model)
    ]
    if not singles:
        return []
    total = _Test(family, comparison, outcome, study.model, TOTAL, singles=singles)
    several = [test for test in singles if test.tested]
    if not several:
        total.note = "not run: no method has two seeds or more on both sides"
        return [*singles, total]
    total.effect = stats.crossed_bootstrap(*(test.changes for test in several))
    total.first, total.second = (
        float(np.mean([getattr(test, end) for test in several])) for end in ("first", "second")
    )
    total.treated = _level(*several) if outcome.may_overshoot else None
    if left := [test.method for test in singles if not test.tested]:
        total.note = f"without {', '.join(left)}"
    return [*singles, total]


def _level(*tests: _Test) -> stats.Estimate:
    """The treated models themselves."""
    level = stats.crossed_bootstrap(*(test.levels for test in tests))
    return stats.Estimate(level.value, level.ci_low, level.ci_high, level.seeds)


def _single(study: Study, test: _Test, resamples: int) -> _Test:
    first, second = test.comparison.settings(test.method)
    pair = study.numbers.contrast(test.outcome.measure, first, second)
    if pair.missing or pair.second.empty:
        test.note = f"not run: {pair.missing or second}"
        return test
    test.changes = study.numbers.changes(pair, resamples=resamples)
    test.effect = stats.crossed_bootstrap(test.changes)
    if test.outcome.may_overshoot:
        test.levels = study.numbers.levels(test.outcome.measure, pair.second, resamples=resamples)
        test.treated = _level(test)
    test.first, test.second = (float(side["value"].mean()) for side in (pair.first, pair.second))
    if not test.tested:
        test.note = "one seed: no interval over seeds"
    return test


def _over_bases(tests: Iterable[_Test]) -> list[_Test]:
    """The mean of the masked bases' totals, with Student's t over bases, where two or more have
    it.
    """
    groups: dict[tuple, list[_Test]] = {}
    for test in tests:
        if test.method == TOTAL and test.tested:
            groups.setdefault((test.family.key, test.comparison.key, test.outcome.key), []).append(
                test
            )
    means = []
    for totals in groups.values():
        if len(totals) < 2:
            continue
        like = totals[0]
        changes = stats.Changes(np.array([test.effect.value for test in totals]))
        levels = stats.over_seeds([test.second for test in totals])
        means.append(
            _Test(
                like.family,
                like.comparison,
                like.outcome,
                OVER_BASES,
                TOTAL,
                stats.crossed_bootstrap(changes),
                f"{len(totals)} bases",
                float(np.mean([test.first for test in totals])),
                levels.value,
                totals,
                levels if like.outcome.may_overshoot else None,
            )
        )
    return means


def _adjust(tests: list[_Test]) -> None:
    """Holm's p: over the totals of a family on a base, and apart from them over its single
    methods; families that only describe have none.
    """
    groups: dict[tuple, list[_Test]] = {}
    for test in tests:
        if test.family.judged:
            groups.setdefault((test.family.key, test.model, test.method == TOTAL), []).append(test)
    for group in groups.values():
        p = [test.effect.p() if test.tested else np.nan for test in group]
        for test, adjusted in zip(group, stats.holm(p), strict=True):
            test.holm_p = float(adjusted)


def _row(test: _Test, study: Study | None, failed: set[str]) -> dict:
    row = {
        "family": test.family.key,
        "comparison": test.comparison.key,
        "key": test.outcome.key,
        "label": test.outcome.label,
        "model": test.model,
        "method": test.method,
        "first": test.first,
        "second": test.second,
        "holm_p": test.holm_p,
        "verdict": "",
        "kept": None,
        "none": None,
        "note": test.note,
    }
    names = ("value", "ci_low", "ci_high", "error", "df", "seeds", "units")
    row |= {name: getattr(test.effect, name) for name in names}
    row |= dict.fromkeys(("p", "i2", "left_low", "left_high", "smallest"), np.nan)
    if not test.tested:
        return row
    row["p"] = test.effect.p()
    row["smallest"] = stats.smallest_effect(test.effect.error, test.effect.df)
    if test.outcome.allowed is not None:
        row["kept"] = kept(_loss(test), test.outcome.allowed)
    singles = [each for each in test.singles if each.tested]
    if test.family.judged:
        row["verdict"] = str(_verdict(test, singles, study, test.outcome.key in failed))
    if test.method != TOTAL:
        return row
    row["i2"] = stats.heterogeneity([each.effect for each in singles])
    row["left_low"], row["left_high"] = _left_out([each.effect.value for each in singles])
    row["none"] = equivalent(test.effect, _margin(test))
    return row


def _margin(test: _Test) -> float:
    """A change up to here counts as none."""
    outcome = test.outcome
    return outcome.share * abs(test.first) if outcome.share else outcome.margin


def _verdict(test: _Test, singles: list[_Test], study: Study | None, failed: bool) -> Verdict:
    outcome, ideal = test.outcome, test.outcome.measure.metric.ideal
    base = study.base(outcome) if study and outcome.improves else None
    better = outcome.measure.metric.better
    towards = better or int(np.sign((ideal or 0.0) - (base.value if base else test.first)))
    return verdict(
        test.adjusted,
        [each.adjusted for each in singles],
        predicted=outcome.predicted or towards,
        margin=_margin(test),
        base=base,
        treated=test.treated,
        ideal=ideal or 0.0,
        failed=failed,
    )


def _loss(test: _Test) -> stats.Effect:
    """The effect, counted so that more is worse."""
    effect = test.effect
    if test.outcome.worse > 0:
        return effect
    return replace(effect, value=-effect.value, ci_low=-effect.ci_high, ci_high=-effect.ci_low)


def _left_out(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest mean when one value is left out; NaN for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    means = [(sum(values) - value) / (len(values) - 1) for value in values]
    return min(means), max(means)


def not_run(
    config: str | Path,
    runs: Mapping[str, dict] | None = None,
    *,
    sweeps: Sequence[str] | None = None,
) -> dict[str, tuple[int, list["Cell"]]]:
    """Sweep of the plan → how many runs it has, and the cells whose run is not recorded.

    ``config``: the study's file, of the project; ``runs``: provenance of the runs that are there by
    run id, None: of the recorded ones; ``sweeps``: those of these names alone.
    """
    from fairnc_utils.runs import grid  # brings all that trains; who reads numbers needs none of it

    runs = recording.runs() if runs is None else runs
    results = select(recorded(), profile=EDITION, run_id=list(runs))
    plan = grid.plan(yaml.safe_load((checkout.root() / config).read_text()))
    only = [name for name in plan.sweeps if sweeps is None or name in sweeps]
    return grid.missing_by_sweep(plan, runs, results, only)


def effect(
    tests: pd.DataFrame, comparison: str, key: str, *, model: str = EMBEDDED, method: str = TOTAL
) -> pd.Series | None:
    """One effect, whichever family has it: with its verdict where one judges it; None where there is
    no number.
    """
    rows = select(tests, comparison=comparison, key=key, model=model, method=method)
    rows = rows[rows["value"].notna()]
    judged = rows[rows["verdict"].ne("")]
    rows = judged if len(judged) else rows
    return rows.iloc[0] if len(rows) else None
