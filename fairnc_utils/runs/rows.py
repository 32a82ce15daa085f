"""The data contract: tidy result rows, item scores and provenance of every run."""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow
from pydantic import BaseModel

from fairnc_utils import __version__, assets
from fairnc_utils._atomic import replacing, write_atomic
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, identity
from fairnc_utils.stats import Estimate

#: Columns of the results table: one row a number.
RESULT_COLUMNS = (
    "run_id",
    "model",
    "method",
    "regularizer",
    "lam",
    "variant",
    "seed",
    "benchmark",
    "split",
    "axis",
    "words",
    "corpus",
    "space",
    "layer",
    "min_count",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "origin",
    "profile",
    "device",
    "torch",
    "transformers",
    "package_version",
    "git_commit",
    "created",
)

#: Columns of the item table: one row an item score, so that models can be compared item by item.
ITEM_COLUMNS = (
    "run_id",
    "benchmark",
    "split",
    "axis",
    "item_id",
    "unit",
    "score_a",
    "score_b",
    "score_c",
)

#: Columns of the unit table of a recorded study: what ``Benchmark.units`` makes of the items, one row a number.
UNIT_COLUMNS = ("run_id", "benchmark", "split", "axis", "unit", "column", "value")

#: Folder of the project with the runs that the book shows beside those of its own build.
RECORDED = "book/recorded"

#: Columns of either table that hold numbers; all others hold text.
_NUMBERS = {"lam", "seed", "min_count", "value", "ci_low", "ci_high", "n"}
_NUMBERS |= {"score_a", "score_b", "score_c"}


#: File of a folder of runs that lists those that belong there, one id a line; others are passed over.
LISTED = "runs.txt"

#: Files of a saved run.
RUN_FILES = ("results.parquet", "results.csv", "items.parquet", "provenance.json")


@dataclass(frozen=True)
class Run:
    """One run: its configuration, tidy ``results``, ``items`` and ``provenance``."""

    run_id: str
    results: pd.DataFrame
    items: pd.DataFrame
    provenance: dict

    def save(self, folder: str | Path) -> "Run":
        """Write ``folder/<run_id>/`` with results (Parquet and CSV), items and provenance; all of
        it or nothing.

        What else is in a folder of that name stays there, and so does the very same run (see
        ``runs.store``): a chapter that is drawn anew leaves its results alone. A relative folder is
        one of the project, so that a notebook saves to the same place from wherever it is run.
        Raises ``FairNCError`` where the folder cannot be written.
        """
        folder = _placed(folder)
        if self._lies_in(folder / self.run_id):
            return self
        try:
            with replacing(folder / self.run_id, ours=RUN_FILES) as built:
                self.write(built)
        except OSError as error:
            reason = error.strerror or error  # pyarrow gives a sentence alone
            raise FairNCError(
                f"results cannot be saved to {folder} ({reason}): make room or choose another folder"
            ) from error
        return self

    def _lies_in(self, folder: Path) -> bool:
        """Whether a folder has these rows, which say when they were made, and all files."""
        try:
            rows = pd.read_parquet(folder / "results.parquet")
        except (OSError, pyarrow.ArrowException):
            return False
        return rows.equals(self.results) and all((folder / name).is_file() for name in RUN_FILES)

    def write(self, folder: Path) -> None:
        """Make ``folder`` and write the run's files into it."""
        folder.mkdir()
        self.results.to_parquet(folder / "results.parquet", index=False)
        self.results.to_csv(folder / "results.csv", index=False)
        self.items.to_parquet(folder / "items.parquet", index=False)
        # Keys in their own order, which is that of the options: tables of a run that is read back
        # are the same.
        (folder / "provenance.json").write_text(json.dumps(self.provenance, indent=2) + "\n")

    def select(self, **columns) -> pd.DataFrame:
        """The result rows with the given column values, e.g. ``run.select(words="gender",
        metric="nc3")``.
        """
        return select(self.results, **columns)


