"""Intervals: exact on cases with a closed form, honest about one unit, and with the coverage that
they promise.
"""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from fairnc_utils.benchmarks.base import mean, ratio
from fairnc_utils.errors import FairNCError
from fairnc_utils.stats import (
    Changes,
    bootstrap,
    clustered_correlation,
    crossed_bootstrap,
    holm,
    jackknife,
    paired_difference,
    power,
    seed_changes,
    smallest_effect,
)


@pytest.mark.parametrize("p", [[0.04, 0.01, 0.03, 0.01, 0.6], [0.2], [0.9, 0.8, 0.7], []])
def test_holm_is_that_of_statsmodels_and_leaves_unknown_ones_out(p):
    expected = multipletests(p, method="holm")[1] if p else []
    np.testing.assert_allclose(holm(p), expected)
    np.testing.assert_allclose(holm([np.nan, *p, np.nan]), [np.nan, *expected, np.nan])


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval():
    sample = np.random.default_rng(0).normal(3, 2, 400)
    estimate = bootstrap(sample)
    assert estimate.value == sample.mean()
    assert estimate.n == 400
    reach = 1.96 * sample.std() / 20
    assert estimate.ci_low == pytest.approx(sample.mean() - reach, abs=0.1 * reach)
    assert estimate.ci_high == pytest.approx(sample.mean() + reach, abs=0.1 * reach)


def test_bootstrap_depends_on_its_seed_alone():
    sample = np.random.default_rng(0).normal(size=30)
    assert bootstrap(sample) == bootstrap(sample)
    assert bootstrap(sample, seed=1).ci_low != bootstrap(sample).ci_low


def test_bootstrap_resamples_columns_together():
    """A ratio of two columns of which one is a multiple of the other has no sampling error."""
    x = np.random.default_rng(0).uniform(1, 2, 50)
    estimate = bootstrap(3 * x, x, statistic=lambda a, b, axis: a.sum(axis) / b.sum(axis))
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == pytest.approx((3, 3, 3))


def test_one_unit_has_a_value_and_no_interval():
    estimate = bootstrap([4.0])
    assert estimate.value == 4
    assert np.isnan(estimate.ci_low)
    assert np.isnan(estimate.ci_high)
    assert np.isnan(jackknife(1.0, [1.0], 1).ci_low)


def test_no_unit_is_an_error():
    with pytest.raises(FairNCError, match="no units"):
        bootstrap([])


def test_paired_difference_is_second_minus_first():
    first = np.random.default_rng(0).normal(size=40)
    shifted = paired_difference(first, first + 0.5)
    assert (shifted.value, shifted.ci_low, shifted.ci_high) == pytest.approx((0.5, 0.5, 0.5))
    second = first + np.random.default_rng(1).normal(size=40)
    ahead, back = paired_difference(first, second), paired_difference(second, first)
    assert ahead.value == pytest.approx(-back.value)
    with pytest.raises(FairNCError, match="same items"):
        paired_difference([1, 2], [1, 2, 3])


def test_jackknife_of_a_mean_is_the_t_interval():
    sample = np.random.default_rng(0).normal(size=12)
    replicates = [np.delete(sample, i).mean() for i in range(12)]
    estimate = jackknife(sample.mean(), replicates, 12)
    low, high = scipy.stats.t.interval(0.95, 11, sample.mean(), scipy.stats.sem(sample))
    assert (estimate.ci_low, estimate.ci_high, estimate.n) == pytest.approx((low, high, 12))


