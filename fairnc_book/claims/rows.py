"""Tests as result rows of benchmark ``claims``, and back: the one place that knows under which
columns they are filed.
"""

import math
from collections.abc import Iterator

import pandas as pd

from fairnc_book.claims.data import CLAIMS
from fairnc_book.claims.decide import TOTAL, overall
from fairnc_utils.runs.rows import Run, make, select

#: What a test is about → the column of the result rows that holds it, as these have none of that name.
FILED = {"claim": "split", "key": "axis", "contrast": "regularizer", "method": "method"}

#: ``key`` of the row that holds the verdict on a whole claim.
WHOLE = "claim"

#: Metric of the rows → the column of a test that is its value, and those of its interval.
METRICS = {
    "effect": ("value", "ci_low", "ci_high"),  # over seeds and units
    "effect_over_seeds": (
        "value",
        "t_low",
        "t_high",
    ),  # the same effect, t interval over seeds alone
    "p": ("p",),
    "holm_p": ("holm_p",),  # after Holm's adjustment within the claim
    "smallest_effect": ("smallest",),  # the smallest that the test detects with 80% power
    "published_effect": ("published",),  # on another model
    "published_power": ("power",),  # to find an effect of the published size
    "verdict": ("verdict",),  # 1 supported, 0 inconclusive, −1 contradicted, by the interval
    "decided": ("decided",),  # the same, where the adjusted p is below .05 as well
}


def as_run(tests: pd.DataFrame, config: dict, *, runs: list[str]) -> Run:
    """The tests as result rows (``FILED``). ``runs``: ids of the runs that they rest on."""
    rows = [row for test in tests.to_dict("records") for row in _of_test(test)]
    rows += _of_claims(tests) if len(tests) else []
    rows = [row for row in rows if not math.isnan(row["value"])]
    return make(config, rows, None, device="cpu", evidence={"runs": runs})


def read(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of benchmark ``claims`` with columns named after what they hold: ``claim``, ``key``,
    ``contrast``.
    """
    rows = select(results, benchmark="claims")
    return rows.rename(columns={column: name for name, column in FILED.items()})


def _of_test(test: dict) -> Iterator[dict]:
    filed = _filed(test) | {"n": 0.0 if math.isnan(test["seeds"]) else test["seeds"]}
    for metric, columns in METRICS.items():
        values = (test[column] for column in columns)
        yield (
            filed
            | {"metric": metric}
            | dict(zip(("value", "ci_low", "ci_high"), values, strict=False))
        )


def _of_claims(tests: pd.DataFrame) -> Iterator[dict]:
    """The verdicts on whole claims."""
    for claim in CLAIMS:
        for contrast in claim.contrasts:
            names = {"claim": claim.key, "key": WHOLE, "contrast": contrast, "method": TOTAL}
            value = overall(tests, claim, contrast)
            yield _filed(names) | {"metric": "decided", "value": value, "n": tests["seeds"].max()}


def _filed(names: dict) -> dict:
    columns = {column: names[name] for name, column in FILED.items()}
    return {"benchmark": "claims", "variant": "corrected"} | columns
