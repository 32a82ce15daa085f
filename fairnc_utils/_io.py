"""Data files that a reader may have put in place of ours: what is wrong with one is said with its
line.
"""

import csv
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairnc_utils import assets
from fairnc_utils.errors import FairNCError, brief

HINT = "correct it, or take it out of $FAIRNC_DATA to use the pinned one"


def text(key: str, *, otherwise: str | None = None) -> str:
    """Content of a text file. ``otherwise``: how it is encoded if not as UTF-8. Raises ``FairNCError``
    with the line where it is no UTF-8 and nothing else is known.
    """
    content = assets.read(key)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if otherwise:
            return content.decode(otherwise)
        line = content.count(b"\n", 0, error.start) + 1
        raise FairNCError(f"{key}, line {line}: not UTF-8 text; {HINT}") from error


def document(key: str) -> Any:
    """Content of a JSON file. Raises ``FairNCError`` with the line where it is no JSON or no UTF-8."""
    content = text(key)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise FairNCError(f"{key}, line {error.lineno}: {error.msg}; {HINT}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # a number of thousands of digits, brackets thousands deep
        raise FairNCError(f"{key}: {error}; {HINT}") from error


def table(
    key: str,
    columns: Sequence[str],
    *,
    delimiter: str = ",",
    quoted: bool = True,
    choices: Mapping[str, Sequence[str]] | None = None,
    otherwise: str | None = None,
) -> list[dict[str, str]]:
    """Rows of a delimited file with a header that names at least ``columns``.

    ``quoted``: whether quotation marks enclose fields; ``choices``: column → values that it may
    have; ``otherwise``: see ``text``. Raises ``FairNCError`` with the line of the first row that lacks one of the columns,
    leaves it empty or has another value there.
    """
    form = {"delimiter": delimiter, "quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE}
    content = text(key, otherwise=otherwise)
    return [row for _, row in _rows(content, key, columns, choices or {}, HINT, **form)]


def user_text(path: str | Path) -> str:
    """Content of a text file that the user names. Raises ``FairNCError`` where it cannot be read or
    is no UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FairNCError(f"{path}: {error.strerror}; name a file that can be read") from error
    except UnicodeDecodeError as error:
        raise FairNCError(
            f"{path}: not UTF-8 text (byte {error.start}); convert it first"
        ) from error
    except ValueError as error:
        raise FairNCError(f"{str(path)!r}: {error}; choose another name") from error


def user_table(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file that the user names, as ``table``."""
    return list(_rows(user_text(path), str(path), columns, {}, "correct it"))


def _rows(
    content: str,
    place: str,
    columns: Sequence[str],
    choices: Mapping[str, Sequence[str]],
    hint: str,
    **form,
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of delimited text; ``form``: how it is delimited, for ``csv``."""
    reader = csv.DictReader(io.StringIO(content, newline=""), **form)
    line = 1
    try:
        if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
            raise FairNCError(f"{place}, line 1: no column {missing[0]!r}; {hint}")
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                raise FairNCError(
                    f"{place}, line {line}: not the header's {len(reader.fieldnames)} fields; {hint}"
                )
            _check(row, columns, choices, f"{place}, line {line}", hint)
            yield line, row
    except csv.Error as error:
        raise FairNCError(f"{place}, line {reader.line_num + 1}: {error}; {hint}") from error
    if line == 1:
        raise FairNCError(f"{place} has no rows; {hint}")


def _check(
    row: dict[str, str],
    columns: Sequence[str],
    choices: Mapping[str, Sequence[str]],
    place: str,
    hint: str,
) -> None:
    for column in columns:
        allowed = choices.get(column)
        if not row[column].strip() or (allowed and row[column] not in allowed):
            expected = f"one of {', '.join(allowed)}" if allowed else "some text"
            raise FairNCError(f"{place}: {column} is {brief(row[column])}, not {expected}; {hint}")


#: What code meets in content that is not what it takes it for.
_STUMBLES = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    csv.Error,
    tarfile.TarError,
    zlib.error,
)


@contextmanager
def parsing(place: str) -> Iterator[None]:
    """For the lines that take a file's content apart: what they stumble over becomes one sentence
    that names the ``place``.
    """
    try:
        yield
    except FairNCError:
        raise
    except _STUMBLES as error:
        raise FairNCError(f"{place} is not as it should be ({brief(error)}); {HINT}") from error
