"""Bias at equal quality: what the study of compression decides by, as ``book/about/plan-compression.md``
fixed it before the runs.

A model that speaks worse looks fairer. So a compressed model is set against models that plain noise has
made as bad, and its debiasing against its debiasing before. All draws are those of ``stats.Changes``,
whose rows redraw the same units for every run of a benchmark.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy.optimize
import scipy.stats

from fairnc_utils import stats
from fairnc_utils.stats import LEVEL, Changes, Effect

#: A difference within this share of the base's value counts as none.
MARGIN = 0.1

#: Debiasing survives if so much of its effect does.
SURVIVES = 0.8


class Outcome(StrEnum):
    """What the runs say of a compressor at equal quality."""

    NOT_COMPARABLE = "not comparable"
    FAIRER = "fairer"
    LESS_FAIR = "less fair"
    NO_DIFFERENCE = "no difference"
    INCONCLUSIVE = "inconclusive"


class Answer(StrEnum):
    """What the runs say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Noise:
    """Runs of one model with noise on its weights, the model itself among them: ``quality`` (N,), high is
    worse; ``values`` of the bias, N seeds of ``Changes``; ``seeds`` (N,), −1 for the model itself.
    """

    quality: np.ndarray
    values: Changes
    seeds: np.ndarray

    def holds(self, quality: Sequence[float]) -> bool:
        """Whether a quality lies within the range of these runs."""
        return bool(np.min(quality) >= self.quality.min() and np.max(quality) <= self.quality.max())


@dataclass(frozen=True)
class Matched:
    """The bias of a model minus that of noise at its quality: ``value`` with its 95% interval and, for
    equivalence, its 90% one (``low``, ``high``); ``error`` and two-sided ``p``; ``expected``: what noise
    has there; ``by_seed``: the differences of its runs. All NaN where it is not comparable.
    """

    value: float
    ci_low: float
    ci_high: float
    low: float
    high: float
    error: float
    p: float
    expected: float
    by_seed: tuple[float, ...]

    @property
    def comparable(self) -> bool:
        """Whether the noise curve reaches its quality."""
        return bool(np.isfinite(self.value))

    @property
    def smallest(self) -> float:
        """The difference that would have been found with power .8."""
        return stats.smallest_effect(self.error, stats.MAX_DF) if self.comparable else np.nan


def curve(
    quality: np.ndarray, values: np.ndarray, at: np.ndarray, *, rising: bool, weights: np.ndarray
) -> np.ndarray:
    """Isotonic least squares of values on quality, straight between its points, at other qualities.

    ``quality``, ``values``, ``weights`` (N,) of which those of 0 take no part; ``at`` (M,) → (M,);
    outside of the range the nearest end.
    """
    drawn = weights > 0
    order = np.argsort(quality[drawn], kind="stable")
    x, y, w = (column[drawn][order] for column in (quality, values, weights))
    x, place = np.unique(x, return_inverse=True)
    total = np.bincount(place, w)
    means = np.bincount(place, w * y) / total
    fitted = scipy.optimize.isotonic_regression(means, weights=total, increasing=rising).x
    return np.interp(at, x, fitted)


def matched(
    noise: Noise, quality: Sequence[float], values: Changes, *, rising: bool = False, seed: int = 0
) -> Matched:
    """A model's bias against that of noise at equal quality.

    ``quality`` (S,) and ``values`` are its runs'; ``rising``: whether bias rises as quality gets worse,
    which it does where the base's is negative. Units are redrawn alike in all runs, seeds of noise for
    all its sizes at once, seeds of the model by themselves, and the curve is fitted each time.
    """
    quality = np.asarray(quality, float)
    if not noise.holds(quality):
        return Matched(*[np.nan] * 8, by_seed=())

    def gap(y: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
        expected = curve(noise.quality, y, quality, rising=rising, weights=weights)
        return bias - expected

    ones = np.ones(len(noise.quality))
    by_seed = gap(noise.values.observed, ones, values.observed)
    rng, names = np.random.default_rng(seed), np.unique(noise.seeds[noise.seeds >= 0])
    draws = np.empty(len(noise.values.resampled))
    for row in range(len(draws)):
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        times = dict(zip(names, counts, strict=True)) | {-1: 1}
        weights = np.array([times[name] for name in noise.seeds], float)
        picked = rng.integers(len(quality), size=len(quality))
        gaps = gap(noise.values.resampled[row], weights, values.resampled[row])
        draws[row] = gaps[picked].mean()
    value = float(by_seed.mean())
    expected = float(values.observed.mean()) - value
    return Matched(*summary(value, draws), expected, tuple(map(float, by_seed)))


def summary(value: float, draws: np.ndarray) -> tuple[float, ...]:
    """Value, 95% interval, 90% interval, standard error and two-sided p, of a value and its redraws."""
    ends = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2, 1 - LEVEL, LEVEL])
    error = float(draws.std(ddof=1))
    p = float(2 * scipy.stats.norm.sf(abs(value) / error)) if error > 0 else float(value == 0)
    return (value, *map(float, ends), error, p)


