"""One model, measured on everything that it can take: what it finds likely, what it is told and keeps,
where its words stand, how well it predicts text; alone, or against another model.

Every number comes with its interval, its ideal, and the smallest deviation from that ideal (against
another model: the smallest difference) that so many units would show four times in five.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from fairnc_utils import measurement, panel, stats
from fairnc_utils._progress import progress
from fairnc_utils.compare import POWER, Test, judged, other_text, paired_tests, plain
from fairnc_utils.errors import FairNCError
from fairnc_utils.measurement import ClassMeans
from fairnc_utils.metrics import METRICS, Metric
from fairnc_utils.models import LanguageModel
from fairnc_utils.panel import Part
from fairnc_utils.stats import Effect, Estimate

#: Control lists of each kind that a word list is placed among.
DRAWS = 100


@dataclass(frozen=True)
class Number:
    """One metric of the model: its ``estimate``, the same as a change from 0 with its error
    (``effect``), items used and all there are, and against another model the paired ``test``.
    """

    part: Part
    metric: str
    estimate: Estimate
    effect: Effect
    items: int
    of_items: int
    test: Test | None = None

    @property
    def described(self) -> Metric:
        """Label, ideal and direction."""
        return self.part.described.get(self.metric) or METRICS.get(
            self.metric, Metric(self.metric, instead="–")
        )

    @property
    def side(self) -> int:
        """+1 where the interval lies above an ideal that can be missed on both sides, −1 below, 0 where
        it holds it; 0 for other metrics.
        """
        if not self.described.two_sided:
            return 0
        return stats.side(self.estimate.ci_low, self.estimate.ci_high, self.described.ideal or 0.0)

    @property
    def smallest(self) -> float:
        """The smallest true deviation from a value that this test would find with power .8; NaN where
        no error is known.
        """
        if not (math.isfinite(self.effect.error) and self.effect.error > 0):
            return math.nan
        return stats.smallest_effect(self.effect.error, self.effect.df, wanted=POWER)

    def record(self) -> dict:
        """The number as JSON takes it."""
        described = self.described
        told = {
            "section": self.part.section,
            "benchmark": self.part.benchmark.name,
            "split": self.part.split,
            "axis": self.part.axis,
            "metric": self.metric,
            "label": described.label,
            "unit": described.unit,
            "ideal": described.ideal,
            "target": described.target,
            "better": described.better,
            "value": self.estimate.value,
            "ci_low": self.estimate.ci_low,
            "ci_high": self.estimate.ci_high,
            "units": self.estimate.n,
            "side": self.side,
            "smallest": self.smallest,
            "items": self.items,
            "of_items": self.of_items,
            "measures": self.part.benchmark.measures,
            "limits": self.part.benchmark.limits,
        }
        if self.test is None:
            return plain(told | {"against": None})
        test = self.test
        against = {
            "value": test.first.value,
            "ci_low": test.first.ci_low,
            "ci_high": test.first.ci_high,
            "change": test.change.value,
            "change_low": test.change.ci_low,
            "change_high": test.change.ci_high,
            "holm_p": test.holm_p,
            "found": test.significant,
            "smallest": test.smallest,
            "needed": test.needed,
            "units": test.change.units,
            "loss": test.loss.value if test.loss else math.nan,
            "sentence": test.sentence,
        }
        return plain(told | {"against": against})


@dataclass(frozen=True)
class Audit:
    """A model by name, its numbers, where its words stand among control lists (``words``, by model),
    what was ``left_out`` and why, and where it all came from.
    """

    model: str
    against: str | None
    numbers: tuple[Number, ...]
    words: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict:
        """All of it as JSON takes it; what is no number is None."""
        return plain(
            {
                "what": "audit",
                "version": 1,
                "model": self.model,
                "against": self.against,
                "numbers": [number.record() for number in self.numbers],
                "words": self.words,
                "left_out": self.left_out,
                "provenance": self.provenance,
            }
        )

    def json(self) -> str:
        """``record`` as text."""
        return json.dumps(self.record(), ensure_ascii=False, allow_nan=False)


def audit(
    model: str | LanguageModel,
    *,
    against: str | LanguageModel | None = None,
    budget: float | None = 2.0,
    benchmarks: Sequence[str] | None = None,
    words: str = "gender",
    device: str = "auto",
    seed: int = 0,
) -> Audit:
    """Measure a model on the panel, or on the ``benchmarks`` named; ``against`` another, paired.

    ``model``, ``against``: names for ``models.load``, or models in memory; ``budget``: minutes that
    measuring may take, about, all models together: it draws items by ``seed``, never fewer than
    ``Part.fewest``, and leaves out what it cannot pay so many of; None: all items.
    ``words``: list that is placed among control lists, a name or a .csv file. Raises ``FairNCError`` on
    bad input, and where nothing can be measured.
    """
    panel.check(budget, words, benchmarks)
    lms = [
        panel.load(each, device=device) if isinstance(each, str) else each
        for each in (model, against)
        if each is not None
    ]
    requested, left_out = panel.parts([lm.kind for lm in lms], benchmarks, word_list=words)
    if len(lms) > 1:
        left_out |= other_text(lms, requested)
    requested = [part for part in requested if part.name not in left_out]
    started = time.perf_counter()
    paid = panel.Budget(lms, requested, minutes=budget, seed=seed)
    numbers: list[Number] = []
    places: dict[str, Any] = {}
    for part in progress(requested, desc="auditing", unit="benchmark"):
        try:
            sides, readings = _scored(lms, part, paid.number(part), seed)
            numbers += _numbers(part, sides)
            places |= {
                lm.name: _place(reading, words, seed)
                for lm, reading in zip(lms, readings, strict=False)
            }
        except FairNCError as error:
            left_out[part.name] = str(error)
    if not numbers:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise FairNCError(f"{lms[0].name}: nothing can be measured: {why}")
    tested = judged([number.test for number in numbers if number.test])
    tests = iter(tested)
    numbers = [replace(number, test=next(tests)) if number.test else number for number in numbers]
    provenance = panel.provenance(
        lms,
        seed=seed,
        budget_minutes=budget,
        minutes=(time.perf_counter() - started) / 60,
        items={number.part.name: [number.items, number.of_items] for number in numbers},
        words=words,
    )
    other = lms[1].name if len(lms) > 1 else None
    return Audit(lms[0].name, other, tuple(numbers), places, left_out, provenance)


def _scored(
    lms: Sequence[LanguageModel], part: Part, number: int | None, seed: int
) -> tuple[list[pd.DataFrame], list[ClassMeans]]:
    """Item scores of each model, and of collapse what each was read as."""
    if part.benchmark.name != "collapse":
        return [panel.measure(lm, part, number, seed=seed) for lm in lms], []
    texts = panel.sample_units(part.items, number, seed=seed)
    readings = [panel.read_words(lm, texts) for lm in lms]
    sides = [panel.word_items(reading, part.axis) for reading in readings]
    return [side.assign(of_items=len(texts)) for side in sides], readings


def _numbers(part: Part, sides: Sequence[pd.DataFrame]) -> list[Number]:
    """The part's metrics of the first model, with the paired tests against the second, if there is one."""
    rows = sides[0]
    benchmark = replace(
        part.benchmark, statistics={name: part.benchmark.statistics[name] for name in part.metrics}
    )
    estimates, effects = benchmark.estimates(rows), benchmark.effects(None, rows)
    tests = {}
    if len(sides) > 1:
        tests = {test.metric: test for test in paired_tests(part, sides[1], sides[0])}
    items = int(rows["of_items"].iloc[0]) if "of_items" in rows else len(rows)
    return [
        Number(
            part,
            name,
            estimates[name],
            effects[name],
            items,
            len(part.items),
            tests.get(name),
        )
        for name in part.metrics
    ]


def _place(reading: ClassMeans, name: str, seed: int) -> dict:
    """NC3 and UNC3 of a word list beside control lists of as many words: random ones, and others that
    are as frequent; with the share of lists that lie lower, in percent.
    """
    items = panel.word_items(reading, name)
    ids = panel.seen_ids(reading, name)
    rows, drawn = measurement.draws(
        reading, number=DRAWS, min_count=panel.MIN_COUNT, seed=seed, classes=ids
    )
    lists = {
        kind: {
            "nc3": table["score_a"].tolist(),
            "unc3": table["score_b"].tolist(),
        }
        for kind, table in drawn.groupby("axis", sort=False)
    }
    percentiles = {
        f"{row['words']}/{row['metric'].removesuffix('_gender_percentile')}": row["value"]
        for row in rows
    }
    cosines = items["score_a"]
    return {
        "list": name,
        "words": len(items),
        "nc3": float(cosines.mean()),
        "unc3": float(cosines.std(ddof=1)),
        "lists": lists,
        "percentiles": percentiles,
    }
