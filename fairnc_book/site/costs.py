"""What runs cost: seconds and memory of this build's notebooks, training time of recorded runs, and
a study on n GPUs.
"""

import heapq
import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fairnc_utils.runs import checkout

#: Columns of ``runs``.
COLUMNS = ("run_id", "run", "device", "steps", "seconds")


def chapters(folder: Path) -> pd.DataFrame:
    """Notebook, wall-clock ``seconds`` and peak memory ``gigabytes`` (all its processes) from
    Snakemake's benchmark files.
    """
    rows = []
    for file in sorted(folder.glob("*.tsv")):
        (row,) = pd.read_csv(file, sep="\t").to_dict("records")
        # in MB; - where the job was too short to be looked at
        memory = pd.to_numeric(row["max_rss"], errors="coerce") / 1024
        rows.append({"notebook": file.stem, "seconds": float(row["s"]), "gigabytes": memory})
    return pd.DataFrame(rows, columns=["notebook", "seconds", "gigabytes"])


def runs(recorded: Path) -> pd.DataFrame:
    """Recorded training runs: what was trained, ``device``, ``steps`` and ``seconds`` of its
    training steps alone.

    Loading, evaluation and scoring are not in the seconds: each stretch of the learning curve
    counts its steps times its seconds per step, whose clock stands still meanwhile.
    """
    curves = pd.concat([pd.DataFrame(columns=["run_id", "step", "each"]), *_curves(recorded)])
    curves = curves.astype({"step": int, "each": float})
    labels, rows = _labels(recorded), []
    for run_id, curve in curves.sort_values("step").groupby("run_id"):
        steps = curve["step"].diff().fillna(curve["step"])
        seconds = float((steps * curve["each"]).sum())
        run, device = labels.get(run_id, ("", ""))
        rows.append((run_id, run, device, int(curve["step"].max()), seconds))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _curves(recorded: Path) -> Iterable[pd.DataFrame]:
    """run_id, step and seconds per step from the items of single runs and from the units of the
    study.
    """
    for file in sorted(recorded.glob("*/items.parquet")):
        rows = pd.read_parquet(file).query("benchmark == 'training' and unit == 'seconds_per_step'")
        yield rows.rename(columns={"item_id": "step", "score_a": "each"})[
            ["run_id", "step", "each"]
        ]
    for file in recorded.glob("*/units.parquet"):
        rows = pd.read_parquet(
            file, filters=[("benchmark", "==", "training"), ("column", "==", "seconds_per_step")]
        )
        yield rows.rename(columns={"unit": "step", "value": "each"})[["run_id", "step", "each"]]


def _labels(recorded: Path) -> dict[str, tuple[str, str]]:
    """Run → (what was trained, on what device), from the provenance of single runs and of the
    study.
    """
    labels = {}
    for file in recorded.glob("*/provenance.json"):
        content = json.loads(file.read_text())
        for run_id, run in content.get("runs", {content.get("run_id"): content}).items():
            run = content.get("shared", {}).get(run.get("shared"), {}) | run
            config = run["config"]
            what = (
                f"fine-tuning: {config['task']}" if "task" in config else config.get("method", "")
            )
            labels[run_id] = (what, run["device"])
    return labels


def by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each thing trained on each device: runs, median steps, milliseconds a step and
    seconds a run; the total.
    """
    kinds = []
    for (run, device), rows in table.groupby(["run", "device"]):
        each = 1000 * (rows["seconds"] / rows["steps"]).median()
        kinds.append(
            {
                "trained": run,
                "device": device,
                "runs": len(rows),
                "steps": rows["steps"].median(),
                "ms per step": each,
                "seconds per run": rows["seconds"].median(),
                "seconds in all": rows["seconds"].sum(),
            }
        )
    return pd.DataFrame(kinds)


def sizes(recorded: Path) -> dict[str, int]:
    """Bytes of the recorded runs and of one cache entry of the embedded model, by name."""
    config = json.loads((checkout.root() / "models/minilm-mlm/config.json").read_text())
    # counts, sums and square sums of each class
    entry = 8 * config["vocab_size"] * (config["hidden_size"] + 2)
    files = [path.stat().st_size for path in recorded.rglob("*") if path.is_file()]
    return {
        "all recorded runs together": sum(files),
        "one training run of them": sum(files) // max(1, len(runs(recorded))),
        "weights of the embedded model": (checkout.root() / "models/minilm-mlm/model.safetensors")
        .stat()
        .st_size,
        "one cached reading of a corpus by it": entry,
    }


def makespan(seconds: Iterable[float], devices: int) -> float:
    """Seconds until independent runs are done on equal devices, the longest begun first.

    No order is shorter than three quarters of this. Source: Graham (1969), SIAM Journal on Applied
    Mathematics 17 (2).
    """
    busy = [0.0] * devices
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + run)
    return max(busy)
