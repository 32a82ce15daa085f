"""Tests and predictions as result rows of benchmark ``planned``, and back."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from fairnc_book.planned.predictions import CAME, FAILED, OPEN
from fairnc_utils.runs.rows import Run, make, select

#: Benchmark of the rows of the plan's tests.
BENCHMARK = "planned"

#: What a test is about → the column of the result rows that holds it.
_FILED = {
    "model": "model",
    "method": "method",
    "family": "split",
    "comparison": "regularizer",
    "key": "axis",
    "label": "words",
    "verdict": "variant",
}

#: Metric of the rows → the column of a test that is its value.
_METRICS = (
    "value",
    "first",
    "second",
    "p",
    "holm_p",
    "i2",
    "left_low",
    "left_high",
    "smallest",
)

#: Outcome of a prediction as a number.
_OUTCOMES = {CAME: 1.0, FAILED: -1.0, OPEN: 0.0}


def as_run(
    tests: pd.DataFrame,
    config: dict,
    *,
    runs: Sequence[str],
    predicted: pd.DataFrame | None = None,
    sweeps: Mapping[str, tuple[int, Sequence[str]]] | None = None,
    benchmark: str = BENCHMARK,
) -> Run:
    """The tests, the predictions and how many runs each sweep lacks as result rows. ``runs``: ids of
    the runs that they rest on; ``benchmark``: what a chapter's own rows are called, so that none of them
    is read as the plan's.
    """
    filed = {"benchmark": benchmark, "origin": "recorded"}
    rows = [filed | row for test in tests.to_dict("records") for row in _of_test(test)]
    rows += [
        filed
        | {"split": "prediction", "axis": str(each["number"])}
        | {"metric": "prediction", "value": _OUTCOMES[each["outcome"]]}
        for each in ([] if predicted is None else predicted.to_dict("records"))
    ]
    rows += [
        filed
        | {"split": "not_run", "axis": name}
        | {"metric": "not_run", "value": float(len(cells)), "n": float(number)}
        for name, (number, cells) in (sweeps or {}).items()
    ]
    return make(config, rows, None, device="cpu", evidence={"runs": list(runs)})


def read(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of benchmark ``planned``, one a test again: the columns of ``_FILED`` and
    ``_METRICS``, with ``ci_low``, ``ci_high``, ``seeds`` and ``kept``.
    """
    rows = select(results, benchmark=BENCHMARK)
    rows = rows[~rows["split"].isin(["prediction", "not_run"])]
    keys = list(_FILED.values())
    values = rows[rows["metric"] == "value"]
    wide = rows.pivot_table(index=keys, columns="metric", values="value", sort=False)
    table = values[[*keys, "ci_low", "ci_high", "n"]].merge(wide.reset_index(), on=keys, how="left")
    table = table.rename(columns={column: name for name, column in _FILED.items()})
    wanted = [*_FILED, *_METRICS, "ci_low", "ci_high", "seeds", "kept"]
    return table.rename(columns={"n": "seeds"}).reindex(columns=wanted)


def _of_test(test: dict) -> list[dict]:
    filed = {"n": test["seeds"]} | {column: test[name] for name, column in _FILED.items()}
    numbers = {name: test[name] for name in _METRICS}
    if test["kept"] is not None:
        numbers["kept"] = float(test["kept"])
    rows = [
        filed | {"metric": name, "value": value}
        for name, value in numbers.items()
        if not math.isnan(value)
    ]
    if rows and rows[0]["metric"] == "value":
        rows[0] |= {"ci_low": test["ci_low"], "ci_high": test["ci_high"]}
    return rows


def read_predictions(results: pd.DataFrame) -> list[str]:
    """What became of each prediction, in their order."""
    words = {value: word for word, value in _OUTCOMES.items()}
    rows = select(results, benchmark=BENCHMARK, split="prediction")
    return [words[value] for value in rows["value"]]


def read_lacking(results: pd.DataFrame) -> dict[str, int]:
    """Sweep of the plan → how many of its runs are not recorded, of those whose runs the plan numbers."""
    rows = select(results, benchmark=BENCHMARK, split="not_run")
    return rows[rows["n"] > 0].set_index("axis")["value"].astype(int).to_dict()
