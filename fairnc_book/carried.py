"""Which biases a model carries before anything is done to it: its numbers beside their ideals."""

import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.numbers import TABLES, UNTRAINED, Numbers, estimate
from fairnc_utils import stats


def carried(numbers: Numbers) -> pd.DataFrame:
    """One row a measure of fairness of the untrained model: ``value`` with its interval, ``ideal``,
    and ``side``, +1 or −1 where the interval lies above or below the ideal, 0 where it holds it.

    Measures that can be missed on both sides alone: noise alone takes a size, or a share that the
    ideal bounds, off it. Those that were not run are left out.
    """
    rows = []
    for measure in (measure for table in TABLES.values() for measure in table):
        metric = measure.metric
        if not metric.two_sided or measure.benchmark == "collapse":
            continue
        runs = numbers.runs(measure, UNTRAINED)
        if len(runs):
            mean = estimate(runs)
            rows.append(
                {
                    "label": f"{metric.label}, {measure.on}",
                    "value": mean.value,
                    "ci_low": mean.ci_low,
                    "ci_high": mean.ci_high,
                    "ideal": metric.ideal,
                    "side": stats.side(mean.ci_low, mean.ci_high, metric.ideal),
                }
            )
    return pd.DataFrame(rows, columns=["label", "value", "ci_low", "ci_high", "ideal", "side"])


def table(rows: pd.DataFrame, *, caption: str) -> Styler:
    """``carried`` as a reader sees it."""
    said = {1: "yes, above", -1: "yes, below", 0: "not shown"}
    shown = pd.DataFrame(
        {
            "measure": rows["label"],
            "value [95% interval]": [tables.interval(row) for _, row in rows.iterrows()],
            "ideal": rows["ideal"].map("{:g}".format),
            "away from the ideal?": rows["side"].map(said),
        }
    )
    return tables.plain(shown, caption=caption)


def finding(rows: pd.DataFrame) -> str:
    """How many measures are off their ideal, in words."""
    if rows.empty:
        return "Nothing of this model is recorded."
    off, on = rows[rows["side"] != 0]["label"], rows[rows["side"] == 0]["label"]
    lead = "The model has some of the biases that are asked for, and is not shown to have others."
    if on.empty or off.empty:
        lead = f"The model {'has every bias' if on.empty else 'is not shown to have any bias'} that is asked for."
    return (
        f"{lead} {len(off)} of {len(rows)} measures are away from their ideal by their interval; the table names them. "
        "Where no bias is shown, none can be seen to be removed."
    )
