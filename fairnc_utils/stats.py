"""Intervals: bootstrap over sampled units or over seeds × units, paired differences, jackknife;
several tests, power.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import ArrayLike

from fairnc_utils.errors import FairNCError

LEVEL = 0.95
MAX_DF = 1e6  # as good as the normal distribution
MAX_UNITS = 1e9  # of a sample that anyone would draw
# a percentile bootstrap of fewer says more about their number than about their spread
MIN_UNITS = 5


@dataclass(frozen=True)
class Estimate:
    """A value with its interval (``ci_low``, ``ci_high``) and the number of sampled units ``n``."""

    value: float
    ci_low: float
    ci_high: float
    n: int


def side(low: float, high: float, null: float = 0.0) -> int:
    """+1 where an interval lies above ``null``, −1 below it, 0 where it holds it or is NaN."""
    if low > null:
        return 1
    return -1 if high < null else 0


def standard_error(low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Standard errors whose usual normal intervals have these ends."""
    return (np.asarray(high) - np.asarray(low)) / 2 / scipy.stats.norm.ppf((1 + LEVEL) / 2)


def quotient(
    part: np.ndarray, whole: np.ndarray, *, otherwise: float = np.nan, above: float = 0.0
) -> np.ndarray:
    """part / whole, element by element, and ``otherwise`` where the whole is not ``above`` its
    least value.
    """
    whole = np.asarray(whole)
    out = np.full(np.shape(whole), otherwise)
    return np.divide(part, whole, out=out, where=whole > above)


def correlation(
    x: np.ndarray, y: np.ndarray, axis: int = -1, *, ranked: bool = False, otherwise: float = np.nan
) -> np.ndarray:
    """Pearson's correlation along an axis, from −1 to 1; ``ranked``: Spearman's, of the ranks, of
    which ties share the mean; ``otherwise`` where x or y is constant.
    """
    if ranked:
        x, y = (scipy.stats.rankdata(column, axis=axis) for column in (x, y))
    x, y = (column - np.mean(column, axis=axis, keepdims=True) for column in (x, y))
    spread = np.sqrt(np.sum(x * x, axis=axis) * np.sum(y * y, axis=axis))
    return quotient(np.sum(x * y, axis=axis), spread, otherwise=otherwise)


