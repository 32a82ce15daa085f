"""A finished study as three files: result rows, unit scores and provenance of all its runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from fairnc_utils import assets, benchmarks, records
from fairnc_utils.errors import FairNCError

#: What the provenance of every run of one study has in common; it is written once for each value.
_SHARED = ("assets", "device", "torch", "transformers", "package_version", "git_commit")

#: Names of the class items' scores (see ``study.measure``) in the unit table.
CLASS_SCORES = {"score_a": "cosine", "score_b": "count", "score_c": "spread"}


def record(folder: str | Path, target: str | Path | None = None) -> dict:
    """Gather the runs below ``folder`` into ``target`` (``book/recorded/study``), marked as recorded → the provenance.

    ``results.parquet``: every row, but the untrained model's only from its own run; ``units.parquet``: see
    ``records.UNIT_COLUMNS``; ``provenance.json``: what the runs share, and under ``runs`` each one's configuration and
    evidence. Runs that are there already stay, if no new one has their id. Raises ``FairNCError`` if there is no run.
    """
    target = Path(target or assets.project_root() / records.RECORDED / "study")
    found = [_read(file.parent) for file in sorted(Path(folder).rglob("provenance.json"))]
    if not found:
        raise FairNCError(f"no run below {folder}: run the study first")
    results = pd.concat([rows for rows, _, _ in found], ignore_index=True)
    units = pd.concat([part for _, part, _ in found], ignore_index=True)
    runs = {told["run_id"]: told for _, _, told in found}
    if (target / "provenance.json").exists():
        old = json.loads((target / "provenance.json").read_text())
        runs = {run_id: told | old["shared"][told["shared"]] for run_id, told in old["runs"].items()} | runs
        results = _with_older(pd.read_parquet(target / "results.parquet"), results)
        units = _with_older(pd.read_parquet(target / "units.parquet"), units)
    provenance = _provenance(runs)
    target.mkdir(parents=True, exist_ok=True)
    for name, table in (("results", results), ("units", units)):
        data = table.sort_values(list(table.columns[:6]), kind="stable").to_parquet(index=False, compression="zstd")
        assets.write_atomic(target / f"{name}.parquet", data)
    assets.write_atomic(target / "provenance.json", json.dumps(provenance, indent=1, sort_keys=True) + "\n")
    return provenance


def _read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Results, units and provenance of one saved run."""
    provenance = json.loads((folder / "provenance.json").read_text())
    results, items = (pd.read_parquet(folder / f"{name}.parquet") for name in ("results", "items"))
    config = provenance["config"]
    if config["method"] != "base":  # each run has measured the untrained model; its own run is enough
        results = results[results["method"] != "base"]
    units = pd.concat([pd.DataFrame(columns=list(records.UNIT_COLUMNS)), *_units(items, config)], ignore_index=True)
    units = units.assign(run_id=provenance["run_id"])[list(records.UNIT_COLUMNS)]
    return results.assign(origin="recorded"), units.astype({"value": "float32"}), provenance


def _units(items: pd.DataFrame, config: dict) -> Iterator[pd.DataFrame]:
    """Unit tables in long form: of each benchmark and axis, of the learning curve, of the words of the first seed."""
    for (name, split, axis), rows in items.groupby(["benchmark", "split", "axis"], sort=False):
        common = {"benchmark": name, "split": split, "axis": axis}
        if name == "training":
            yield rows.rename(columns={"unit": "column", "item_id": "unit", "score_a": "value"}).assign(**common)
        elif name == "collapse" and config["seed"] == 0 and axis not in ("vocabulary", "random", "matched"):
            yield _long(rows.set_index("unit")[list(CLASS_SCORES)].rename(columns=CLASS_SCORES)).assign(**common)
        elif name in benchmarks.BENCHMARKS:
            table = benchmarks.get(name).units(rows.reset_index(drop=True))
            if all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes):  # else units are told by text, as in SEAT
                yield _long(table).assign(**common)


def _long(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename_axis(index="unit").reset_index().astype({"unit": str})
    return table.melt("unit", var_name="column", value_name="value")


def _with_older(older: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([older[~older["run_id"].isin(newer["run_id"])], newer], ignore_index=True)


def _provenance(runs: dict[str, dict]) -> dict:
    """What is shared once under ``shared`` by number, each run's own under ``runs``."""
    shared, own = {}, {}
    for run_id, told in sorted(runs.items()):
        common = {key: told[key] for key in _SHARED}
        number = shared.setdefault(json.dumps(common, sort_keys=True), str(len(shared)))
        own[run_id] = {key: value for key, value in told.items() if key not in _SHARED} | {"shared": number}
    return {"shared": {number: json.loads(text) for text, number in shared.items()}, "runs": own}
