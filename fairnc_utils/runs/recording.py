"""A finished study as three files: result rows, unit scores and provenance of all its runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from fairnc_utils import assets, benchmarks
from fairnc_utils._atomic import require_folder
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout
from fairnc_utils.runs import rows as records

#: What the provenance of every run of one study has in common; it is written once for each value.
_SHARED = ("assets", "device", "torch", "transformers", "package_version", "git_commit")

#: Names of the class items' scores (see ``study.measure``) in the unit table.
CLASS_SCORES = {"score_a": "cosine", "score_b": "count", "score_c": "spread"}


def record(*folders: str | Path, target: str | Path | None = None) -> dict:
    """Gather the runs below ``folders`` into ``target`` (``book/recorded/study``), marked as recorded → the provenance.

    ``results.parquet``: every row, but the untrained model's only from its own run; ``units.parquet``: see
    ``records.UNIT_COLUMNS``; ``provenance.json``: what the runs share, and under ``runs`` each one's configuration and
    evidence. A folder may hold single runs or a recorded study; of two runs with one id the later stays. Name ``target``
    among ``folders`` to add to it. Raises ``FairNCError`` if there is no run.
    """
    target = Path(target or checkout.root() / records.RECORDED / "study")
    _require_study(target)
    parts = [_read(file.parent) for folder in folders for file in sorted(Path(folder).rglob("provenance.json"))]
    if not parts:
        raise FairNCError(f"no run below {', '.join(map(str, folders))}: run the study first")
    runs = {run_id: told for *_, found in parts for run_id, told in found.items()}
    last = {run_id: place for place, (*_, found) in enumerate(parts) for run_id in found}
    tables = [
        pd.concat([part[kind][part[kind]["run_id"].map(last) == place] for place, part in enumerate(parts)], ignore_index=True)
        for kind in (0, 1)
    ]
    provenance = _provenance(runs)
    target.mkdir(parents=True, exist_ok=True)
    results, units = tables
    results = results.sort_values(list(results.columns[:6]), kind="stable").to_parquet(index=False, compression="zstd")
    assets.write_atomic(target / "results.parquet", results)
    assets.write_atomic(target / "units.parquet", _packed(units))
    assets.write_atomic(target / "provenance.json", json.dumps(provenance, indent=1, sort_keys=True) + "\n")
    return provenance


def _require_study(target: Path) -> None:
    """Raise ``FairNCError`` where files would be replaced that are not those of a recorded study."""
    require_folder(target, "target")
    files = [file for name in ("provenance.json", "results.parquet", "units.parquet") if (file := target / name).exists()]
    if files and not (files[0].name == "provenance.json" and "runs" in json.loads(files[0].read_text())):
        raise FairNCError(f"{files[0]} is of something else than a recorded study: choose a new or empty folder as target")


def _packed(units: pd.DataFrame) -> bytes:
    """The unit table as parquet, a third as large as by its usual options: like beside like, numbers byte by byte."""
    *names, value = records.UNIT_COLUMNS
    order = ["benchmark", "split", "axis", "column", "run_id", "unit"]
    return units.sort_values(order, kind="stable").to_parquet(
        index=False, compression="zstd", compression_level=15, use_dictionary=names,
        column_encoding={value: "BYTE_STREAM_SPLIT"},
    )  # fmt: skip


def at_home() -> list[Path]:
    """The folder of the study that is recorded with the book, if there is one."""
    folder = checkout.find()
    study = folder and folder / records.RECORDED / "study"
    return [study] if study and (study / "provenance.json").exists() else []


def runs() -> dict[str, dict]:
    """Provenance of the runs that are recorded with the book, by run id."""
    told = [json.loads((folder / "provenance.json").read_text()) for folder in at_home()]
    return {run_id: run for study in told for run_id, run in study["runs"].items()}


def _read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, dict]]:
    """Results, units and provenance by run, of one saved run or of a recorded study."""
    told = json.loads((folder / "provenance.json").read_text())
    if "runs" in told:
        results, units = (pd.read_parquet(folder / f"{name}.parquet") for name in ("results", "units"))
        return results, units, {run_id: run | told["shared"][run["shared"]] for run_id, run in told["runs"].items()}
    results, items = (pd.read_parquet(folder / f"{name}.parquet") for name in ("results", "items"))
    config = told["config"]
    if config["method"] != "base":  # each run has measured the untrained model; its own run is enough
        results = results[results["method"] != "base"]
    units = pd.concat([pd.DataFrame(columns=list(records.UNIT_COLUMNS)), *_units(items, config)], ignore_index=True)
    units = units.assign(run_id=told["run_id"])[list(records.UNIT_COLUMNS)].astype({"value": "float32"})
    return results.assign(origin="recorded"), units, {told["run_id"]: told}


def _units(items: pd.DataFrame, config: dict) -> Iterator[pd.DataFrame]:
    """Unit tables in long form: of each benchmark and axis, of the learning curve, of the words of the first seed."""
    for (name, split, axis), rows in items.groupby(["benchmark", "split", "axis"], sort=False):
        common = {"benchmark": name, "split": split, "axis": axis}
        if name == "training":
            yield rows.rename(columns={"unit": "column", "item_id": "unit", "score_a": "value"}).assign(**common)
        elif name == "collapse" and config["seed"] == 0 and axis not in ("vocabulary", "random", "matched"):
            yield _long(rows.set_index("unit")[list(CLASS_SCORES)].rename(columns=CLASS_SCORES)).assign(**common)
        elif name in benchmarks.BENCHMARKS and axis:  # a task of that name has none
            table = benchmarks.get(name).units(rows.reset_index(drop=True))
            if all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes):  # else units are told by text, as in SEAT
                yield _long(table).assign(**common)


def _long(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename_axis(index="unit").reset_index().astype({"unit": str})
    return table.melt("unit", var_name="column", value_name="value")


def _provenance(runs: dict[str, dict]) -> dict:
    """What is shared once under ``shared`` by number, each run's own under ``runs``."""
    shared, own = {}, {}
    for run_id, told in sorted(runs.items()):
        common = {key: told[key] for key in _SHARED}
        number = shared.setdefault(json.dumps(common, sort_keys=True), str(len(shared)))
        own[run_id] = {key: value for key, value in told.items() if key not in _SHARED} | {"shared": number}
    return {"shared": {number: json.loads(text) for text, number in shared.items()}, "runs": own}
