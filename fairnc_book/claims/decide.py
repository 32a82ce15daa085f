"""From a study to a table of tests: effect, interval, p, power and verdict of each claim, by method and in total."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fairnc_book.claims.data import CLAIMS, Claim, Measure
from fairnc_book.claims.effects import Change, Study
from fairnc_utils import stats
from fairnc_utils.debias import CONTROLS, DEBIASING
from fairnc_utils.runs import rows as records

VERDICTS = {1: "supported", 0: "inconclusive", -1: "contradicted"}

#: The row over all methods; and, of correlations, the one of runs' differences from the mean of their method.
TOTAL, WITHIN = "total", "within methods"

#: Columns of ``stats.Effect`` that the table takes over.
_EFFECT = ("value", "ci_low", "ci_high", "t_low", "t_high", "error", "df", "seeds", "units")


def evaluate(study: Study, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a test: each claim and contrast on each measure, for each method and in ``total``.

    Columns: ``claim``, ``contrast``, ``key`` (of the measure), ``method``; ``first``, ``second``: means of the metric on either
    side; ``value``: the effect, with ``ci_low``, ``ci_high`` (seeds × units), ``t_low``, ``t_high`` (seeds), ``error``,
    ``df``, ``seeds``, ``units``; ``p``, ``holm_p``; ``smallest``: the effect that the test would find with power .8;
    ``published``: the published effect, on another model, and ``power`` to find it; ``verdict``: by the interval;
    ``decided``: where the adjusted p is below .05 as well (both 1 supported, −1 contradicted, 0 inconclusive, NaN descriptive
    or missing); ``note``. Cells that were not run have a note and no numbers. ``total``: mean over the debiasing methods that
    were run. Holm's family: the totals of a claim and contrast; apart from them its single methods.
    """
    rows = []
    for claim in CLAIMS:
        for contrast in claim.contrasts:
            for measure in claim.measures:
                tests = _correlations(study, measure) if contrast == "runs" else _changes(study, measure, contrast, published)
                rows += [{"claim": claim.key, "contrast": contrast, "key": measure.key} | test for test in tests]
    return _adjusted(pd.DataFrame(rows))


def _changes(study: Study, measure: Measure, contrast: str, published: pd.DataFrame | None) -> Iterator[dict]:
    found = {method: study.change(measure, method, contrast) for method in (*DEBIASING, *CONTROLS)}
    for method, change in found.items():
        effect = stats.crossed_bootstrap(change.changes) if change.changes else None
        reported = _reported(published, measure, method, contrast)
        yield {"method": method} | _test(effect, measure, measure.predicted, change, reported)
    several = [found[m] for m in DEBIASING if found[m].changes and len(found[m].changes.observed) > 1]
    if several:
        effect = stats.crossed_bootstrap(*(change.changes for change in several))
        ends = [float(np.mean([getattr(change, end) for change in several])) for end in ("first", "second")]
        left = len(DEBIASING) - len(several)
        total = Change(several[0].changes, f"without {left} of {len(DEBIASING)} methods" if left else "", *ends)
    else:
        effect, total = None, Change(None, "not run: no method has two seeds or more")
    yield {"method": TOTAL} | _test(effect, measure, measure.predicted, total)


def _correlations(study: Study, measure: Measure) -> Iterator[dict]:
    """Spearman's correlation over runs of UNC3 with the metric (or its distance), in which a lower UNC3 should go with less."""
    cell = ["method", "regularizer", "lam"]
    unc3 = CLAIMS[0].measure("collapse:gender:unc3")
    x, y = study.rows(unc3, "gender"), study.rows(measure)
    columns = [*cell, "seed"]
    both = x[[*columns, "value"]].drop_duplicates(columns, keep="last").merge(
        y[[*columns, "value"]].drop_duplicates(columns, keep="last"), on=columns, suffixes=("_x", "_y")
    )  # fmt: skip
    both = both[(both["method"] != "base") | ~both["method"].duplicated()]  # one model, however often it was measured
    both["value_y"] = both["value_y"] if measure.ideal is None else (both["value_y"] - measure.ideal).abs()
    ends = ["value_x", "value_y"]
    inside = both.assign(**both[ends] - both.groupby("method")[ends].transform("mean")) if len(both) else both
    for method in (*DEBIASING, *CONTROLS, WITHIN, TOTAL):
        chosen = {TOTAL: both, WITHIN: inside[inside["method"] != "base"]}.get(method, both[both["method"] == method])
        effect, reason = None, f"not run: {measure.benchmark} with UNC3"
        if len(chosen) > 2:
            clusters = chosen[cell].astype(str).agg("|".join, axis=1)
            effect = stats.clustered_correlation(chosen["value_x"], chosen["value_y"], clusters, resamples=study.resamples)
            reason = "" if np.isfinite(effect.error) else "fewer than five cells, or all alike"
        yield {"method": method} | _test(effect, measure, -measure.predicted, Change(None, reason))


