"""Which implementation: the page's tables, from the conventions and from recorded rows.

``python -m fairnc_book.implementations FOLDER`` writes them from the runs of ``fairnc score
--all-variants --out FOLDER``; the page says which.
"""

import csv
import io
import sys
from pathlib import Path

import pandas as pd

from fairnc_utils._atomic import write_atomic
from fairnc_utils.benchmarks.conventions import FAMILIES, Convention
from fairnc_utils.runs import checkout, rows

DEFINITIONS, NUMBERS, SPREAD = (
    "implementations.csv",
    "implementations-numbers.csv",
    "implementations-spread.csv",
)


def definitions() -> list[dict[str, str]]:
    """A row a convention: items, name here, whose it is, what is scored, what follows."""
    return [
        {
            "items": items,
            "here": convention.benchmark,
            "whose": convention.source,
            "what is scored": convention.score,
            "what that does": convention.differs,
        }
        for items, family in FAMILIES.items()
        for convention in family
    ]


def numbers(results: pd.DataFrame) -> list[dict[str, str]]:
    """A row a model and convention that was run: its headline with the interval."""
    return [
        {
            "items": items,
            "model": model,
            "here": convention.benchmark,
            "metric": convention.metric,
            "value": f"{row.value:.4g}",
            "95% interval": f"{row.ci_low:.4g} to {row.ci_high:.4g}",
            "units": f"{row.n:.0f}",
        }
        for items, family in FAMILIES.items()
        for model in sorted(set(results["model"]))
        for convention in family
        for row in _headline(results, model, convention).itertuples()
    ]


def _headline(results: pd.DataFrame, model: str, convention: Convention) -> pd.DataFrame:
    some = rows.select(
        results, model=model, benchmark=convention.benchmark, metric=convention.metric
    )
    pooled = some[some["axis"] == "all"]
    return pooled if len(pooled) else some


def spread(table: list[dict[str, str]]) -> list[dict[str, str]]:
    """A row for items that one model was scored on in several ways: how far apart the numbers are,
    beside how wide one interval is.
    """
    rows_of_spread = []
    for (items, model), some in pd.DataFrame(table).groupby(["items", "model"], sort=False):
        if len(some) < 2:
            continue
        values = some["value"].astype(float)
        ends = some["95% interval"].str.split(" to ", expand=True).astype(float)
        apart, width = values.max() - values.min(), (ends[1] - ends[0]).mean()
        rows_of_spread.append(
            {
                "items": items,
                "model": model,
                "conventions": str(len(some)),
                "lowest": f"{values.min():.4g}",
                "highest": f"{values.max():.4g}",
                "apart": f"{apart:.3g}",
                "width of an interval": f"{width:.3g}",
                "farther apart than one interval is wide": "yes" if apart > width else "no",
            }
        )
    return rows_of_spread


def write(folder: str | Path, page: Path | None = None) -> None:
    """The tables, beside the page."""
    page = page or checkout.root() / "book" / "run"
    table = numbers(rows.load(folder))
    write_atomic(page / DEFINITIONS, _csv(definitions()))
    write_atomic(page / NUMBERS, _csv(table))
    write_atomic(page / SPREAD, _csv(spread(table)))


def _csv(table: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


if __name__ == "__main__":
    write(sys.argv[1])