def test_grouped_jackknife_covers():
    """Leaving out one of 10 groups of 5: about 95 of 100 intervals hold the true mean."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        sample = rng.normal(size=(10, 5))
        replicates = [np.delete(sample, g, axis=0).mean() for g in range(10)]
        estimate = jackknife(sample.mean(), replicates, 50)
        hits += estimate.ci_low < 0 < estimate.ci_high
    assert 930 <= hits <= 970


# Seeds × units

TRUE = 0.3  # mean change of the simulated studies


def simulated(rng, *, seeds=5, units=40, by_seed=0.1, by_unit=0.6, by_both=0.3, base=False):
    """Columns (S, U) of two models: a change of ``TRUE`` that differs by seed, by unit and by both,
    and noise.
    """
    unit = rng.normal(size=(1, units))
    first = unit + rng.normal(0, 0.3, (1 if base else seeds, units))
    change = (
        rng.normal(0, by_seed, (seeds, 1))
        + rng.normal(0, by_unit, (1, units))
        + rng.normal(0, by_both, (seeds, units))
    )
    return first, unit + TRUE + change + rng.normal(0, 0.3, (seeds, units))


def shares(studies=400, **design):
    """Of simulated studies, the share whose interval holds the true change: crossed, over seeds
    alone, over units alone.
    """
    rng, held = np.random.default_rng(0), np.zeros(3)
    for _ in range(studies):
        changes = seed_changes(
            *([column] for column in simulated(rng, **design)), mean, resamples=300
        )
        effect = crossed_bootstrap(changes)
        units = np.quantile(changes.resampled.mean(1), [0.025, 0.975])
        held += [
            low < TRUE < high
            for low, high in ((effect.ci_low, effect.ci_high), (effect.t_low, effect.t_high), units)
        ]
    return held / studies


@pytest.mark.parametrize(
    "design",
    [
        {},
        {"base": True},
        {"seeds": 3},
        {"by_seed": 0.3, "by_unit": 0, "by_both": 0},
        {"by_seed": 0, "by_both": 0},
        {"units": 12, "by_seed": 0.2, "base": True},
    ],
    ids=str,
)
def test_crossed_intervals_cover(design):
    """Of 400 intervals 95% ± 3.5 points hold the true change, whatever varies: seeds, units or
    their combinations.
    """
    assert 0.915 <= shares(**design)[0] <= 0.985


def test_intervals_that_leave_out_seeds_or_units_are_too_short():
    _, seeds_alone, _ = shares(by_seed=0.1)
    crossed, _, units_alone = shares(by_seed=0.3, by_unit=0.3)
    assert seeds_alone < 0.85
    assert units_alone < 0.7
    assert crossed > 0.9


def test_without_units_the_crossed_interval_is_the_t_interval():
    change = np.random.default_rng(0).normal(1, 0.5, 5)
    effect = crossed_bootstrap(Changes(change))
    low, high = scipy.stats.t.interval(0.95, 4, change.mean(), scipy.stats.sem(change))
    assert (effect.ci_low, effect.ci_high, effect.t_low, effect.t_high) == pytest.approx(
        (low, high, low, high)
    )
    assert effect.p() == pytest.approx(scipy.stats.ttest_1samp(change, 0).pvalue)
    assert effect.p(0.8) == pytest.approx(scipy.stats.ttest_1samp(change, 0.8).pvalue)
    assert (effect.df, effect.seeds, effect.units) == (pytest.approx(4), 5, 0)


def test_seeds_alike_leave_the_units_and_one_seed_leaves_no_interval():
    rng = np.random.default_rng(0)
    first, change = rng.normal(size=(1, 60)), rng.normal(0.2, 1, 60)
    alike = crossed_bootstrap(seed_changes([first], [np.repeat(first + change, 5, axis=0)], mean))
    plain = bootstrap(change)
    assert (alike.value, alike.ci_low, alike.ci_high) == pytest.approx(
        (plain.value, plain.ci_low, plain.ci_high), abs=0.03
    )
    assert alike.t_low == alike.t_high == pytest.approx(alike.value)
    alone = crossed_bootstrap(seed_changes([first], [first + change], mean))
    assert alone.value == pytest.approx(change.mean())
    assert np.isnan([alone.ci_low, alone.t_high, alone.p()]).all()


def test_mean_of_several_changes_redraws_their_units_together():
    """Two methods that change in the same way tell no more about the units than one; their seeds do
    count twice.
    """
    first, second = simulated(np.random.default_rng(0), by_seed=0, by_both=0)
    one = seed_changes([first], [second], mean)
    single, double = crossed_bootstrap(one), crossed_bootstrap(one, one)
    assert double.value == pytest.approx(single.value)
    assert double.error == pytest.approx(single.error, rel=0.1)
    assert double.t_high - double.t_low < 0.8 * (single.t_high - single.t_low)


def test_changes_take_statistics_of_several_columns_strata_and_refuse_what_is_not_paired():
    rng = np.random.default_rng(0)
    total, count = rng.normal(3, 1, (2, 5, 12)), np.ones((5, 12))
    changes = seed_changes([total[0], count], [total[1], count], ratio, strata=[0] * 6 + [1] * 6)
    assert changes.observed == pytest.approx(total[1].mean(1) - total[0].mean(1))
    assert changes.resampled.shape == (2000, 5)
    constant = np.repeat([[1.0, 5.0]], 5, axis=0).repeat(6, axis=1)  # no spread within a stratum
    assert seed_changes(
        [0 * constant], [constant], mean, strata=[0] * 6 + [1] * 6
    ).resampled == pytest.approx(3)
    for wrong in (total[0][:, :9], total[0][:3]):
        with pytest.raises(FairNCError, match="pair the seeds, and the units"):
            seed_changes([wrong], [total[1]], mean)


# Several tests, power, correlation


def test_holm_is_bonferroni_for_the_smallest_and_skips_what_is_missing():
    assert holm([0.01, np.nan, 0.04, 0.03]) == pytest.approx(
        [0.03, np.nan, 0.06, 0.06], nan_ok=True
    )
    assert np.isnan(holm([np.nan])).all()


def test_power_at_the_smallest_effect_is_what_was_asked_for():
    for df in (1, 2, 4.7, 25.3, 200, np.inf):
        effect = smallest_effect(0.5, df)
        assert power(effect, 0.5, df) == pytest.approx(0.8, abs=1e-3)
        assert power(0, 0.5, df) == pytest.approx(0.05, abs=1e-3)
    assert smallest_effect(1, np.inf) == pytest.approx(1.96 + 0.842, abs=0.01)
    rng = np.random.default_rng(0)  # and a test really finds it as often
    drawn = rng.normal(smallest_effect(1 / np.sqrt(5), 4), 1, (4000, 5))
    assert np.mean(scipy.stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05) == pytest.approx(
        0.8, abs=0.025
    )


def test_correlation_over_runs_knows_that_seeds_of_a_cell_are_alike():
    rng = np.random.default_rng(0)
    cell, noise = np.repeat(np.arange(20), 5), rng.normal(0, 0.01, (2, 100))
    x, y = rng.normal(size=(2, 20))[:, cell] + noise
    rank = scipy.stats.spearmanr(x, y).statistic
    clustered, single = (
        clustered_correlation(x, y, cell),
        clustered_correlation(x, y, np.arange(100)),
    )
    assert clustered.value == single.value == pytest.approx(rank)
    assert clustered.ci_high - clustered.ci_low > 1.8 * (single.ci_high - single.ci_low)
    assert clustered_correlation(x, x, cell).ci_low == pytest.approx(1)
    assert np.isnan(clustered_correlation(x, np.ones(100), cell).value)
    assert np.isnan(clustered_correlation(x[:20], y[:20], cell[:20]).ci_low)  # four cells


@pytest.mark.parametrize("ends", [(0.3, 0.3), (0.3, -0.3), (0, 0), (1, 0.6)])
def test_change_of_a_distance_from_the_ideal_is_rarely_seen_in_the_wrong_direction(ends):
    """Folded at the ideal the interval may cover more or less than 95%, but does not invent
    effects.
    """
    rng, true, wrong = np.random.default_rng(0), abs(ends[1]) - abs(ends[0]), 0
    for _ in range(200):
        first, second = simulated(rng, by_unit=0.4)
        changes = seed_changes(
            [first + ends[0]],
            [second + ends[1] - TRUE],
            lambda x, axis: np.abs(x.mean(axis)),
            resamples=200,
        )
        effect = crossed_bootstrap(changes)
        wrong += effect.ci_high < 0 if true >= 0 else effect.ci_low > 0
    assert wrong <= 12  # 2.5% of 200, and what chance adds
