"""Published values: what papers and their released files report, each with its source
(``book/published.csv``).
"""

import csv
import io
import math
import re
from pathlib import Path

import pandas as pd

from fairnc_book.numbers import METRICS
from fairnc_utils import benchmarks, debias, tasks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout

FILE = "book/published.csv"
COLUMNS = ("model", "method", "benchmark", "split", "axis", "metric", "value", "source")
#: What tells one fact from another.
KEY = COLUMNS[:6]

#: Source of the facts on compressed models, which the paper's tables do not show.
ON_COMPRESSION = "Gonçalves & Strubell 2023"

#: Published models that were compressed: rounded to eight bits, or taught by the model of the row above it.
COMPRESSED = ("base+int8", "base+distilled")

#: Metrics whose published name says the axis: name → (metric, axis).
RENAMED = {"TPR-1": ("TPR", "type1"), "TPR-2": ("TPR", "type2")}

#: Decimal numbers; Python would take 66_86 and ٣ for numbers as well.
NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")


def load(path: str | Path | None = None) -> pd.DataFrame:
    """One row a published value, in the vocabulary of the results table, with its ``source``;
    origin ``published``.

    ``MABEL+NC3`` of the file is method ``mabel`` with regularizer ``as_released``, ``TPR-1`` is
    metric ``TPR`` on axis ``type1``; ``base+int8`` stays as it is. ``path``: another file with the same columns. Raises
    ``FairNCError`` with line and column of the first field that is not as it should be, or with
    both lines of a fact that stands there twice.
    """
    path = Path(path) if path else checkout.root() / FILE
    facts, lines = [], {}
    for line, row in _rows(path):
        _check(row, f"{path.name}, line {line}")
        if (first := lines.setdefault(tuple(row[column] for column in KEY), line)) != line:
            raise FairNCError(
                f"{path.name}, line {line}: the same fact as in line {first}; keep the one that its source gives"
            )
        facts.append(_translated(row))
    return pd.DataFrame(facts)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of the file; its header and the number of fields are checked."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # spreadsheets write a byte order mark
    except OSError as error:
        raise FairNCError(
            f"{path}: {error.strerror}; published values are kept in {FILE}"
        ) from error
    except UnicodeDecodeError as error:
        raise FairNCError(
            f"{path.name}: no UTF-8 text from byte {error.start} on; save it as UTF-8"
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise FairNCError(
                f"{path.name}, line 1: the columns are not {', '.join(COLUMNS)}; write them in this order"
            )
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise FairNCError(
                    f"{path.name}, line {reader.line_num}: not {len(COLUMNS)} fields; quote one that has a comma"
                )
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise FairNCError(
            f"{path.name}, line {reader.reader.line_num}: {error}; write it as plain CSV"
        ) from error
    if not rows:
        raise FairNCError(f"{path.name} has no rows; write one a published value")
    return rows


def _check(row: dict[str, str], where: str) -> None:
    """Every field is what its column asks for; names are those that the package knows, so that a
    mistyped one is seen.
    """
    valid = {
        "method": (
            "base",
            *COMPRESSED,
            *(method.upper() + nc3 for method in debias.METHODS for nc3 in ("", "+NC3")),
        ),
        "benchmark": (*benchmarks.BENCHMARKS, *tasks.TASKS),
        "metric": (*RENAMED, *METRICS),
    }
    for column in COLUMNS:
        if row[column] != row[column].strip() or not row[column]:
            raise FairNCError(
                f"{where}, column {column}: {row[column]!r}; write some text without blanks around it"
            )
        if column in valid and row[column] not in valid[column]:
            raise FairNCError(
                f"{where}, column {column}: {row[column]!r}; choose {', '.join(valid[column])}"
            )
    if not (NUMBER.fullmatch(row["value"]) and math.isfinite(float(row["value"]))):
        raise FairNCError(
            f"{where}, column value: {row['value']!r} is no number; write it with a decimal point, as 66.86"
        )


def _translated(row: dict[str, str]) -> dict:
    method, nc3 = row["method"].removesuffix("+NC3").lower(), row["method"].endswith("+NC3")
    metric, axis = RENAMED.get(row["metric"], (row["metric"], row["axis"]))
    return row | {
        "method": method,
        "regularizer": "as_released" if nc3 else "none",
        "metric": metric,
        "axis": axis,
        "value": float(row["value"]),
        "origin": "published",
    }
