"""A finished study as three files: result rows, unit scores and provenance of all its runs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fairnc_utils import benchmarks
from fairnc_utils._atomic import require_folder, write_atomic
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, data_card
from fairnc_utils.runs.rows import RECORDED, UNIT_COLUMNS, run_files

#: What the provenance of every run of one study has in common; it is written once for each value.
_SHARED = ("assets", "device", "torch", "transformers", "package_version", "git_commit")

#: Names of the class items' scores (see ``runs.measure``) in the unit table.
CLASS_SCORES = {"score_a": "cosine", "score_b": "count", "score_c": "spread"}

#: Units that no paired test asks for, by their columns: they are not kept. BUG gold is training text, so swap collapse there
#: only describes, as do the right log-odds; of StereoSet's axes, gender is tested.
_UNTESTED = (
    {"benchmark": "swap_collapse", "split": "bug_gold"},
    {"benchmark": "gender_agreement", "column": "odds"},
    *(
        {"benchmark": "stereoset_intra", "axis": axis}
        for axis in ("profession", "race", "religion")
    ),
)

#: Bits of the fraction that are kept of a run's numbers when it is first recorded: results to 4e-6 of their size, unit scores,
#: of which each is one of many, to 6e-5. The bits left out are noise that no compression makes smaller.
_RESULT_BITS, _UNIT_BITS = 17, 13

#: Columns of the result rows with measured numbers.
_MEASURED = ("value", "ci_low", "ci_high")

#: Order of the unit table: the runs' scores of one unit side by side, as they are alike.
_UNIT_ORDER = ["benchmark", "split", "axis", "column", "unit", "run_id"]

#: Files of a recorded study.
FILES = ("provenance.json", "results.parquet", "units.parquet", data_card.FILE)


class _Runs(NamedTuple):
    """Result rows and unit scores of some runs, and their provenance by run id."""

    results: pd.DataFrame
    units: pd.DataFrame
    provenance: dict[str, dict]


def gather(*folders: str | Path, target: str | Path | None = None) -> dict:
    """Gather the runs below ``folders`` into ``target`` (``book/recorded/study``), marked as
    recorded → the provenance.

    ``results.parquet``: every row, but the untrained model's only from its own run;
    ``units.parquet``: see ``rows.UNIT_COLUMNS``, without those that nothing tests;
    ``provenance.json``: what the runs share, and under ``runs`` each one's configuration and
    evidence; ``croissant.json``: the data card of the three (see ``data_card``). A folder may hold
    single runs, whose numbers are rounded here, or a recorded study, whose numbers stay; of two
    runs with one id the later stays. Name ``target`` among ``folders`` to add to it. Raises
    ``FairNCError`` if there is no run.
    """
    target = Path(target or checkout.root() / RECORDED / "study")
    _require_study(target)
    sources = [
        _read(file.parent) for folder in folders for file in run_files(folder, "provenance.json")
    ]
    if not sources:
        raise FairNCError(f"no run below {', '.join(map(str, folders))}: run the study first")
    runs = {run_id: run for source in sources for run_id, run in source.provenance.items()}
    provenance = _provenance(runs)
    target.mkdir(parents=True, exist_ok=True)
    results = _latest(sources, "results")
    results = results.sort_values(list(results.columns[:6]), kind="stable")
    units = _latest(sources, "units").sort_values(_UNIT_ORDER, kind="stable")
    write_atomic(target / "results.parquet", _packed(results, _MEASURED))
    write_atomic(target / "units.parquet", _packed(units, ("value",)))
    text = json.dumps(provenance, indent=1, sort_keys=True) + "\n"
    write_atomic(target / "provenance.json", text)
    data_card.write(target)
    return provenance


def at_home() -> list[Path]:
    """The folder of the study that is recorded with the book, if there is one."""
    folder = checkout.find()
    study = folder and folder / RECORDED / "study"
    return [study] if study and (study / "provenance.json").exists() else []


def runs() -> dict[str, dict]:
    """Provenance of the runs that are recorded with the book, by run id."""
    studies = [json.loads((folder / "provenance.json").read_text()) for folder in at_home()]
    return {run_id: run for study in studies for run_id, run in study["runs"].items()}


def _require_study(target: Path) -> None:
    """Raise ``FairNCError`` where files would be replaced that are not those of a recorded study."""
    require_folder(target, "target")
    there = [file for name in FILES if (file := target / name).exists()]
    if not there:
        return
    if there[0].name != "provenance.json" or "runs" not in json.loads(there[0].read_text()):
        raise FairNCError(
            f"{there[0]} is of something else than a recorded study: choose a new or empty folder as target"
        )


# ---------------------------------------------------------------- reading


def _read(folder: Path) -> _Runs:
    """One saved run, or all of a recorded study."""
    provenance = json.loads((folder / "provenance.json").read_text())
    if "runs" in provenance:
        results, units = (
            pd.read_parquet(folder / f"{name}.parquet") for name in ("results", "units")
        )
        shared = provenance["shared"]
        runs = {run_id: run | shared[run["shared"]] for run_id, run in provenance["runs"].items()}
        return _Runs(results, units, runs)
    results, items = (pd.read_parquet(folder / f"{name}.parquet") for name in ("results", "items"))
    run_id, config = provenance["run_id"], provenance["config"]
    # each run has measured the untrained model; its own run is enough
    if config["method"] != "base" or config.get("compression"):
        results = results[results["method"] != "base"]
    units = pd.concat(
        [pd.DataFrame(columns=list(UNIT_COLUMNS)), *_units(items, config)], ignore_index=True
    )
    units = units.assign(run_id=run_id)[list(UNIT_COLUMNS)]
    results = results.assign(origin="recorded")
    return _Runs(*trimmed(results, units), {run_id: provenance})


def trimmed(results: pd.DataFrame, units: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is kept of new runs: tested units alone, numbers without the bits that are noise."""
    for where in _UNTESTED:
        units = units[
            ~np.logical_and.reduce([units[name] == value for name, value in where.items()])
        ]
    results = results.assign(**{name: _rounded(results[name], _RESULT_BITS) for name in _MEASURED})
    values = _rounded(units["value"].astype(float), _UNIT_BITS).astype("float32")
    return results, units.assign(value=values)


