"""Results for other places: the head of a model card, a folder of tasks for lm-evaluation-harness."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fairnc_utils import harness
from fairnc_utils._atomic import require_folder, write_atomic
from fairnc_utils.errors import FairNCError
from fairnc_utils.metrics import METRICS
from fairnc_utils.runs.rows import load

#: Columns that tell one data set of a model card from another.
_DATASET = ["benchmark", "split", "axis", "words", "corpus", "variant"]


def written(
    what: str, out: str, *, runs: str | None, model: str | None, split: str, axis: str
) -> list[Path]:
    """The files that ``fairnc export`` writes. Raises ``FairNCError`` on bad input."""
    if what == "lm-eval":
        return harness.export_tasks(out, split=split, axis=axis)
    if runs is None:
        raise FairNCError("option --runs is needed: the folder that `fairnc score --out` wrote to")
    require_folder(Path(out).resolve().parent, "--out")
    text = model_index(load(Path(runs).resolve()), model=model)
    if Path(out).is_dir():
        raise FairNCError(f"option --out: {out} is a folder: name a file")
    write_atomic(Path(out), text)
    return [Path(out)]


def model_index(results: pd.DataFrame, *, model: str | None = None) -> str:
    """Result rows of one model as the ``model-index`` of a model card: YAML for the head of its README.

    Each value stands with its 95% interval, number of units, ideal and software. ``model``: whose rows;
    None: of the only one there is. Raises ``FairNCError`` where there are several, or none.
    """
    names = list(dict.fromkeys(results["model"]))
    if model is None and len(names) != 1:
        raise FairNCError(f"runs of several models ({', '.join(names)}): choose one with --model")
    model = names[0] if model is None else model
    rows = results[(results["model"] == model) & results["value"].notna()]
    if rows.empty:
        raise FairNCError(f"no rows of model {model!r}: there are those of {', '.join(names)}")
    sets = [
        _result(dict(zip(_DATASET, key, strict=True)), of)
        for key, of in rows.groupby(_DATASET, sort=False)
    ]
    index = {"model-index": [{"name": Path(model).name or model, "results": sets}]}
    return yaml.safe_dump(index, sort_keys=False, allow_unicode=True, width=1000)


def _result(dataset: dict[str, str], rows: pd.DataFrame) -> dict[str, Any]:
    told = ", ".join(
        dataset[column] for column in ("axis", "words", "corpus", "variant") if dataset[column]
    )
    where = {
        "name": dataset["benchmark"] + (f" ({told})" if told else ""),
        "type": dataset["benchmark"],
    }
    if dataset["split"]:
        where["split"] = dataset["split"]
    newest = rows.drop_duplicates(["metric", "min_count", "layer"], keep="last")
    return {
        "task": {"type": "fairness", "name": "Fairness and neural collapse"},
        "dataset": where,
        "metrics": [_metric(row) for _, row in newest.iterrows()],
    }


def _metric(row: pd.Series) -> dict[str, Any]:
    described = METRICS.get(row["metric"])
    metric = {
        "type": row["metric"],
        "value": float(row["value"]),
        "name": described.label if described else row["metric"],
    }
    args: dict[str, Any] = {"ideal": described.target} if described else {}
    if math.isfinite(row["ci_low"]):
        args["interval_95"] = [float(row["ci_low"]), float(row["ci_high"])]
    if math.isfinite(row["n"]):
        args["units"] = int(row["n"])
    if math.isfinite(row["min_count"]):
        args["min_count"] = int(row["min_count"])
    return metric | {"args": args | {"software": f"fairnc-utils {row['package_version']}"}}