def bootstrap(
    *columns: Sequence[float],
    statistic: Callable = np.mean,
    resamples: int = 2000,
    seed: int = 0,
    strata: Sequence | None = None,
) -> Estimate:
    """Percentile bootstrap of ``statistic(*columns, axis=-1)`` over units, level 95%.

    ``columns``: each (n,), one entry a sampled unit (target term, pair, occupation); they are
    resampled together. With fewer than five units no interval is given (NaN). ``strata`` (n,): each
    unit's stratum; units are then redrawn within their stratum, whose size is part of the design.
    Source: Efron & Tibshirani (1993), chapter 13; computed by scipy.
    """
    columns = tuple(np.asarray(column, float) for column in columns)
    n = len(columns[0])
    if n == 0:
        raise FairNCError("no units to average: the selection of items is empty")
    value = float(statistic(*columns, axis=-1))
    if n < MIN_UNITS:
        return Estimate(value, float("nan"), float("nan"), n)
    if strata is not None:
        low, high = np.quantile(
            _stratified(columns, statistic, strata, resamples, seed),
            [(1 - LEVEL) / 2, (1 + LEVEL) / 2],
        )
        return Estimate(value, float(low), float(high), n)
    with warnings.catch_warnings():
        # NaN says it: a resample has no value
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        drawn = scipy.stats.bootstrap(
            columns,
            statistic,
            n_resamples=resamples,
            confidence_level=LEVEL,
            method="percentile",
            paired=True,
            vectorized=True,
            batch=max(1, 2_000_000 // n),
            rng=np.random.default_rng(seed),
        )
    low, high = drawn.confidence_interval
    return Estimate(value, float(low), float(high), n)


def _stratified(
    columns: Sequence[np.ndarray], statistic: Callable, strata: Sequence, resamples: int, seed: int
) -> np.ndarray:
    """The statistic of each resample in which every unit is replaced by one of its own stratum."""
    resampled = [
        statistic(*(column[drawn] for column in columns), axis=-1)
        for drawn in _redrawn(len(columns[0]), strata, resamples, seed, size=2_000_000)
    ]
    return np.concatenate(resampled)


def _redrawn(
    n: int, strata: Sequence | None, resamples: int, seed: int, *, size: int
) -> Iterator[np.ndarray]:
    """Places of the units of each resample, (r, n) at a time with r · n at most about ``size``;
    within strata, if given.
    """
    rng, strata = np.random.default_rng(seed), np.zeros(n) if strata is None else np.asarray(strata)
    order = np.argsort(strata, kind="stable")
    _, place, sizes = np.unique(strata[order], return_inverse=True, return_counts=True)
    first, width = (np.cumsum(sizes) - sizes)[place], sizes[place]
    for start in range(0, resamples, step := max(1, size // n)):
        yield order[
            first + (rng.random((min(step, resamples - start), n)) * width).astype(np.int64)
        ]


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of runs that differ by seed, with the t interval of level 95%, df = seeds − 1; none
    (NaN) for a single run.
    """
    values = np.asarray(values, float)
    mean, half = float(values.mean()), float("nan")
    if len(values) > 1:
        half = float(t_reach(values.std(ddof=1), len(values)))
    return Estimate(mean, mean - half, mean + half, len(values))


def t_reach(deviation: ArrayLike, n: ArrayLike) -> np.ndarray:
    """Half the 95% t interval of a mean of ``n`` values with that standard deviation; NaN for a
    single one.
    """
    return scipy.stats.t.ppf((1 + LEVEL) / 2, np.asarray(n) - 1) * deviation / np.sqrt(n)


def paired_difference(
    first: Sequence[float], second: Sequence[float], *, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean of ``second − first`` over the same units, in the same order, with its bootstrap
    interval.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape:
        raise FairNCError(
            f"paired comparison of {len(first)} with {len(second)} units: both models need the same items"
        )
    return bootstrap(second - first, resamples=resamples, seed=seed)


def jackknife(value: float, replicates: Sequence[float], n: int) -> Estimate:
    """Interval from the replicates of a delete-a-group jackknife: G replicates, each without one of
    G equal groups.

    With G = n it is the delete-one jackknife. t quantiles with G − 1 degrees of freedom. Undefined
    (NaN) with fewer than two groups, or where a replicate is: three classes, say, leave a single
    pair and no standard deviation. Source: Shao & Tu (1995), *The Jackknife and Bootstrap*, section
    2.3.
    """
    replicates = np.asarray(replicates, float)
    groups = len(replicates)
    if groups < 2 or not np.isfinite(replicates).all():
        return Estimate(value, float("nan"), float("nan"), n)
    error = np.sqrt((groups - 1) / groups * np.sum((replicates - replicates.mean()) ** 2))
    reach = _t_quantile(groups - 1) * error
    return Estimate(value, float(value - reach), float(value + reach), n)


@lru_cache
def _t_quantile(freedom: int) -> float:
    """Of the interval's upper end; asked once, as scipy takes longer for it than a GPU for the rest."""
    return scipy.stats.t.ppf((1 + LEVEL) / 2, freedom)


@dataclass(frozen=True)
class Changes:
    """Change of one statistic for each of S seeds: ``observed`` (S,); ``resampled`` (R, S), each
    row from one redrawing of the ``units`` units that all seeds share, or None where no units are
    kept.
    """

    observed: np.ndarray
    resampled: np.ndarray | None = None
    units: int = 0


@dataclass(frozen=True)
class Effect:
    """A mean change: ``value``, its interval over seeds and units, the t interval over seeds alone
    (``t_low``, ``t_high``), its standard ``error`` with ``df`` degrees of freedom, and the numbers
    of ``seeds`` and ``units``.
    """

    value: float
    ci_low: float
    ci_high: float
    t_low: float
    t_high: float
    error: float
    df: float
    seeds: int
    units: int

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of the t statistic (value − null) / error."""
        if self.error == 0:
            return float(self.value == null)
        return float(2 * scipy.stats.t.sf(abs(self.value - null) / self.error, self.df))


def seed_changes(
    first: Sequence[np.ndarray] | None,
    second: Sequence[np.ndarray],
    statistic: Callable,
    *,
    strata: Sequence | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Changes:
    """Second minus first of ``statistic(*columns, axis=-1)``, seed by seed, observed and for
    redrawn units.

    ``first``, ``second``: columns (S, U), the same units in the same order, row s of both from one
    seed; a model that nothing random has made is one row, and stands beside every seed of the
    other. ``first`` None: the change from 0, which is the statistic itself. Raises ``FairNCError``
    on other shapes.
    """
    sides = [
        [np.asarray(column, float) for column in columns]
        for columns in (first, second)
        if columns is not None
    ]
    (rows, units), seeds = sides[0][0].shape, len(sides[-1][0])
    if sides[-1][0].shape[1] != units or rows not in (1, seeds):
        raise FairNCError(
            f"{rows} seeds × {units} units against {sides[-1][0].shape}: pair the seeds, and the units, first"
        )

    def change(drawn: np.ndarray) -> np.ndarray:  # of units (r, U) → (r, S)
        values = [
            np.stack(
                [
                    statistic(*(column.take(drawn) for column in of_seed), axis=-1)
                    for of_seed in zip(*columns, strict=True)
                ],
                -1,
            )
            for columns in sides
        ]
        return values[-1] - (values[0] if len(values) > 1 else 0.0)

    observed = np.broadcast_to(change(np.arange(units)[None]), (1, seeds))[0]
    return Changes(
        observed,
        np.concatenate([*map(change, _places(units, _hashable(strata), resamples, seed))]),
        units,
    )


@lru_cache(maxsize=2)  # many runs are redrawn at the same places, one after the other
def _places(units: int, strata: tuple | None, resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    return tuple(_redrawn(units, strata, resamples, seed, size=400_000))


def _hashable(strata: Sequence | None) -> tuple | None:
    return None if strata is None else tuple(np.asarray(strata).tolist())


def crossed_bootstrap(*changes: Changes, seed: int = 0) -> Effect:
    """Mean change over seeds with a 95% interval over seeds × units, both redrawn, each by itself;
    of several, their mean.

    Several ``changes`` (methods, say) are equally weighted and fixed: their seeds are redrawn one
    by one, their units, if they have the same ones, together. The error is that of two crossed
    samples, variance over seeds + over units − over both (Cameron, Gelbach & Miller 2011). Few
    seeds make a percentile interval too short, so its reach is stretched to that error and to
    Student's t, with Satterthwaite's degrees of freedom (Hesterberg 2015 stretches it so). Where no
    units are kept the interval is the t interval over seeds. With one seed there is none (NaN).
    """
    from_seeds, from_all = _errors(changes)
    value = float(np.mean([change.observed.mean() for change in changes]))
    t_interval = _reach(value, *from_seeds)
    draws = _crossed(changes, seed)
    if draws is None or not np.isfinite(from_all[0]):
        low, high = t_interval if draws is None else (np.nan, np.nan)
    else:
        usual, (near, far) = (
            scipy.stats.norm.ppf((1 + LEVEL) / 2) * draws.std(ddof=1),
            _reach(0.0, *from_all),
        )
        stretch = (far - near) / 2 / usual if usual > 0 else 1.0
        middle, ends = draws.mean(), np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = middle + stretch * (ends - middle)
    return Effect(
        value,
        float(low),
        float(high),
        *t_interval,
        *from_all,
        seeds=min(len(change.observed) for change in changes),
        units=min(change.units for change in changes),
    )


def paired_effect(changes: Changes) -> Effect:
    """The change from one model to another, with its error over the units that both share.

    The error is the standard deviation over redrawn units, a bootstrap's √(n/(n − 1)) put right; the
    interval, p and power are those of Student's t with n − 1 degrees of freedom, so that they never
    say different things. None (NaN) with fewer than five units. Raises ``FairNCError`` for more than
    one seed, which ``crossed_bootstrap`` takes.
    """
    if len(changes.observed) != 1 or changes.resampled is None:
        raise FairNCError("a paired effect is that of one pair of models with their units redrawn")
    value, n = float(changes.observed[0]), changes.units
    draws = changes.resampled[:, 0]
    draws = draws[np.isfinite(draws)]  # a resample may have no value
    if n < MIN_UNITS or len(draws) < 2 or not np.isfinite(value):
        nan = float("nan")
        return Effect(value, nan, nan, nan, nan, nan, max(n - 1, 1), 1, n)
    error = float(draws.std(ddof=1) * np.sqrt(n / (n - 1)))
    if error < 1e-9 * max(1.0, abs(value)):
        error = 0.0  # but for rounding, every resample says the same
    interval = _reach(value, error, n - 1)
    return Effect(value, *interval, *interval, error, n - 1, 1, n)


def _reach(value: float, error: float, df: float) -> tuple[float, float]:
    """The t interval."""
    reach = float(scipy.stats.t.ppf((1 + LEVEL) / 2, df) * error)
    return value - reach, value + reach


def _crossed(changes: Sequence[Changes], seed: int) -> np.ndarray | None:
    """Mean change of each resample, its units redrawn already and its seeds here: (R,)."""
    rng, means = np.random.default_rng(seed), []
    for change in changes:
        if change.resampled is None:
            return None
        picked = rng.integers(len(change.observed), size=change.resampled.shape)
        means.append(np.take_along_axis(change.resampled, picked, axis=1).mean(1))
    return np.mean(means, axis=0)


def _errors(changes: Sequence[Changes]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Standard error of the mean change and its degrees of freedom: over seeds alone, then over
    seeds and units.
    """
    share = 1 / len(changes) ** 2
    parts = [
        (
            share * change.observed.var(ddof=1) / len(change.observed)
            if len(change.observed) > 1
            else np.nan,
            max(len(change.observed) - 1, 1),
        )
        for change in changes
    ]
    seeds = sum(variance for variance, _ in parts)
    alone = _satterthwaite(seeds, parts)
    resampled = [change.resampled for change in changes if change.resampled is not None]
    if len(resampled) < len(changes) or not np.isfinite(seeds):
        return alone, alone
    n, both = min(change.units for change in changes), 0.0
    units = np.mean([draws.mean(1) for draws in resampled], axis=0).var(ddof=1) * n / (n - 1)
    # What differs from seed to seed with the units drawn is in either variance.
    for change, draws in zip(changes, resampled, strict=True):
        within = draws.var(axis=0, ddof=1).mean() - draws.mean(1).var(ddof=1)
        both += share * within * n / (n - 1) / (len(change.observed) - 1)
    return alone, _satterthwaite(max(seeds + units - both, seeds, units), [*parts, (units, n - 1)])


def _satterthwaite(variance: float, parts: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of variances, each with its own."""
    spread = sum(part**2 / df for part, df in parts)
    return float(np.sqrt(variance)), max(
        float(variance**2 / spread), 1.0
    ) if spread != 0 else np.inf


def heterogeneity(effects: Sequence[Effect]) -> float:
    """I²: the share of the spread of several effects, in percent, that is more than their errors
    would make (Higgins & Thompson 2002). 0 is none; NaN for fewer than two.
    """
    values, errors = (
        np.array([(each.value, each.error) for each in effects], float).reshape(-1, 2).T
    )
    if len(values) < 2 or not (np.isfinite(errors).all() and (errors > 0).all()):
        return float("nan")
    weights = errors**-2
    spread = float(np.sum(weights * (values - np.average(values, weights=weights)) ** 2))
    return 100 * max(0.0, 1 - (len(values) - 1) / spread) if spread > 0 else 0.0


def clustered_correlation(
    x: Sequence[float],
    y: Sequence[float],
    clusters: Sequence,
    *,
    ranked: bool = True,
    resamples: int = 2000,
    seed: int = 0,
) -> Effect:
    """Spearman's correlation over runs, with a percentile interval over ``clusters``: runs of one
    cell are drawn together.

    Ranks are those of all runs; ``ranked`` False: Pearson's. NaN with fewer than five clusters, and
    where x or y is constant.
    """
    ranks = np.stack(
        [scipy.stats.rankdata(values) if ranked else _standardized(values) for values in (x, y)]
    )
    _, place = np.unique(np.asarray(clusters), return_inverse=True)
    n = int(place.max()) + 1 if len(place) else 0

    def correlation(weights: np.ndarray) -> np.ndarray:  # (R, N) → (R,)
        weights = weights / weights.sum(1, keepdims=True)
        mean_x, mean_y = (weights @ values for values in ranks)
        product = weights @ np.prod(ranks, axis=0) - mean_x * mean_y
        spreads = (weights @ ranks[0] ** 2 - mean_x**2) * (weights @ ranks[1] ** 2 - mean_y**2)
        return np.divide(
            product,
            np.sqrt(np.maximum(spreads, 0)),
            out=np.full(len(weights), np.nan),
            where=spreads > 1e-9,
        )

    nan = float("nan")
    value = float(correlation(np.ones((1, len(place))))[0]) if len(place) > 2 else nan
    if n < MIN_UNITS or np.isnan(value):
        return Effect(value, nan, nan, nan, nan, nan, n - 1, len(place), n)
    draws = correlation(
        np.random.default_rng(seed)
        .multinomial(n, np.full(n, 1 / n), resamples)[:, place]
        .astype(float)
    )
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Effect(
        value,
        float(low),
        float(high),
        nan,
        nan,
        float(np.nanstd(draws, ddof=1)),
        n - 1,
        len(place),
        n,
    )


def _standardized(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, float)
    return (values - values.mean()) / (values.std() or 1.0)


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjusted p values of one family (Holm 1979); NaN stays NaN and counts for nothing."""
    p = np.asarray(p, float)
    # NaN is sorted last
    adjusted, order = np.full(len(p), np.nan), np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def power(effect: float, error: float, df: float) -> float:
    """Probability that a two-sided t test at 5% finds a true ``effect``, given its standard error."""
    df = min(df, MAX_DF)
    ratio = max((effect / error) ** 2, 1e-12)  # scipy has the wrong tail at 0
    return float(scipy.stats.ncf.sf(scipy.stats.t.ppf((1 + LEVEL) / 2, df) ** 2, 1, df, ratio))


def smallest_effect(error: float, df: float, *, wanted: float = 0.8) -> float:
    """The true effect that a two-sided t test at 5% finds with the ``wanted`` power."""
    # in standard errors: power is above .95 there
    most = 2 * scipy.stats.t.ppf((1 + LEVEL) / 2, df)
    return (
        float(scipy.optimize.brentq(lambda ratio: power(ratio, 1.0, df) - wanted, 0, most)) * error
    )


def units_needed(effect: float, error: float, units: int, *, wanted: float = 0.8) -> int | None:
    """Units at which a two-sided t test at 5% finds a true ``effect`` with the ``wanted`` power,
    given the standard ``error`` that it has with ``units``, which falls with their root.

    None where there is no such number: no effect, no error known, or more than 10⁹.
    """
    if not (effect and np.isfinite(effect) and np.isfinite(error)):
        return None

    def enough(n: int) -> bool:
        scaled = error * np.sqrt(units / n)
        return smallest_effect(scaled, n - 1, wanted=wanted) <= abs(effect)

    low, high = 1, 2  # too few, and the least that has a t distribution
    while not enough(high):
        low, high = high, 2 * high
        if high > MAX_UNITS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
