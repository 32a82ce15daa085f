"""Is one model fairer than another? A paired comparison on everything that both can take, and a gate.

Both models score the same items, and each metric's change is tested over the units that were sampled
(pairs, occupations, texts, words): the units of both are redrawn together, so what is hard for both
cancels out. Every test says what it could have seen: the smallest true change that it finds four times
in five, and the number of units at which the change that it saw would be found so often. Holm's
correction goes over all tests of a comparison.

A *margin* turns the comparison into a gate. Loss is the change for the worse: for a metric that can
miss its ideal on both sides, of the distance from it. A metric is *not worse* where one-sided tests put
the loss below its margin, *worse* where they put it above, each at 2.5% (so the 95% interval lies on one
side of the margin), and else *undecided*. A gate is passed if every metric is not worse, which needs no
correction; that one of several is worse is said after Holm's.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy

from fairnc_utils import harness, panel, stats
from fairnc_utils._progress import progress
from fairnc_utils.errors import FairNCError
from fairnc_utils.metrics import METRICS, Metric
from fairnc_utils.models import LanguageModel
from fairnc_utils.panel import Part
from fairnc_utils.stats import Effect, Estimate

#: Power that "could have been seen" stands for.
POWER = 0.8


class Decision(StrEnum):
    """What a margin says of a loss."""

    NOT_WORSE = "not worse"
    WORSE = "worse"
    UNDECIDED = "undecided"


#: Decision → exit status of ``fairnc compare``; 2 is bad input.
STATUS = {Decision.NOT_WORSE: 0, Decision.WORSE: 1, Decision.UNDECIDED: 3}


@dataclass(frozen=True)
class Test:
    """One metric of both models on the items that both could score.

    ``first``, ``second``: its values; ``change``: second − first; ``loss``: the change for the worse,
    None where no value of the metric is better than another; ``left_out``: items that only one could
    score; ``holm_p``: p of no change, after Holm's correction; ``margin`` and ``decision``: of the gate.
    """

    __test__ = False  # for pytest, which takes it for one of its own

    part: Part
    metric: str
    first: Estimate
    second: Estimate
    change: Effect
    loss: Effect | None
    left_out: int = 0
    holm_p: float = math.nan
    margin: float | None = None
    decision: Decision | None = None

    @property
    def described(self) -> Metric:
        """Label, ideal and direction."""
        return self.part.described.get(self.metric) or METRICS.get(
            self.metric, Metric(self.metric, instead="–")
        )

    @property
    def name(self) -> str:
        """``benchmark/metric``, as a margin may name it."""
        return f"{self.part.benchmark.name}/{self.metric}"

    @property
    def smallest(self) -> float:
        """The smallest true change that this test finds with power .8 (before Holm's correction); NaN
        where no error is known.
        """
        if not (math.isfinite(self.change.error) and self.change.error > 0):
            return math.nan
        return stats.smallest_effect(self.change.error, self.change.df, wanted=POWER)

    @cached_property
    def needed(self) -> int | None:
        """Units that would decide if things are as they look: at which the change, or the loss's
        distance from its margin, is found with power .8; None where no number would.
        """
        if self.margin is None or self.loss is None:
            return stats.units_needed(
                self.change.value, self.change.error, self.change.units, wanted=POWER
            )
        away = self.loss.value - self.margin
        return stats.units_needed(away, self.loss.error, self.loss.units, wanted=POWER)

    @property
    def significant(self) -> bool:
        """Whether the change is significant after Holm's correction."""
        return self.holm_p < 1 - stats.LEVEL

    @property
    def sentence(self) -> str:
        """The finding in plain words."""
        said = f"{self.described.label}: {self.first.value:.3g} → {self.second.value:.3g}, "
        if self.decision is Decision.UNDECIDED:
            return f"{said}undecided whether worse by more than {self.margin:g}{self._remedy}."
        if self.decision is not None:
            return f"{said}{self.decision} by more than {self.margin:g}."
        if not math.isfinite(self.change.error):
            return f"{said}too few units for an interval."
        if self.significant:
            if self.loss is None:
                return f"{said}it {'rose' if self.change.value > 0 else 'fell'}."
            return f"{said}{'worse' if self.loss.value > 0 else 'better'}."
        if math.isnan(self.smallest):
            return f"{said}no difference."
        seen = f"a true one of {self.smallest:.2g} would be seen four times in five{self._remedy}"
        return f"{said}no difference seen; {seen}."

    @property
    def _remedy(self) -> str:
        if self.needed is None or self.needed <= self.change.units:
            return ""
        return f" ({self.needed:,} units would decide, here are {self.change.units:,})"


@dataclass(frozen=True)
class Comparison:
    """Two models by name, every test, what was ``left_out`` and why, and where it all came from."""

    first: str
    second: str
    tests: tuple[Test, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gated(self) -> tuple[Test, ...]:
        """Tests that have a margin."""
        return tuple(test for test in self.tests if test.decision is not None)

    @property
    def decision(self) -> Decision | None:
        """Of all margins: worse if one is, else undecided if one is; None without margins."""
        decisions = {test.decision for test in self.gated}
        for decision in (Decision.WORSE, Decision.UNDECIDED, Decision.NOT_WORSE):
            if decision in decisions:
                return decision
        return None

    @property
    def status(self) -> int:
        """Exit status: 0 not worse, or no margin; 1 worse; 3 undecided."""
        return 0 if self.decision is None else STATUS[self.decision]

    def table(self) -> pd.DataFrame:
        """One row a test."""
        return pd.DataFrame([_row(test) for test in self.tests])

    def record(self) -> dict:
        """All of it as JSON takes it; what is no number is None."""
        return plain(
            {
                "what": "comparison",
                "version": 1,
                "first": self.first,
                "second": self.second,
                "decision": self.decision,
                "status": self.status,
                "tests": [_row(test) for test in self.tests],
                "left_out": dict(self.left_out),
                "provenance": dict(self.provenance),
            }
        )

    def json(self) -> str:
        """``record`` as text."""
        return json.dumps(self.record(), ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        lines = [f"{self.first} → {self.second}: second − first, paired over units", ""]
        shown = [_shown(test) for test in self.tests]
        widths = [max(map(len, column)) for column in zip(*shown, _HEAD, strict=True)]
        for cells in (_HEAD, *shown):
            cells = zip(cells, widths, strict=True)
            lines.append("  ".join(f"{cell:{width}}" for cell, width in cells).rstrip())
        lines += ["", *(test.sentence for test in self.gated or self.tests)]
        lines += [f"not compared: {name} ({why})" for name, why in self.left_out.items()]
        if self.decision is not None:
            lines += ["", f"{self.second} against {self.first}: {self.decision}"]
        return "\n".join(lines)


_HEAD = (
    "test",
    "ideal",
    "first",
    "second",
    "change [95% interval]",
    "p (Holm)",
    "detectable",
    "units",
    "would decide",
)


def _shown(test: Test) -> tuple[str, ...]:
    change = test.change
    bounds = f" [{change.ci_low:.3g}, {change.ci_high:.3g}]" if math.isfinite(change.error) else ""
    return (
        f"{test.part.benchmark.name}:{test.part.axis} {test.described.label}",
        test.described.target,
        f"{test.first.value:.4g}",
        f"{test.second.value:.4g}",
        f"{change.value:.3g}{bounds}",
        "–" if math.isnan(test.holm_p) else f"{test.holm_p:.2g}",
        "–" if math.isnan(test.smallest) else f"{test.smallest:.2g}",
        f"{change.units}",
        "–" if test.needed is None else f"{test.needed:,}",
    )


def _row(test: Test) -> dict:
    change, described = test.change, test.described
    row = {
        "benchmark": test.part.benchmark.name,
        "split": test.part.split,
        "axis": test.part.axis,
        "section": test.part.section,
        "metric": test.metric,
        "label": described.label,
        "unit": described.unit,
        "ideal": described.ideal,
        "target": described.target,
        "better": described.better,
    }
    for side in ("first", "second"):
        estimate = getattr(test, side)
        row |= {
            side: estimate.value,
            f"{side}_low": estimate.ci_low,
            f"{side}_high": estimate.ci_high,
        }
    return row | {
        "change": change.value,
        "ci_low": change.ci_low,
        "ci_high": change.ci_high,
        "error": change.error,
        "units": change.units,
        "items_left_out": test.left_out,
        "p": change.p() if math.isfinite(change.error) else math.nan,
        "holm_p": test.holm_p,
        "smallest": test.smallest,
        "needed": test.needed,
        "loss": test.loss.value if test.loss else math.nan,
        "margin": test.margin,
        "decision": test.decision,
        "sentence": test.sentence,
    }


def plain(value: Any) -> Any:
    """A value as JSON takes it: NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return str(value) if isinstance(value, StrEnum) else value


# ---------------------------------------------------------------- statistics


def paired_tests(part: Part, first: pd.DataFrame, second: pd.DataFrame) -> list[Test]:
    """Tests of a part's metrics from the item scores of both models, without Holm's correction.

    Raises ``FairNCError`` where no item was scored by both.
    """
    ours, theirs, left_out = _shared(part, first, second)
    benchmark = part.benchmark
    described = {
        metric: part.described.get(metric) or METRICS.get(metric, Metric(metric))
        for metric in part.metrics
    }
    benchmark = replace(
        benchmark, statistics={name: benchmark.statistics[name] for name in part.metrics}
    )
    changes = benchmark.effects(ours, theirs)
    judged = {name: metric for name, metric in described.items() if metric.judged}
    losses = replace(
        benchmark, statistics={name: benchmark.statistics[name] for name in judged}
    ).effects(ours, theirs, lambda name, values: judged[name].loss(values))
    values = [benchmark.estimates(items) for items in (ours, theirs)]
    return [
        Test(
            part,
            name,
            values[0][name],
            values[1][name],
            changes[name],
            losses.get(name),
            left_out,
        )
        for name in part.metrics
    ]


def _shared(
    part: Part, first: pd.DataFrame, second: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """The items that both models could score, in one order, and how many only one could."""
    scores = ["score_a", "score_b", "score_c"]
    tables = [table.set_index("item_id", drop=False) for table in (first, second)]
    for table in tables:
        if not table.index.is_unique:
            again = table.index[table.index.duplicated()][0]
            raise FairNCError(f"{part.name}: item {again} was scored twice")
    both = tables[0].index.intersection(tables[1].index, sort=False)
    ours, theirs = (table.loc[both] for table in tables)
    alike = (ours[scores].isna().to_numpy() == theirs[scores].isna().to_numpy()).all(axis=1)
    ours, theirs = (table[alike].reset_index(drop=True) for table in (ours, theirs))
    if ours.empty:
        raise FairNCError("no item was scored by both models")
    return ours, theirs, len(tables[0].index.union(tables[1].index)) - len(ours)


def judged(tests: Sequence[Test], margins: Mapping[str, float] | None = None) -> tuple[Test, ...]:
    """The tests with Holm's p over all of them, and the decisions of the margins.

    ``margins``: metric, or ``benchmark/metric``, → the largest loss that is no loss, in the metric's
    unit. Raises ``FairNCError`` for a margin that is no number from 0 on, that names no test, or a metric of
    which no value is better than another.
    """
    p = [test.change.p() if math.isfinite(test.change.error) else math.nan for test in tests]
    holm = stats.holm(p)
    tests = [replace(test, holm_p=float(each)) for test, each in zip(tests, holm, strict=True)]
    gated = _gated(tests, margins or {})
    worse = stats.holm([_one_sided(loss, margin, 1) for _, loss, margin in gated])
    level = (1 - stats.LEVEL) / 2
    for (place, loss, margin), p_worse in zip(gated, worse, strict=True):
        decision = Decision.UNDECIDED
        if _one_sided(loss, margin, -1) <= level:
            decision = Decision.NOT_WORSE
        elif p_worse <= level:
            decision = Decision.WORSE
        tests[place] = replace(tests[place], margin=margin, decision=decision)
    return tuple(tests)


def _one_sided(loss: Effect, margin: float, side: int) -> float:
    """p of the loss being no more (side +1) or no less (−1) than its margin; 1 where no error is known."""
    away = side * (loss.value - margin)
    if loss.error == 0:
        return 0.0 if away > 0 or (side < 0 and away == 0) else 1.0
    p = float(scipy.stats.t.sf(away / loss.error, loss.df))
    return p if math.isfinite(p) else 1.0


def _gated(tests: Sequence[Test], margins: Mapping[str, float]) -> list[tuple[int, Effect, float]]:
    """Place, loss and margin of each test that has one; a benchmark's own margin goes before that of
    a metric of this name.
    """
    check_margins(margins, [(test.name, test.described) for test in tests])
    return [
        (place, test.loss, margins.get(test.name, margins.get(test.metric, 0.0)))
        for place, test in enumerate(tests)
        if test.loss is not None and {test.name, test.metric} & margins.keys()
    ]


def check_margins(margins: Mapping[str, float], known: Sequence[tuple[str, Metric]]) -> None:
    """Raise ``FairNCError`` for a margin that is no number from 0 on or names none of the metrics that
    can be judged; ``known``: ``benchmark/metric`` and what the metric is.
    """
    names = [name for name, metric in known if metric.judged]
    valid = dict.fromkeys([*(name.partition("/")[2] for name in names), *names])
    for key, margin in margins.items():
        if not (isinstance(margin, int | float) and math.isfinite(margin) and margin >= 0):
            raise FairNCError(f"margin {key} = {margin}: give a number from 0 on")
        if key not in valid:
            raise FairNCError(
                f"margin {key!r} names no metric that is compared and has a better side: choose {', '.join(valid)}"
            )


# ---------------------------------------------------------------- the comparison


def compare(
    first: str | LanguageModel,
    second: str | LanguageModel,
    *,
    benchmarks: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None,
    budget: float | None = None,
    words: str = "gender",
    device: str = "auto",
    seed: int = 0,
) -> Comparison:
    """Second against first model on the panel, or on the ``benchmarks`` named, or ``["all"]``.

    ``first``, ``second``: names for ``models.load``, models in memory, or two folders that
    lm-evaluation-harness wrote with ``--log_samples``, whose tasks are then what is compared.
    ``margins``: see ``judged``; ``budget``: minutes that both models together may take, about: it draws
    items by ``seed``, and leaves out what it cannot pay; None: all of them. ``words``: list whose
    collapse is measured, a name or a .csv file. Raises ``FairNCError`` on bad input, where nothing can
    be compared, and where a metric with a margin cannot.
    """
    panel.check(budget, words, benchmarks)
    margins = dict(margins or {})
    folders = [harness.is_samples(each) for each in (first, second)]
    if all(folders):
        return _of_samples(str(first), str(second), margins)
    if any(folders):
        raise FairNCError(f"{first} and {second}: compare two models, or two folders of samples")
    lms = [
        panel.load(each, device=device) if isinstance(each, str) else each
        for each in (first, second)
    ]
    requested, left_out = panel.parts([lm.kind for lm in lms], benchmarks, word_list=words)
    left_out |= other_text(lms, requested)
    requested = [part for part in requested if part.name not in left_out]
    asked = [(part, name) for part in requested for name in part.metrics]
    check_margins(
        margins,
        [
            (f"{part.benchmark.name}/{name}", METRICS.get(name, Metric(name)))
            for part, name in asked
        ],
    )
    paid = panel.Budget(lms, requested, minutes=budget, seed=seed)
    tests, items = [], {}
    for part in progress(requested, desc="comparing", unit="benchmark"):
        try:
            number = paid.number(part)
            sides = [panel.measure(lm, part, number, seed=seed) for lm in lms]
            tests += paired_tests(part, *sides)
            items[part.name] = len(sides[0])
        except FairNCError as error:
            left_out[part.name] = str(error)
    _require(tests, left_out, margins)
    for part, name in asked:
        if part.name in left_out and {name, f"{part.benchmark.name}/{name}"} & margins.keys():
            raise FairNCError(f"margin {name}: {part.name} was not compared: {left_out[part.name]}")
    provenance = panel.provenance(lms, seed=seed, budget_minutes=budget, items=items, words=words)
    return Comparison(lms[0].name, lms[1].name, judged(tests, margins), left_out, provenance)


def other_text(lms: Sequence[LanguageModel], requested: Sequence[Part]) -> dict[str, str]:
    """Why perplexities of two models say nothing of each other, where they do not."""
    if len({lm.kind for lm in lms}) == 1 and len({_vocabulary(lm) for lm in lms}) == 1:
        return {}
    why = "the models cut text into other tokens: their perplexities are of different things"
    return {part.name: why for part in requested if part.benchmark.name == "perplexity"}


def _vocabulary(lm: LanguageModel) -> tuple:
    return tuple(sorted(lm.tokenizer.get_vocab().items()))


def _of_samples(first: str, second: str, margins: Mapping[str, float]) -> Comparison:
    sides = [harness.read_samples(folder) for folder in (first, second)]
    left_out = {
        name: f"not in {folder}"
        for name in dict.fromkeys([*sides[0], *sides[1]])
        for side, folder in zip(sides, (first, second), strict=True)
        if name not in side
    }
    tests = []
    for name in (name for name in sides[0] if name in sides[1]):
        (part, ours), (_, theirs) = (side[name] for side in sides)
        tests += paired_tests(part, ours, theirs)
    _require(tests, left_out, margins)
    check_margins(margins, [(test.name, test.described) for test in tests])
    return Comparison(first, second, judged(tests, margins), left_out, panel.provenance())


def _require(tests: Sequence[Test], left_out: Mapping[str, str], margins: Mapping) -> None:
    """Raise ``FairNCError`` where nothing was compared, or not what a margin is about."""
    why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    if not tests:
        raise FairNCError(f"nothing can be compared: {why or 'no benchmark was asked for'}")
    compared = dict.fromkeys([*(test.metric for test in tests), *(test.name for test in tests)])
    if lacking := [name for name in margins if name not in compared]:
        raise FairNCError(
            f"margin {lacking[0]!r} is of nothing that was compared: choose {', '.join(compared)}"
            + (f"; left out: {why}" if why else "")
        )


def parse_margins(texts: Sequence[str]) -> dict[str, float]:
    """``METRIC=VALUE`` texts. Raises ``FairNCError`` for others."""
    margins = {}
    for text in texts:
        name, mark, value = text.rpartition("=")
        try:
            margins[name] = float(value)
        except ValueError:
            mark = ""
        if not (mark and name):
            raise FairNCError(f"margin {text!r}: write METRIC=VALUE, as in slope=0.2")
    return margins
