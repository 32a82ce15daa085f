"""The weight λ of NC3 that a method is compared at, chosen on StereoSet's development part."""

from collections.abc import Iterable
from contextlib import suppress

import pandas as pd

from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.rows import select

#: λ may cost this many points of StereoSet's LM at most.
LM_LOSS = 1.0

#: Seeds that a λ needs to be chosen.
SEEDS = 3


class NoLambda(FairNCError):
    """The runs that choose λ are not there yet."""


def choose_lambdas(results: pd.DataFrame, methods: Iterable[str]) -> dict[str, float]:
    """Method → its ``choose_lambda``, for those whose rows tell one."""
    weights = {}
    for method in methods:
        with suppress(NoLambda):  # no sweep of it was run: whoever asks says so
            weights[method] = choose_lambda(results, method)
    return weights


def choose_lambda(results: pd.DataFrame | None, method: str) -> float:
    """λ of the corrected NC3 for a method: the mean log ratio on StereoSet *development*, gender,
    nearest to 0.

    Among those whose LM there is at most one point below the same method's without NC3. Every λ
    with ``SEEDS`` seeds (or with most) is a candidate, and all are compared on the seeds that they
    share: none is chosen for its luck, and further seeds of the chosen one do not change the
    choice. Of equal ones it is the smallest, in whatever order the rows come. Raises ``NoLambda``
    if no row tells.
    """
    if results is None or results.empty:
        raise NoLambda("λ cannot be chosen: no run is recorded; run the study's sweep over λ first")
    rows = select(
        results,
        method=method,
        benchmark="stereoset_intra",
        split="dev",
        axis="gender",
        metric=["LM", "log_ratio"],
    )
    table = rows.pivot_table(index=["regularizer", "lam", "seed"], columns="metric", values="value")
    if not {"none", "corrected"} <= set(table.index.get_level_values("regularizer")):
        raise NoLambda(
            f"λ cannot be chosen for {method}: StereoSet dev is not recorded with and without NC3"
        )
    without, swept = table.loc[("none", 0.0)], table.loc["corrected"]
    seeds = {
        lam: set(part.index.get_level_values("seed")) & set(without.index)
        for lam, part in swept.groupby("lam")
    }
    enough = min(SEEDS, max(map(len, seeds.values())))
    candidates = {lam: there for lam, there in seeds.items() if len(there) >= enough}
    shared = sorted(set.intersection(*candidates.values()))
    if not shared:
        raise NoLambda(
            f"λ cannot be chosen for {method}: no seed is recorded without NC3 and with every λ"
        )
    of_shared = swept[swept.index.get_level_values("seed").isin(shared)]
    means = of_shared.groupby("lam").mean().loc[sorted(candidates)]
    loss = without.loc[shared, "LM"].mean() - means["LM"]
    return float(means["log_ratio"][loss <= max(LM_LOSS, loss.min())].abs().idxmin())
