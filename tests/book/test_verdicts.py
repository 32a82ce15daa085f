"""Verdicts: each word of the plan is given where its rule holds, on effects made from drawn runs."""

import numpy as np
import pytest
from helpers import ROOT

from fairnc_book.verdicts import AdjustedEffect, Verdict, equivalent, kept, verdict
from fairnc_utils import stats
from fairnc_utils.stats import Estimate

SEEDS = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
BIASED, UNBIASED = Estimate(2.1, 1.5, 2.9, 60), Estimate(0.3, -0.2, 0.8, 60)


def change(mean: float, *, spread: float = 1.0) -> AdjustedEffect:
    """The tested mean change of five seeds around ``mean``."""
    effect = stats.crossed_bootstrap(stats.Changes(mean + spread * SEEDS))
    return AdjustedEffect(effect, effect.p())


def decide(total: AdjustedEffect, *methods: AdjustedEffect, **options) -> Verdict:
    return verdict(
        total, methods or (total,), **{"predicted": -1, "margin": 0.1, "base": BIASED} | options
    )


def test_a_change_in_the_predicted_direction_supports_and_in_the_other_contradicts():
    assert decide(change(-0.5)) is Verdict.SUPPORTED
    assert decide(change(0.5)) is Verdict.CONTRADICTED
    assert decide(change(0.5), predicted=1) is Verdict.SUPPORTED


def test_an_instrument_whose_base_holds_the_ideal_decides_nothing():
    assert decide(change(-0.5), base=UNBIASED) is Verdict.NOTHING
    assert decide(change(-0.5), base=BIASED, ideal=2.0) is Verdict.NOTHING


def test_an_instrument_that_a_planted_bias_does_not_move_decides_nothing_either():
    assert decide(change(-0.5), failed=True) is Verdict.FAILED
    assert decide(change(-0.5), failed=True, base=UNBIASED) is Verdict.NOTHING


def test_a_treatment_that_passes_the_ideal_overshoots():
    beyond = Estimate(-0.4, -0.6, -0.2, 60)
    assert decide(change(-2.5), treated=beyond) is Verdict.OVERSHOOTS
    assert decide(change(-2.0), treated=UNBIASED) is Verdict.SUPPORTED


def test_methods_that_disagree_are_mixed_whatever_their_mean_says():
    assert decide(change(-0.5), change(-1.5), change(0.5)) is Verdict.MIXED
    assert decide(change(0.0), change(-0.5), change(0.5)) is Verdict.MIXED
    assert decide(change(-0.5), change(-1.0), change(0.0)) is Verdict.SUPPORTED


def test_no_effect_needs_an_interval_within_the_margin_not_a_large_p():
    assert decide(change(0.0)) is Verdict.NO_EFFECT
    assert decide(change(0.0, spread=20)) is Verdict.INCONCLUSIVE
    assert decide(change(0.0), margin=0.0) is Verdict.INCONCLUSIVE


def test_holm_decides_not_the_single_p():
    effect = change(-0.5).effect
    assert decide(AdjustedEffect(effect, 0.2)) is Verdict.INCONCLUSIVE


def test_the_equivalence_interval_is_the_one_of_90_percent():
    effect = change(0.05).effect
    reach = 2.1318 * effect.error  # t of 95% with four degrees of freedom
    assert equivalent(effect, 0.05 + reach + 1e-6)
    assert not equivalent(effect, 0.05 + reach - 1e-5)


def test_what_must_be_kept_is_judged_by_its_upper_bound():
    effect = change(0.0).effect
    assert kept(effect, effect.ci_high)
    assert not kept(effect, effect.ci_high - 1e-9)
    alone = stats.crossed_bootstrap(stats.Changes(np.array([0.0])))
    assert not kept(alone, 1.0)


def test_one_seed_decides_nothing():
    alone = stats.crossed_bootstrap(stats.Changes(np.array([-0.5])))
    assert decide(AdjustedEffect(alone, float("nan"))) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("word", Verdict)
def test_the_plan_explains_every_verdict(word):

    plan = ROOT / "book/about/plan.md"
    assert f"**{word}**" in plan.read_text()