def make(
    config: BaseModel | dict,
    rows: list[dict],
    items: pd.DataFrame | None,
    *,
    device: str,
    evidence: dict,
) -> Run:
    """Complete result ``rows`` and ``items`` to the contract's columns.

    ``config``: everything that the numbers depend on; with ``evidence``, the fingerprints of what
    was read, it makes the run id. Options by their schema make it as ``identity`` says, a mapping
    as it is.
    """
    import torch  # both take seconds, and reading results needs neither
    import transformers

    schema, hashed = {}, config
    if isinstance(config, BaseModel):
        schema = {"schema": {"name": identity.name(type(config)), "version": identity.VERSION}}
        hashed = identity.hashed(config, leaving_out=identity.PLACES)
        config = config.model_dump(mode="json", exclude=set(identity.PLACES))
    run_id = hashlib.sha256(
        json.dumps([hashed, evidence], sort_keys=True, default=str).encode()
    ).hexdigest()[:12]
    common = {
        "run_id": run_id,
        "method": "base",
        "regularizer": "none",
        "lam": 0.0,
        "seed": 0,
        "origin": "live",
        "layer": "last",
        "device": str(device),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "package_version": __version__,
        "git_commit": git_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    known = {key: config[key] for key in ("model", "seed", "profile") if key in config}
    results = _typed(pd.DataFrame([common | known | row for row in rows]), RESULT_COLUMNS)
    items = _typed((pd.DataFrame() if items is None else items).assign(run_id=run_id), ITEM_COLUMNS)
    pins = {pin.name: f"{pin.version} sha256:{pin.sha256}" for pin in assets.pins().values()}
    provenance = (
        schema
        | {"config": config, "evidence": evidence, "assets": pins}
        | {
            key: common[key]
            for key in (
                "run_id",
                "device",
                "torch",
                "transformers",
                "package_version",
                "git_commit",
                "created",
            )
        }
    )
    return Run(run_id, results, items, provenance)


def metric_rows(estimates: dict[str, Estimate], **columns) -> list[dict]:
    """Result rows of metric → estimate, each with the given columns."""
    return [
        columns
        | {"metric": metric, "value": e.value, "ci_low": e.ci_low, "ci_high": e.ci_high, "n": e.n}
        for metric, e in estimates.items()
    ]


def select(table: pd.DataFrame, **columns) -> pd.DataFrame:
    """Rows whose columns have the given values (a list means any of them)."""
    for column, wanted in columns.items():
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        table = table[table[column].isin(wanted)]
    return table.reset_index(drop=True)


def _placed(folder: str | Path) -> Path:
    """A relative folder is one of the checkout, where there is one: the same from wherever a
    notebook is run.
    """
    return (checkout.find() or Path.cwd()) / folder


def load(folder: str | Path, name: str = "results") -> pd.DataFrame:
    """All ``results`` (or ``items``) rows of the runs below ``folder``, whatever the depth, ordered
    by run.

    A relative folder is one of the project, as in ``Run.save``. Where a folder lists its runs in
    ``runs.txt``, as those of the book's chapters do, others are passed over. Raises ``FairNCError``
    if no run is there.
    """
    files = run_files(_placed(folder), f"{name}.parquet")
    if not files:
        raise FairNCError(
            f"no run below {folder}: run `make book`, a chapter or `fairnc measure --out {folder}` first"
        )
    return pd.concat([_table(file) for file in files], ignore_index=True)


def run_files(folder: str | Path, name: str) -> list[Path]:
    """Files of this name in the complete runs below a folder, whatever the depth.

    A hidden folder holds a run that is still written, or that was never finished.
    """
    inside = ((path, path.relative_to(folder).parts) for path in Path(folder).rglob(name))
    complete = (path for path, parts in inside if not any(part.startswith(".") for part in parts))
    return sorted(path for path in complete if _belongs(path.parent))


def _belongs(run: Path) -> bool:
    """Whether a run is one of those that its folder lists, if that has a list."""
    listed = run.parent / LISTED
    return not listed.exists() or run.name in listed.read_text().split()


def _table(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise FairNCError(
            f"{file} cannot be read ({reason}): delete its folder and run what made it again"
        ) from error


def collect(folder: str | Path, target: str | Path, *more: str | Path) -> pd.DataFrame:
    """Gather all runs below ``folder`` and ``more`` folders, and the recorded ones, into
    ``<target>.parquet`` and ``.csv``.

    Both files are written atomically; a folder of ``more`` without a run is passed over.
    """
    parts = [
        load(folder),
        *(load(other) for other in more if run_files(other, "results.parquet")),
        recorded(),
    ]
    table, target = (
        pd.concat([part for part in parts if len(part)], ignore_index=True),
        Path(target),
    )
    write_atomic(target.with_name(target.name + ".csv"), table.to_csv(index=False))
    write_atomic(target.with_name(target.name + ".parquet"), table.to_parquet(index=False))
    return table


def recorded() -> pd.DataFrame:
    """Result rows of the full runs that come with the book, from ``book/recorded``; no rows if
    there is none.
    """
    root = checkout.find()
    if root and run_files(root / RECORDED, "results.parquet"):
        return load(root / RECORDED)
    return pd.DataFrame(columns=list(RESULT_COLUMNS))


def recorded_units() -> pd.DataFrame:
    """Unit scores of the recorded study (``UNIT_COLUMNS``); no rows if there is none."""
    root = checkout.find()
    file = root and root / RECORDED / "study" / "units.parquet"
    return _table(file) if file and file.exists() else pd.DataFrame(columns=list(UNIT_COLUMNS))


def record(folder: str | Path, target: str | Path | None = None) -> list[str]:
    """Copy all runs below ``folder`` to ``target`` (``book/recorded``) with origin ``recorded``;
    returns their ids.
    """
    target, done = Path(target or checkout.root() / RECORDED), []
    for file in run_files(folder, "provenance.json"):
        provenance = json.loads(file.read_text())
        results, items = (
            _table(file.with_name(f"{name}.parquet")) for name in ("results", "items")
        )
        Run(provenance["run_id"], results.assign(origin="recorded"), items, provenance).save(target)
        done.append(provenance["run_id"])
    if not done:
        raise FairNCError(
            f"no run below {folder}: run `fairnc train --out {folder}` or a chapter first"
        )
    return done


@cache
def git_commit() -> str:
    """``$FAIRNC_COMMIT``, for a copy without its history; else that of the checkout that this
    package runs from (``-dirty`` if it has changes), or unknown.
    """
    if given := os.environ.get("FAIRNC_COMMIT"):
        return given
    if not checkout.is_checkout(checkout.HOME):
        return "unknown"
    try:
        command = [
            "git",
            "-C",
            str(checkout.HOME),
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _typed(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """The contract's columns in order, text as strings and the rest as numbers."""
    table = table.reindex(columns=list(columns))
    for column in columns:
        if column in _NUMBERS:
            table[column] = pd.to_numeric(table[column]).astype("float64")
        else:
            table[column] = (
                table[column].astype(object).where(table[column].notna(), "").astype(str)
            )
    return table
