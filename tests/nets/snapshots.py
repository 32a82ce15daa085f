"""Reference data of the nets: tables as CSV, texts as JSON, in ``reference/``; large ones
compressed.
"""

import io
import json
import lzma
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).with_name("reference")

#: Bytes up to which a file is kept as plain text, so that a change of it can be read.
READABLE = 16_000

#: Columns of result rows that say where and when they were made.
PLACE_AND_TIME = ["device", "torch", "transformers", "package_version", "git_commit", "created"]


def write(name: str, output: pd.DataFrame | dict) -> None:
    """Keep an output as the reference of that name."""
    suffix, text = (
        (".csv", _csv(output)) if isinstance(output, pd.DataFrame) else (".json", _json(output))
    )
    for file in FOLDER.glob(f"{name}.*"):
        file.unlink()
    FOLDER.mkdir(exist_ok=True)
    if len(text.encode()) > READABLE:
        (FOLDER / f"{name}{suffix}.xz").write_bytes(
            lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
        )
    else:
        (FOLDER / f"{name}{suffix}").write_text(text)


def read(name: str) -> pd.DataFrame | dict:
    """The reference of that name: a table or texts."""
    (file,) = FOLDER.glob(f"{name}.*")
    text = lzma.decompress(file.read_bytes()).decode() if file.suffix == ".xz" else file.read_text()
    return _table(text) if ".csv" in file.suffixes else json.loads(text)


def check(output: pd.DataFrame | dict, name: str, *, relative: float, absolute: float) -> None:
    """Assert that an output is its reference: the same rows and columns in the same order, text
    equal, numbers close.
    """
    expected = read(name)
    if isinstance(expected, dict):
        assert json.loads(_json(output)) == expected
    else:
        pd.testing.assert_frame_equal(
            as_read(output), expected, rtol=relative, atol=absolute, check_dtype=False
        )


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """A table as it would be read again."""
    return _table(_csv(table))


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.8g")


def _table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype={"run_id": str, "cell": str}, low_memory=False)


def _json(texts: dict) -> str:
    return json.dumps(texts, indent=1, ensure_ascii=False) + "\n"
