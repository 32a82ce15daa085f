"""One number for all bias? A weighted index over the recorded methods, and what its weights decide.

LLMBI (Oketunji et al. 2023) adds up measures of bias with weights, a penalty for what the text lacks in diversity and a
correction by sentiment. Here each measure is the distance from its ideal over that of the untrained model, so that 1 is as
biased as before and 0 is the ideal, and weights are drawn from Dirichlet(1, …, 1), every weighting being as likely as any
other. A measure that the untrained model does well on weighs most in such a quotient; that too is a choice.
The penalty is the same for all methods that share a text, and a masked model writes nothing whose sentiment could be taken:
neither moves a rank, so both are left out.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import scipy.stats
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.numbers import MEASURES, METHODS, UNTRAINED, Measure, Numbers, Setting
from fairnc_utils.errors import listed

#: What the index is made of: one measure of each kind that the study has for all methods.
PARTS = tuple(
    MEASURES[key]
    for key in (
        "stereoset_intra/test/gender/SS",
        "crows_bias_bench/all/gender/stereotype_pct",
        "bec_pro/english/all/gap",
        "occupation_slope/bls/gender/slope",
        "seat/gender/all/abs_effect_size",
    )
)

#: Ends of the ranks that a table shows, as shares of the weightings.
ENDS = (0.05, 0.95)


def parts(numbers: Numbers, measures: Sequence[Measure] = PARTS) -> pd.DataFrame:
    """Method, with and without NC3, in rows; measure in columns: distance from the ideal of the mean over
    seeds, over that of the untrained model. Methods that lack a measure are left out.
    """
    untrained = _distances(numbers, UNTRAINED, measures)
    rows = {}
    for method in METHODS:
        for regularizer in ("none", "corrected"):
            name = method if regularizer == "none" else f"{method} + NC3"
            rows[name] = _distances(numbers, numbers.setting(method, regularizer), measures)
    columns = [measure.label for measure in measures]
    table = pd.DataFrame(rows, index=columns).T / np.array(untrained)
    return table.replace([np.inf, -np.inf], np.nan).dropna()


def _distances(numbers: Numbers, setting: Setting, measures: Sequence[Measure]) -> list[float]:
    means = [numbers.runs(measure, setting)["value"].mean() for measure in measures]
    return [
        float(measure.metric.distance(mean)) for measure, mean in zip(measures, means, strict=True)
    ]


def ranks(table: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """Rank of each method under each of so many weightings (draws, M): 1 is the least biased, ties share
    the mean.
    """
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(table.shape[1]), draws)
    return scipy.stats.rankdata(weights @ table.to_numpy(float).T, axis=1)


def concordance(order: np.ndarray) -> float:
    """Mean Kendall τ between the rankings of one weighting and the next (draws, M): 1 if weights do not
    matter, 0 if two weightings have nothing in common.
    """
    return float(np.mean([scipy.stats.kendalltau(a, b).statistic for a, b in pairwise(order)]))


def summary(table: pd.DataFrame, order: np.ndarray) -> pd.DataFrame:
    """One row a method: mean rank, where most ranks lie, share of weightings in which it is first (%)."""
    low, high = np.quantile(order, ENDS, axis=0)
    rows = pd.DataFrame(
        {
            "method": table.index,
            "rank": order.mean(0),
            "low": low,
            "high": high,
            "first": 100 * (order == order.min(1, keepdims=True)).mean(0),
        }
    )
    return rows.sort_values("rank", ignore_index=True)


def shown(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``summary`` as a reader sees it."""
    return tables.plain(
        pd.DataFrame(
            {
                "method": rows["method"],
                "mean rank": rows["rank"].map(tables.number),
                "rank in 90% of the weightings": [
                    f"{row.low:.0f} to {row.high:.0f}" for row in rows.itertuples()
                ],
                "first in % of them": rows["first"].map(tables.number),
            }
        ),
        caption=caption,
    )


def finding(table: pd.DataFrame, order: np.ndarray) -> str:
    """How far the weights decide who is best."""
    if len(table) < 2:
        return "Too few methods are recorded with all of these measures to rank them."
    rows = summary(table, order)
    first = rows.loc[rows["first"] > 0, "method"]
    tau = tables.number(concordance(order), digits=2)
    best = (
        f"{first.iloc[0]} is the best under every weighting"
        if len(first) == 1
        else "Which method is best depends on the weights. "
        f"{len(first)} of {len(rows)} methods are the best under some weights: {listed(first)}"
    )
    return f"{best}. Two random weightings agree with a Kendall τ of {tau} on average."
