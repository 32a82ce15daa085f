"""Bias at equal quality: the noise curve, survival and the difference in differences, against plain
computations and planted effects.
"""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from fairnc_book import matched
from fairnc_book.matched import Answer, Difference, Matched, Noise, Outcome
from fairnc_utils import stats
from fairnc_utils.stats import Changes

UNITS, RESAMPLES = 60, 300


def true_slope(quality):
    """What noise makes of a bias of 2."""
    return 2 * np.exp(-np.maximum(quality - 3, 0))


class World:
    """Models whose bias is the mean over units that they share, redrawn alike."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.units = rng.normal(size=UNITS)
        self.units -= self.units.mean()
        self.places = rng.integers(UNITS, size=(RESAMPLES, UNITS))
        self.rng = rng

    def changes(self, biases, jitter=0.05):
        """Runs of these biases; each unit differs from run to run by ``jitter``."""
        biases = np.asarray(biases, float)
        noise = self.rng.normal(scale=jitter, size=(len(biases), UNITS))
        scores = biases[:, None] * (1 + self.units) + noise
        return Changes(scores.mean(1), scores[:, self.places].mean(2).T, UNITS)

    def noise(self, seeds=4):
        quality = np.concatenate([[3.0], np.repeat([3.1, 3.3, 3.6, 4.0, 4.6], seeds)])
        names = np.concatenate([[-1], np.tile(np.arange(seeds), 5)])
        return Noise(quality, self.changes(true_slope(quality)), names)


@pytest.fixture
def world():
    return World()


# ---------------------------------------------------------------- the curve


@pytest.mark.parametrize("rising", [False, True])
def test_the_curve_is_an_isotonic_regression(rising):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=40), rng.normal(size=40)
    weights = rng.integers(0, 3, size=40).astype(float)
    at = np.linspace(-3, 3, 25)
    kept = weights > 0
    twin = IsotonicRegression(increasing=rising, out_of_bounds="clip")
    twin.fit(x[kept], y[kept], sample_weight=weights[kept])
    got = matched.curve(x, y, at, rising=rising, weights=weights)
    assert got == pytest.approx(twin.predict(at))


def test_equal_qualities_are_one_point():
    x, y = np.array([1.0, 1.0, 2.0]), np.array([3.0, 5.0, 1.0])
    ones = np.ones(3)
    got = matched.curve(x, y, np.array([1.0, 1.5, 2.0]), rising=False, weights=ones)
    assert got == pytest.approx([4, 2.5, 1])


# ---------------------------------------------------------------- equal quality


def test_what_is_noise_is_at_no_distance_from_it(world):
    found = matched.matched(world.noise(), [3.45], world.changes(true_slope(np.array([3.45]))))
    assert found.ci_low < 0 < found.ci_high
    assert abs(found.value) < 0.1
    assert found.expected == pytest.approx(true_slope(3.45), abs=0.15)


@pytest.mark.parametrize(("planted", "verdict"), [(-0.5, Outcome.FAIRER), (0.5, Outcome.LESS_FAIR)])
def test_a_planted_difference_is_found(world, planted, verdict):
    bias = true_slope(np.array([3.45])) + planted
    difference = matched.matched(world.noise(), [3.45], world.changes(bias))
    assert difference.value == pytest.approx(planted, abs=0.1)
    assert stats.side(difference.ci_low, difference.ci_high) == np.sign(planted)
    assert matched.outcome(difference, difference.p, base=2.0) == verdict
    mirrored = {Outcome.FAIRER: Outcome.LESS_FAIR, Outcome.LESS_FAIR: Outcome.FAIRER}
    assert matched.outcome(difference, difference.p, base=-2.0) == mirrored[verdict]


def test_a_lower_bias_that_quality_explains_is_not_fairer(world):
    """The trap: half the bias, and a quality at which noise has half the bias as well."""
    bias = true_slope(np.array([3.7]))
    difference = matched.matched(world.noise(), [3.7], world.changes(bias))
    assert bias < 1.01
    assert matched.outcome(difference, difference.p, base=2.0) in (
        Outcome.NO_DIFFERENCE,
        Outcome.INCONCLUSIVE,
    )


@pytest.mark.parametrize("quality", [2.9, 4.7])
def test_outside_of_the_curve_nothing_is_compared(world, quality):
    difference = matched.matched(world.noise(), [3.5, quality], world.changes([1.0, 1.0]))
    assert not difference.comparable
    assert np.isnan(difference.smallest)
    assert matched.outcome(difference, np.nan, base=2.0) == Outcome.NOT_COMPARABLE


def test_the_interval_is_that_of_a_plain_loop(world):
    """Units and seeds redrawn, the curve fitted anew, with sklearn and without weights."""
    noise, cell = world.noise(), world.changes(true_slope(np.array([3.45, 3.5])) - 0.2)
    quality = np.array([3.45, 3.5])
    difference = matched.matched(noise, quality, cell, seed=5)
    rng = np.random.default_rng(11)
    draws = []
    for row in range(RESAMPLES):
        picked = [
            0,
            *(i for s in rng.integers(4, size=4) for i in np.flatnonzero(noise.seeds == s)),
        ]
        twin = IsotonicRegression(increasing=False, out_of_bounds="clip")
        twin.fit(noise.quality[picked], noise.values.resampled[row][picked])
        gaps = cell.resampled[row] - twin.predict(quality)
        draws.append(gaps[rng.integers(2, size=2)].mean())
    assert difference.error == pytest.approx(np.std(draws), rel=0.15)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert [difference.ci_low, difference.ci_high] == pytest.approx([low, high], abs=0.04)


def test_seeds_that_disagree_decide_nothing():
    difference = Matched(-0.3, -0.5, -0.1, -0.45, -0.15, 0.1, 0.001, 1.0, (-0.9, 0.3))
    assert matched.outcome(difference, 0.001, base=2.0) == Outcome.INCONCLUSIVE
    assert matched.outcome(difference, 0.2, base=6.0) == Outcome.NO_DIFFERENCE


@pytest.mark.parametrize(
    ("better", "worse", "answer"),
    [
        ([], [], Answer.NOT_RUN),
        ([True, False], [False, False], Answer.SUPPORTED),
        ([False], [True], Answer.CONTRADICTED),
        ([True, False], [False, True], Answer.INCONCLUSIVE),
        ([False], [False], Answer.INCONCLUSIVE),
    ],
)
def test_a_claim_of_several_contrasts(better, worse, answer):
    assert matched.one_way(better, worse) == answer


# ---------------------------------------------------------------- survival


def test_survival_is_the_share_that_is_left(world):
    before, after = world.changes([-1.0, -1.1, -0.9]), world.changes([-0.5, -0.55, -0.45])
    effect = matched.survival(after, before)
    assert effect.value == pytest.approx(after.observed.mean() / before.observed.mean())
    assert effect.value == pytest.approx(0.5, abs=0.03)
    assert effect.ci_low < effect.value < effect.ci_high < 0.8
    whole = matched.survival(before, before)
    assert [whole.value, whole.ci_low, whole.ci_high] == pytest.approx([1, 1, 1])


def test_without_an_effect_nothing_survives(world):
    before = world.changes([0.3, -0.3, 0.0])
    assert matched.survival(world.changes([0.1, 0.1, 0.1]), before) is None
    assert matched.survives([None, None]) == Answer.INCONCLUSIVE
    assert matched.survives([]) == Answer.NOT_RUN


def test_the_delta_method_agrees_with_redrawing(world):
    before, after = world.changes([-1.0, -1.1, -0.9]), world.changes([-0.6, -0.5, -0.5])
    rng = np.random.default_rng(0)
    draws = []
    for row in range(RESAMPLES):
        seeds = rng.integers(3, size=3)
        draws.append(after.resampled[row, seeds].mean() / before.resampled[row, seeds].mean())
    share = matched.ratio(after, before)
    picked = [share.resampled[row, rng.integers(3, size=3)].mean() for row in range(RESAMPLES)]
    assert np.std(picked) == pytest.approx(np.std(draws), rel=0.25)


def test_whether_something_helps_survive(world):
    before = world.changes([-1.0, -1.1, -0.9])
    weak, strong = world.changes([-0.3, -0.33, -0.27]), world.changes([-0.9, -1.0, -0.8])
    gain = matched.survival_difference((weak, before), (strong, before))
    assert gain.value == pytest.approx(0.6, abs=0.05)
    assert gain.ci_low > 0
    assert matched.survives([matched.survival(strong, before)]) == Answer.SUPPORTED
    assert matched.survives([matched.survival(weak, before)]) == Answer.CONTRADICTED


# ---------------------------------------------------------------- difference in differences


def one_run(values, resamples=400, seed=0):
    """Change of the spread of words' cosines, words redrawn."""
    rng = np.random.default_rng(seed)
    first, second = values
    places = rng.integers(len(first), size=(resamples, len(first)))
    change = second[places].std(1, ddof=1) - first[places].std(1, ddof=1)
    return Changes(np.array([second.std(ddof=1) - first.std(ddof=1)]), change[:, None], len(first))


@pytest.mark.parametrize(
    ("planted", "answer"), [(0.0, Answer.SUPPORTED), (0.05, Answer.CONTRADICTED)]
)
def test_gender_words_that_are_hit_alone_are_seen(planted, answer):
    rng = np.random.default_rng(3)
    words, others = rng.normal(scale=0.1, size=(2, 400))
    hit = words * (1 + planted / 0.1)
    base = words.std(ddof=1)
    difference = matched.difference_in_differences(
        one_run((words, 0.9 * hit)), one_run((others, 0.9 * others), seed=1)
    )
    assert difference.value == pytest.approx(0.9 * planted, abs=0.01)
    assert matched.alike([difference], base=base) == answer
    assert matched.alike([], base=base) == Answer.NOT_RUN
    wide = Difference(0.0, -1, 1, -1, 1)
    assert matched.alike([wide], base=base) == Answer.INCONCLUSIVE
