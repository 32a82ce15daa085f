"""Changes: treated − comparator, seed by seed; what the plan's rule makes of them; their rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd

from fairnc_book import verdicts
from fairnc_book.frontier.data import DOSE, JUDGED, KEPT, OUTCOMES, SHOWN, cell
from fairnc_book.numbers import UNTRAINED, Cell, Numbers, estimate
from fairnc_utils import corpora, stats
from fairnc_utils.runs.rows import Run, make, metric_rows


@dataclass(frozen=True)
class Change:
    """Treated − comparator: ``effects`` by outcome; none where one of the two was not run.

    ``missing``: which of the two, in words. ``untrained``, ``treated``: the slope of the base and
    that of the treated runs; ``before``: the comparator's mean slope.
    """

    base: str
    first: Cell
    second: Cell
    treatment: str
    against: str
    dose: float
    effects: Mapping[str, stats.Effect]
    missing: tuple[str, ...] = ()
    untrained: stats.Estimate | None = None
    treated: stats.Estimate | None = None
    before: float = np.nan

    @cached_property
    def failed(self) -> tuple[str, ...]:
        """What must be kept and was not, by the upper bound of its change for the worse."""
        return tuple(
            name
            for name in KEPT
            if name in self.effects
            and np.isfinite(self.effects[name].ci_high)
            and not verdicts.kept(_for_the_worse(name, self.effects[name]), OUTCOMES[name].bound)
        )

    @property
    def seeds(self) -> int:
        """Seeds that both were run with; 0 where one of them was not run."""
        return max((effect.seeds for effect in self.effects.values()), default=0)

    @property
    def decided(self) -> bool:
        """Whether everything that it is judged by has an interval."""
        return all(
            name in self.effects and np.isfinite(self.effects[name].ci_high) for name in JUDGED
        )


def _for_the_worse(name: str, effect: stats.Effect) -> stats.Effect:
    """The effect of an outcome, counted so that more is worse."""
    if OUTCOMES[name].worse > 0:
        return effect
    return replace(effect, value=-effect.value, ci_low=-effect.ci_high, ci_high=-effect.ci_low)


def change(
    numbers: Numbers,
    method: str,
    treatment: str,
    dose: float = DOSE,
    *,
    outcomes: Iterable[str] = SHOWN,
    against: str = "none",
    resamples: int = 2000,
) -> Change:
    """A treatment of a method against another (``none`` or one at the same dose), over seeds and
    units.
    """
    first, second = cell(method, against, dose), cell(method, treatment, dose)
    effects = {}
    for name in outcomes:
        outcome = OUTCOMES[name]
        contrast = numbers.contrast(outcome.measure, first, second)
        if contrast.second.empty:
            continue
        changes = (
            stats.Changes(np.log(contrast.ratio))
            if outcome.logarithm
            else numbers.changes(contrast, resamples=resamples)
        )
        effects[name] = stats.crossed_bootstrap(changes)
    measure = OUTCOMES["slope"].measure
    untrained, before, treated = (
        numbers.runs(measure, side) for side in (UNTRAINED, first, second)
    )
    sides = {
        _called(method, against, dose): before,
        _called(method, treatment, dose): treated,
    }
    return Change(
        numbers.model,
        first,
        second,
        treatment,
        against,
        dose,
        effects,
        missing=tuple(name for name, rows in sides.items() if rows.empty),
        untrained=None if untrained.empty else estimate(untrained),
        treated=None if treated.empty else estimate(treated),
        before=float(before["value"].mean()),
    )


def _called(method: str, treatment: str, dose: float) -> str:
    return f"{method} alone" if treatment == "none" else f"{method} with {treatment} {dose:g}"


def changes(
    numbers: Numbers,
    methods: Iterable[str],
    treatments: Iterable[str],
    doses: Iterable[float] = (DOSE,),
    **options,
) -> list[Change]:
    """``change`` of every method with every treatment at every dose."""
    return [change(numbers, *cell, **options) for cell in product(methods, treatments, doses)]


# ---------------------------------------------------------------- judgements

#: Words of a judgement.
FAIRER, BLINDER, NO_FAIRER, OPEN = "fairer", "blinder", "no fairer", "not decided"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Judgement:
    """What the plan's rule makes of a change: ``word`` and the ``verdict`` on the slope, None where
    there is none.
    """

    word: str
    verdict: verdicts.Verdict | None = None


def judge(changes: Sequence[Change]) -> list[Judgement]:
    """Each change by the plan's rule; the slopes are one Holm family.

    *blinder*: a bound on what must be kept fails; *fairer*: none does, and a falling slope is
    supported; *no fairer* otherwise; *not decided* where an interval is missing (a single seed).
    """
    slopes = [change.effects.get("slope") for change in changes]
    adjusted = stats.holm([np.nan if effect is None else effect.p() for effect in slopes])
    return [_judgement(change, float(p)) for change, p in zip(changes, adjusted, strict=True)]


def _judgement(change: Change, holm_p: float) -> Judgement:
    slope = change.effects.get("slope")
    if slope is None:
        return Judgement(NOT_RUN)
    verdict = None
    if np.isfinite(slope.ci_high):
        verdict = verdicts.verdict(
            verdicts.AdjustedEffect(slope, holm_p),
            [],
            predicted=-1,
            margin=0.1 * abs(change.before),
            base=change.untrained,
            treated=change.treated,
        )
    if change.failed:
        return Judgement(BLINDER, verdict)
    if not change.decided:
        return Judgement(OPEN, verdict)
    return Judgement(FAIRER if verdict == verdicts.Verdict.SUPPORTED else NO_FAIRER, verdict)


# ---------------------------------------------------------------- levels and rows

_LEVEL_COLUMNS = [
    "variant",
    "model",
    "method",
    "regularizer",
    "lam",
    "treatment",
    "dose",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
]


def levels(
    numbers: Numbers, cells: Iterable[tuple[str, str, float]], outcomes: Iterable[str]
) -> pd.DataFrame:
    """Mean over seeds of each cell (method, treatment, dose) on each outcome with its t interval;
    of the untrained model (method ``base``) the value with its own. Cells that were not run have no
    row. ``treatment`` and ``dose`` stand beside the columns of result rows.
    """
    rows = []
    for (method, treatment, dose), name in product(cells, outcomes):
        where = cell(method, treatment, dose)
        runs = numbers.runs(OUTCOMES[name].measure, where)
        if len(runs):
            untrained = where == UNTRAINED
            mean = estimate(runs) if untrained else stats.over_seeds(runs["value"])
            columns = {
                "variant": "mean",
                "model": numbers.model,
                "method": method,
                "regularizer": where.regularizer,
                "lam": runs["lam"].max(),
                "treatment": treatment,
                "dose": dose,
            }
            rows += metric_rows({name: mean}, **columns)
    return pd.DataFrame(rows, columns=_LEVEL_COLUMNS)


def as_run(
    changes: Iterable[Change],
    means: pd.DataFrame | None = None,
    *,
    bases: Iterable[Numbers],
    profile: str = "adhoc",
) -> Run:
    """Rows of changes (variant ``minus none``: what they are taken from) and of ``levels``; ``n``
    counts seeds.
    """
    bases = list(bases)
    common = {"benchmark": "frontier", "origin": "recorded", "seed": np.nan}
    rows = [
        common
        | {
            "variant": f"minus {change.against}",
            "model": change.base,
            "method": change.second.method,
            "regularizer": change.second.regularizer,
            "lam": np.nan,
            "metric": name,
            "value": effect.value,
            "ci_low": effect.ci_low,
            "ci_high": effect.ci_high,
            "n": effect.seeds,
        }
        for change in changes
        for name, effect in change.effects.items()
    ]
    if means is not None:
        columns = means.drop(columns=["treatment", "dose"]).to_dict("records")
        rows += [common | row for row in columns]
    config = {"model": bases[0].model, "profile": profile}
    runs = [run_id for numbers in bases for run_id in numbers.run_ids]
    evidence = {"study": corpora.fingerprint(runs), "runs": len(runs)}
    return make(config, rows, None, device="cpu", evidence=evidence)