def _test(
    effect: stats.Effect | None, measure: Measure, predicted: int, change: Change, reported: float = float("nan")
) -> dict:
    """The columns of one test from its effect. A change of the wrong sign is within the margin up to ``null``."""
    row = {"predicted": predicted, "null": measure.null, "first": change.first, "second": change.second,
           "published": reported, "note": change.reason}  # fmt: skip
    if effect is None:
        return row
    row |= {name: getattr(effect, name) for name in _EFFECT}
    if not np.isfinite(effect.error):
        return row | {"note": change.reason or "one seed: no interval over seeds"}
    row |= {"p": effect.p(measure.null), "smallest": stats.smallest_effect(effect.error, effect.df)}
    if np.isfinite(reported) and effect.error > 0:
        row["power"] = stats.power(reported, effect.error, effect.df)
    return row | {"verdict": np.nan if measure.descriptive else verdict(effect.ci_low, effect.ci_high, predicted, measure.null)}


def verdict(low: float, high: float, predicted: int, null: float = 0.0) -> int:
    """1 if the interval lies beyond ``null`` in the predicted direction, −1 if in the other, 0 if it holds it or is NaN."""
    if low > null:
        return predicted
    return -predicted if high < null else 0


def _reported(published: pd.DataFrame | None, measure: Measure, method: str, contrast: str) -> float:
    """The published effect of the same contrast on the same metric, of the first published model that has both; else NaN."""
    if published is None or measure.against:
        return float("nan")
    ends = [("base", "none"), (method, "none")] if contrast == "debiased" else [(method, "none"), (method, "as_released")]
    rows = records.select(published, benchmark=measure.benchmark, metric=measure.metric, axis=measure.axis)
    rows = rows[rows["split"].isin(measure.split.split("|"))]
    table = rows.pivot_table(index="model", columns=["method", "regularizer"], values="value", sort=False)
    table = table.reindex(columns=ends).dropna()
    if table.empty:
        return float("nan")
    first, second = table.iloc[0] if measure.ideal is None else (table.iloc[0] - measure.ideal).abs()
    return float(second - first)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's p and what remains decided after it."""
    columns = ("p", "smallest", "power", "verdict", *_EFFECT)
    table = table.reindex(columns=[*table.columns, *(name for name in columns if name not in table)])
    family = [table["claim"], table["contrast"], table["method"] == TOTAL]
    tested = table["p"].where(table["verdict"].notna())
    table["holm_p"] = tested.groupby(family).transform(stats.holm)
    table["decided"] = table["verdict"].where((table["holm_p"] < 1 - stats.LEVEL) | table["verdict"].isna(), 0.0)
    return table


def overall(table: pd.DataFrame, claim: Claim, contrast: str) -> float:
    """The verdict on a claim from its totals after Holm: 1, −1, 0, or NaN if nothing of it was run.

    A claim that ``needs`` all of its measures is supported if all support it, and contradicted if one contradicts it. A claim
    that needs most is decided by half of those that were run or more, if no other one disagrees: a single one of many ways to
    see a thing does not show it.
    """
    totals = records.select(table, claim=claim.key, contrast=contrast, method=TOTAL)
    decided = totals["decided"].dropna()
    if decided.empty:
        return float("nan")
    supports, contradicts = (decided > 0).sum(), (decided < 0).sum()
    if claim.needs == "all":
        # What was not run cannot support: a claim about every measure stays open then.
        return -1.0 if contradicts else float(supports == len(totals))
    if (supports and contradicts) or 2 * max(supports, contradicts) < len(decided):
        return 0.0
    return 1.0 if supports else -1.0
