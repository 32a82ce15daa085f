"""Data files that a reader may have put in place of ours: what is wrong with one is said with its line."""

import csv
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fairnc_utils import assets
from fairnc_utils.errors import FairNCError, brief

HINT = "correct it, or take it out of $FAIRNC_DATA to use the pinned one"


def text(key: str) -> str:
    """Content of a text file. Raises ``FairNCError`` with the line where it is no UTF-8."""
    content = assets.read(key)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FairNCError(f"{key}, line {line}: not UTF-8 text; {HINT}") from error


def document(key: str) -> Any:
    """Content of a JSON file. Raises ``FairNCError`` with the line where it is no JSON or no UTF-8."""
    content = text(key)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise FairNCError(f"{key}, line {error.lineno}: {error.msg}; {HINT}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets thousands deep
        raise FairNCError(f"{key}: {error}; {HINT}") from error


def table(
    key: str, columns: Sequence[str], *, delimiter: str = ",", quoted: bool = True,
    choices: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, str]]:  # fmt: skip
    """Rows of a delimited file with a header that names at least ``columns``.

    ``quoted``: whether quotation marks enclose fields; ``choices``: column → values that it may have. Raises ``FairNCError``
    with the line of the first row that lacks one of the columns, leaves it empty or has another value there.
    """
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.DictReader(io.StringIO(text(key), newline=""), delimiter=delimiter, quoting=quoting)
    try:
        if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
            raise FairNCError(f"{key}, line 1: no column {missing[0]!r}; {HINT}")
        rows = []
        for row in reader:
            place = f"{key}, line {reader.line_num}"
            if None in row or None in row.values():
                raise FairNCError(f"{place}: not the header's {len(reader.fieldnames)} fields; {HINT}")
            _check(row, columns, choices or {}, place)
            rows.append(row)
    except csv.Error as error:
        raise FairNCError(f"{key}, line {reader.line_num + 1}: {error}; {HINT}") from error
    if not rows:
        raise FairNCError(f"{key} has no rows; {HINT}")
    return rows


def _check(row: dict[str, str], columns: Sequence[str], choices: Mapping[str, Sequence[str]], place: str) -> None:
    for column in columns:
        allowed = choices.get(column)
        if not row[column].strip() or (allowed and row[column] not in allowed):
            expected = f"one of {', '.join(allowed)}" if allowed else "some text"
            raise FairNCError(f"{place}: {column} is {brief(row[column])}, not {expected}; {HINT}")


#: What code meets in content that is not what it takes it for.
_STUMBLES = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RecursionError, TypeError, ValueError, csv.Error,
    tarfile.TarError, zlib.error,
)  # fmt: skip


@contextmanager
def taken_apart(place: str) -> Iterator[None]:
    """For the lines that take a file's content apart: what they stumble over becomes one sentence that names the ``place``."""
    try:
        yield
    except FairNCError:
        raise
    except _STUMBLES as error:
        raise FairNCError(f"{place} is not as it should be ({brief(error)}); {HINT}") from error