def outcome(difference: Matched, holm_p: float, *, base: float) -> Outcome:
    """The verdict on a compressor. ``base``: the bias of the model itself, whose sign says which side is
    better.
    """
    if not difference.comparable:
        return Outcome.NOT_COMPARABLE
    side = np.sign(difference.value)
    agree = all(np.sign(each) == side for each in difference.by_seed)
    if holm_p < 1 - LEVEL and agree:
        return Outcome.FAIRER if side == -np.sign(base) else Outcome.LESS_FAIR
    if within(difference.low, difference.high, MARGIN * abs(base)):
        return Outcome.NO_DIFFERENCE
    return Outcome.INCONCLUSIVE


def within(low: float, high: float, margin: float) -> bool:
    """Whether an interval lies within ±margin; of 90%, two one-sided tests at 5%."""
    return bool(-margin <= low and high <= margin)


def one_way(better: Iterable[bool], worse: Iterable[bool]) -> Answer:
    """The answer to a claim of several contrasts: some for it and none against, or the reverse."""
    better, worse = list(better), list(worse)
    if not better:
        return Answer.NOT_RUN
    if any(better) != any(worse):
        return Answer.SUPPORTED if any(better) else Answer.CONTRADICTED
    return Answer.INCONCLUSIVE


# ---------------------------------------------------------------- survival


def ratio(part: Changes, whole: Changes) -> Changes:
    """Mean of the one over mean of the other, seed by seed to first order, so that seeds and units can be
    redrawn: the mean over seeds is the ratio itself.
    """
    bottom = whole.observed.mean()
    value = part.observed.mean() / bottom
    observed = value + (part.observed - value * whole.observed) / bottom
    resampled = value + (part.resampled - value * whole.resampled) / bottom
    return Changes(observed, resampled, whole.units)


def survival(compressed: Changes, before: Changes) -> Effect | None:
    """How much of a debiasing's effect is left after compression: 1 all, 0 nothing, below 0 the reverse.

    ``compressed``: debiased − untrained, both compressed; ``before``: the same without compression, the
    same seeds and units. None where the interval of the latter holds 0: nothing is there to survive.
    """
    whole = stats.crossed_bootstrap(before)
    if not stats.side(whole.ci_low, whole.ci_high):
        return None
    return stats.crossed_bootstrap(ratio(compressed, before))


def survival_difference(first: tuple[Changes, Changes], second: tuple[Changes, Changes]) -> Effect:
    """Survival of the second debiasing minus that of the first, as pairs (compressed, before) of
    ``survival``, paired by seeds and units.
    """
    ends = [ratio(*pair) for pair in (first, second)]
    change = Changes(
        ends[1].observed - ends[0].observed,
        ends[1].resampled - ends[0].resampled,
        ends[0].units,
    )
    return stats.crossed_bootstrap(change)


def survives(effects: Iterable[Effect | None]) -> Answer:
    """Whether debiasing survives, by several methods: all intervals above ``SURVIVES``, or one below."""
    effects = list(effects)
    if not effects or None in effects:
        return Answer.NOT_RUN if not effects else Answer.INCONCLUSIVE
    if all(effect.ci_low > SURVIVES for effect in effects):
        return Answer.SUPPORTED
    if any(effect.ci_high < SURVIVES for effect in effects):
        return Answer.CONTRADICTED
    return Answer.INCONCLUSIVE


# ---------------------------------------------------------------- difference in differences


@dataclass(frozen=True)
class Difference:
    """A difference in differences with its 95% interval and its 90% one (``low``, ``high``)."""

    value: float
    ci_low: float
    ci_high: float
    low: float
    high: float


def difference_in_differences(treated: Changes, control: Changes) -> Difference:
    """Change of the one list of words minus change of the other, one run each, words redrawn; 0: both are
    hit alike.
    """
    draws = treated.resampled[:, 0] - control.resampled[:, 0]
    value = float(treated.observed[0] - control.observed[0])
    return Difference(*summary(value, draws)[:5])


def alike(differences: Iterable[Difference], *, base: float) -> Answer:
    """Whether gender words are hit as others are: every 90% interval within ``MARGIN`` of the base's value,
    or one 95% interval that holds neither 0 nor that bound.
    """
    differences, margin = list(differences), MARGIN * abs(base)
    if not differences:
        return Answer.NOT_RUN
    if all(within(each.low, each.high, margin) for each in differences):
        return Answer.SUPPORTED
    if any(each.ci_low > margin or each.ci_high < -margin for each in differences):
        return Answer.CONTRADICTED
    return Answer.INCONCLUSIVE
