"""From a study to a table of tests: effect, interval, p, power and verdict of each claim, by method
and in total.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fairnc_book.claims.data import CLAIMS, Claim, Prediction
from fairnc_book.claims.effects import Change, change
from fairnc_book.numbers import MEASURES, UNTRAINED, Numbers, estimate
from fairnc_utils import stats
from fairnc_utils.debias import CONTROLS, DEBIASING
from fairnc_utils.runs.rows import select

VERDICTS = {1: "supported", 0: "inconclusive", -1: "contradicted"}

#: Methods in the order of the tests: those that totals are over, then the controls.
TESTED = (*DEBIASING, *CONTROLS)

#: The row over all methods; and, of correlations, the one of runs' differences from the mean of their method.
TOTAL, WITHIN = "total", "within methods"

#: Columns of ``stats.Effect`` that the table takes over.
_EFFECT = ("value", "ci_low", "ci_high", "t_low", "t_high", "error", "df", "seeds", "units")

#: What figures count an effect in: the untrained model's distance from the ideal, the standard error of its value, or the
#: effect's own unit.
BIAS, ERROR, RAW = "bias", "SE", "raw"


def evaluate(
    numbers: Numbers, published: pd.DataFrame | None = None, *, resamples: int = 2000
) -> pd.DataFrame:
    """One row a test: each claim and contrast on each of its numbers, for each method and in
    ``total``.

    Columns: ``claim``, ``contrast``, ``key`` (of the prediction), ``method``; ``first``,
    ``second``: means of the metric on either side; ``value``: the effect, with ``ci_low``,
    ``ci_high`` (seeds × units), ``t_low``, ``t_high`` (seeds), ``error``, ``df``, ``seeds``,
    ``units``; ``p``, ``holm_p``; ``smallest``: the effect that the test would find with power .8;
    ``published``: the published effect, on another model, and ``power`` to find it; ``verdict``: by
    the interval; ``decided``: where the adjusted p is below .05 as well (both 1 supported, −1
    contradicted, 0 inconclusive, NaN descriptive or missing); ``note``. Settings that were not run
    have a note and no numbers. ``total``: mean over the debiasing methods that were run. Holm's
    family: the totals of a claim and contrast; apart from them its single methods. ``resamples``:
    of seeds and units, for each interval.
    """
    rows = []
    for claim in CLAIMS:
        for contrast in claim.contrasts:
            for prediction in claim.predictions:
                tests = (
                    _correlations(numbers, prediction, resamples)
                    if contrast == "runs"
                    else _changes(numbers, prediction, contrast, published, resamples)
                )
                names = {"claim": claim.key, "contrast": contrast, "key": prediction.key}
                names |= dict(
                    zip(("unit", "counted_in"), unit(numbers, prediction, contrast), strict=True)
                )
                rows += [names | test for test in tests]
    return _adjusted(pd.DataFrame(rows))


def unit(numbers: Numbers, prediction: Prediction, contrast: str) -> tuple[float, str]:
    """What an effect is divided by so that effects on several measures share a scale, and what that
    is (``BIAS``, ``ERROR``, ``RAW``).

    That distance, unless its interval holds the ideal: then there is nothing to
    take a share of, and the standard error of its value stands in. Correlations and changes within
    a margin have one scale as they are, and where the untrained model has no interval there is none.
    """
    runs, ideal = numbers.runs(prediction.measure, UNTRAINED), prediction.ideal
    if contrast == "runs" or prediction.margin or runs.empty:
        return 1.0, RAW
    base = estimate(runs)
    sure = np.isfinite(base.ci_low)
    if ideal is not None and (not sure or stats.side(base.ci_low, base.ci_high, ideal)):
        return abs(base.value - ideal), BIAS
    if len(runs) > 1:
        return float(runs["value"].sem()), ERROR
    return (float(stats.standard_error(base.ci_low, base.ci_high)), ERROR) if sure else (1.0, RAW)


def _changes(
    numbers: Numbers,
    prediction: Prediction,
    contrast: str,
    published: pd.DataFrame | None,
    resamples: int,
) -> Iterator[dict]:
    by_method = {
        method: change(numbers, prediction, method, contrast, resamples=resamples)
        for method in TESTED
    }
    for method, single in by_method.items():
        effect = stats.crossed_bootstrap(single.changes) if single.changes else None
        reported = _reported(published, prediction, method, contrast)
        yield {"method": method} | _test(effect, prediction, prediction.predicted, single, reported)
    effect, total = _total({method: by_method[method] for method in DEBIASING})
    yield {"method": TOTAL} | _test(effect, prediction, prediction.predicted, total)


def _total(singles: dict[str, Change]) -> tuple[stats.Effect | None, Change]:
    """The mean over methods with two seeds or more."""
    run = {
        method: single
        for method, single in singles.items()
        if single.changes and len(single.changes.observed) > 1
    }
    several = list(run.values())
    if not several:
        return None, Change(None, "not run: no method has two seeds or more")
    effect = stats.crossed_bootstrap(*(single.changes for single in several))
    first, second = (
        float(np.mean([getattr(single, end) for single in several])) for end in ("first", "second")
    )
    left = [method for method in singles if method not in run]
    note = f"without {', '.join(left)}" if left else ""
    return effect, Change(several[0].changes, note, first, second)


def _correlations(numbers: Numbers, prediction: Prediction, resamples: int) -> Iterator[dict]:
    """Spearman's correlation over runs of UNC3 with the metric (or its distance), in which a lower
    UNC3 should go with less.
    """
    measure = prediction.measure
    scopes = numbers.correlations(
        MEASURES["collapse/test/gender/unc3"],
        measure,
        of=measure.metric.folded,
        resamples=resamples,
    )
    for method in (*TESTED, WITHIN, TOTAL):
        effect = scopes.get({TOTAL: "all", WITHIN: "within"}.get(method, method))
        if effect is None or effect.seeds <= 2:  # runs
            effect, reason = None, f"not run: {measure.benchmark} with UNC3"
        else:
            reason = "" if np.isfinite(effect.error) else "fewer than five settings, or all alike"
        yield {"method": method} | _test(
            effect, prediction, -prediction.predicted, Change(None, reason)
        )


def _test(
    effect: stats.Effect | None,
    prediction: Prediction,
    predicted: int,
    change: Change,
    reported: float = float("nan"),
) -> dict:
    """The columns of one test from its effect. A change of the wrong sign is within the margin up
    to ``null``.
    """
    null = prediction.null
    row = {
        "predicted": predicted,
        "null": null,
        "first": change.first,
        "second": change.second,
        "published": reported,
        "note": change.reason,
    }
    if effect is None:
        return row
    row |= {name: getattr(effect, name) for name in _EFFECT}
    if not np.isfinite(effect.error):
        return row | {"note": change.reason or "one seed: no interval over seeds"}
    row |= {"p": effect.p(null), "smallest": stats.smallest_effect(effect.error, effect.df)}
    if np.isfinite(reported) and effect.error > 0:
        row["power"] = stats.power(reported, effect.error, effect.df)
    decided = verdict(effect.ci_low, effect.ci_high, predicted, null)
    return row | {"verdict": np.nan if prediction.descriptive else decided}


def verdict(low: float, high: float, predicted: int, null: float = 0.0) -> int:
    """1 if the interval lies beyond ``null`` in the predicted direction, −1 if in the other, 0 if
    it holds it or is NaN.
    """
    return predicted * stats.side(low, high, null)


def _reported(
    published: pd.DataFrame | None, prediction: Prediction, method: str, contrast: str
) -> float:
    """The published effect of the same contrast on the same metric, of the first published model
    that has both; else NaN.
    """
    if published is None or prediction.against:
        return float("nan")
    ends = {"debiased": [("base", "none"), (method, "none")]}.get(
        contrast, [(method, "none"), (method, "as_released")]
    )
    rows = prediction.measure.quotes(published)
    table = rows.pivot_table(
        index="model", columns=["method", "regularizer"], values="value", sort=False
    )
    table = table.reindex(columns=ends).dropna()
    if table.empty:
        return float("nan")
    first, second = prediction.measure.metric.folded(table.iloc[0])
    return float(second - first)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's p and what remains decided after it."""
    columns = ("p", "smallest", "power", "verdict", *_EFFECT)
    table = table.reindex(
        columns=[*table.columns, *(name for name in columns if name not in table)]
    )
    family = [table["claim"], table["contrast"], table["method"] == TOTAL]
    tested = table["p"].where(table["verdict"].notna())
    table["holm_p"] = tested.groupby(family).transform(stats.holm)
    remains = (table["holm_p"] < 1 - stats.LEVEL) | table["verdict"].isna()
    table["decided"] = table["verdict"].where(remains, 0.0)
    return table


def overall(table: pd.DataFrame, claim: Claim, contrast: str) -> float:
    """The verdict on a claim from its totals after Holm: 1, −1, 0, or NaN if nothing of it was run.

    A claim that ``needs`` all of its numbers is supported if all support it, and contradicted if
    one contradicts it. A claim that needs most is decided by half of those that were run or more,
    if no other one disagrees: a single one of many ways to see a thing does not show it.
    """
    totals = select(table, claim=claim.key, contrast=contrast, method=TOTAL)
    decided = totals["decided"].dropna()
    if decided.empty:
        return float("nan")
    supports, contradicts = (decided > 0).sum(), (decided < 0).sum()
    if claim.needs == "all":
        # What was not run cannot support: a claim about every number stays open then.
        return -1.0 if contradicts else float(supports == len(totals))
    if (supports and contradicts) or 2 * max(supports, contradicts) < len(decided):
        return 0.0
    return 1.0 if supports else -1.0
