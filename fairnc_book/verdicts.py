"""The verdict on one contrast and one measure, by the rule that ``book/about/plan.md`` fixed before
the runs.

Distances are signed: a treatment that is said to lower a bias that is 2.1 is said to move it
*towards* its ideal, and one that moves it past the ideal has overshot, which is no success.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy.stats

from fairnc_utils.stats import LEVEL, Effect, Estimate, side


class Verdict(StrEnum):
    """What the runs say of a claim on one measure."""

    NOTHING = "nothing to remove"
    FAILED = "instrument failed"
    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    OVERSHOOTS = "overshoots"
    MIXED = "mixed"
    NO_EFFECT = "no effect"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class AdjustedEffect:
    """An effect (treated − comparator) and its p value within its Holm family."""

    effect: Effect
    holm_p: float

    @property
    def sign(self) -> int:
        """−1 or +1 where the effect is significant after Holm, else 0."""
        return int(np.sign(self.effect.value)) if self.holm_p < 1 - LEVEL else 0


def verdict(
    total: AdjustedEffect,
    methods: Iterable[AdjustedEffect],
    *,
    predicted: int,
    margin: float,
    base: Estimate | None = None,
    treated: Estimate | None = None,
    ideal: float = 0.0,
    failed: bool = False,
) -> Verdict:
    """The verdict on a total and the methods that it is the mean of.

    ``predicted``: +1 or −1, the sign that the claim gives the effect. ``margin`` ≥ 0: an effect
    whose 90% interval lies within ±margin counts as none (two one-sided tests at 5%). ``base``: the
    metric of the untrained model; where its interval holds the ideal the instrument has nothing to
    remove. ``failed``: a planted bias did not move the instrument, which then takes part nowhere.
    ``treated``: the metric with treatment; where ``base`` lies beyond the ideal on one side
    and the interval of ``treated`` on the other, the treatment has overshot. Measures without a
    base to improve (collapse, say) leave both out.
    """
    if base is not None and not _side(base, ideal):
        return Verdict.NOTHING
    if failed:
        return Verdict.FAILED
    if base is not None and treated is not None and _side(base, ideal) * _side(treated, ideal) < 0:
        return Verdict.OVERSHOOTS
    signs = {sign for test in methods if (sign := test.sign)}
    if total.sign:
        signs.add(total.sign)
    if len(signs) > 1:
        return Verdict.MIXED
    if total.sign:
        return Verdict.SUPPORTED if total.sign == predicted else Verdict.CONTRADICTED
    if equivalent(total.effect, margin):
        return Verdict.NO_EFFECT
    return Verdict.INCONCLUSIVE


def equivalent(effect: Effect, margin: float) -> bool:
    """Whether two one-sided t tests at 5% put the effect within ±margin."""
    reach = scipy.stats.t.ppf(LEVEL, effect.df) * effect.error
    return bool(abs(effect.value) + reach <= margin)


def kept(effect: Effect, allowed: float) -> bool:
    """Whether a loss (treated − comparator, more is worse) has its upper 95% bound at or below
    ``allowed``; NaN: no.
    """
    return bool(effect.ci_high <= allowed)


def _side(estimate: Estimate, ideal: float) -> int:
    return side(estimate.ci_low, estimate.ci_high, ideal)
