"""The page of runs, as data: every number of every way of training, two ways side by side."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import tables
from fairnc_book.numbers import (
    METRICS,
    NUMBER,
    UNTRAINED,
    WAY,
    Setting,
    estimates,
    newest,
    significant,
)
from fairnc_utils import corpora
from fairnc_utils.runs.rows import Run, make


def by_way(results: pd.DataFrame) -> pd.DataFrame:
    """One row a number and way of training: the mean over seeds with its t interval, or the one
    run's own interval.

    Columns: ``WAY``, ``NUMBER``, ``value``, ``ci_low``, ``ci_high``, ``seeds``. Differences between
    runs, and metrics that the book's tables do not name, are left out.
    """
    of_a_run = (results["variant"] != "difference") & (results["benchmark"] != "trajectory")
    rows = results[results["metric"].isin(METRICS) & of_a_run]
    keys = [*WAY, *NUMBER]
    return estimates(newest(rows, [*keys, "seed"]).sort_index(), keys)


def apart(table: pd.DataFrame, *, profile: str) -> Run:
    """How much each way of training changes: numbers with an interval that it shares with the
    untrained model.

    Rows: ``numbers_shared``, and ``numbers_apart``, those of them whose two intervals do not touch.
    """
    with_interval = table.dropna(subset=["ci_low", "ci_high"])
    untrained = with_interval["method"] == UNTRAINED.method
    bases = with_interval[untrained].drop_duplicates(NUMBER)
    rows = []
    for way, numbers in with_interval[~untrained].groupby(list(WAY), sort=False):
        both = numbers.merge(bases, on=list(NUMBER), suffixes=("", "_base"))
        separate = (both["ci_low"] > both["ci_high_base"]) | (both["ci_high"] < both["ci_low_base"])
        columns = dict(zip(WAY, way, strict=True)) | {"benchmark": "comparer", "profile": profile}
        rows.append(columns | {"metric": "numbers_shared", "value": len(both)})
        rows.append(columns | {"metric": "numbers_apart", "value": separate.sum()})
    evidence = {"rows": corpora.fingerprint([table.to_json(orient="values")])}
    config = {"of": "runs", "profile": profile}
    return make(config, rows, None, device="cpu", evidence=evidence)


def runs_data(table: pd.DataFrame) -> dict:
    """The data of the page of runs: numbers with their labels and ideals, and for each run the
    values that it has.
    """
    numbers = table.drop_duplicates(NUMBER).reset_index(drop=True)
    place = numbers.reset_index().set_index(list(NUMBER))["index"]
    runs = []
    for way, rows in table.groupby(list(WAY), sort=False):
        at = place.loc[pd.MultiIndex.from_frame(rows[list(NUMBER)])]
        run = dict(zip(WAY, way, strict=True)) | {
            "seeds": int(rows["seeds"].max()),
            "at": at.tolist(),
        }
        for column in ("value", "ci_low", "ci_high"):
            run[column] = [
                None if np.isnan(value) else value for value in significant(rows[column])
            ]
        runs.append(run)
    return {"numbers": [_described(row) for _, row in numbers.iterrows()], "runs": runs}


def _described(row: pd.Series) -> list[str]:
    """Benchmark, of what, metric and ideal of one number, as a reader sees them."""
    metric = METRICS[row["metric"]]
    of = [row["words"] or (row["axis"] if row["axis"] != "all" else ""), row["split"]]
    of += [f"layer {row['layer']}"] if row["layer"] not in ("", "last") else []
    of += [f"≥ {row['min_count']:.0f} samples"] if row["min_count"] > 0 else []
    of += [row["variant"].replace("_", " ")] if row["variant"] not in ("", "corrected") else []
    return [row["benchmark"], ", ".join(part for part in of if part), metric.label, metric.target]


def label(run: Mapping) -> str:
    """A way of training in words, from its ``WAY`` columns."""
    if run["method"] == UNTRAINED.method:
        return "before training"
    if run["regularizer"] == "none":
        return f"{run['method']}, no NC3"
    return str(Setting(run["method"], run["regularizer"], run["lam"]))


def apart_table(rows: pd.DataFrame) -> Styler:
    """Rows of ``apart``, one a way of training."""
    shown = [
        {"way of training": label(dict(zip(WAY, way, strict=True))), "origin": way[0]}
        | {
            metric.removeprefix("numbers_"): f"{value:.0f}"
            for metric, value in zip(counts["metric"], counts["value"], strict=True)
        }
        for way, counts in rows.groupby(list(WAY), sort=False)
    ]
    caption = "Numbers shared with the untrained model, and those with intervals apart."
    return tables.plain(pd.DataFrame(shown), caption=caption)