def _rounded(values: pd.Series, bits: int) -> pd.Series:
    """Numbers with so many bits of their fraction, the rest rounded off; NaN and infinity stay."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(fraction, bits + 1)), exponent - bits - 1)


def _units(items: pd.DataFrame, config: dict) -> Iterator[pd.DataFrame]:
    """Unit tables in long form: of each benchmark and axis, of the learning curve, of the words of
    the first seed.

    Beside a counterfactual benchmark, whose unit is the profession, ``bug_profession`` only
    describes: its units, a text each, are not kept.
    """
    described = {"bug_profession"} if "bug_counterfactual" in set(items["benchmark"]) else set()
    for (name, split, axis), rows in items.groupby(["benchmark", "split", "axis"], sort=False):
        common = {"benchmark": name, "split": split, "axis": axis}
        if name == "training":
            columns = {"unit": "column", "item_id": "unit", "score_a": "value"}
            yield rows.rename(columns=columns).assign(**common)
        elif name == "collapse":
            # what a compressor does to gender words is set against what it does to matched ones
            matched = {"matched"} if config["method"] == "base" else set()
            if config["seed"] == 0 and axis not in {"vocabulary", "random", "matched"} - matched:
                scores = rows.set_index("unit")[list(CLASS_SCORES)].rename(columns=CLASS_SCORES)
                yield _long(scores).assign(**common)
        # a task of that name has no axis
        elif name in benchmarks.BENCHMARKS and axis and name not in described:
            table = benchmarks.get(name).units(rows.reset_index(drop=True))
            if all(
                pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes
            ):  # not of text, as SEAT's
                yield _long(table).assign(**common)


def _long(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename_axis(index="unit").reset_index().astype({"unit": str})
    return table.melt("unit", var_name="column", value_name="value")


# ---------------------------------------------------------------- writing


def _latest(sources: list[_Runs], table: str) -> pd.DataFrame:
    """One table of all sources, each run's rows from the last source that has it."""
    last = {run_id: place for place, source in enumerate(sources) for run_id in source.provenance}
    tables = [getattr(source, table) for source in sources]
    kept = [rows[rows["run_id"].map(last) == place] for place, rows in enumerate(tables)]
    return pd.concat(kept, ignore_index=True)


def _packed(table: pd.DataFrame, measured: Sequence[str]) -> bytes:
    """A table as parquet, a third as large as by the usual options: numbers that were ``measured``
    byte by byte, of all else each value once, and one group of rows, so that repetition shows.
    """
    return table.to_parquet(
        index=False,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table if name not in measured],
        column_encoding=dict.fromkeys(measured, "BYTE_STREAM_SPLIT"),
        row_group_size=max(len(table), 1),
    )


def _provenance(runs: dict[str, dict]) -> dict:
    """What is shared once under ``shared`` by number, each run's own under ``runs``."""
    numbers, by_id = {}, {}
    for run_id, run in sorted(runs.items()):
        common = json.dumps({key: run[key] for key in _SHARED}, sort_keys=True)
        number = numbers.setdefault(common, str(len(numbers)))
        by_id[run_id] = {key: value for key, value in run.items() if key not in _SHARED}
        by_id[run_id]["shared"] = number
    return {
        "shared": {number: json.loads(common) for common, number in numbers.items()},
        "runs": by_id,
    }
