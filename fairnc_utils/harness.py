"""Beside lm-evaluation-harness: tasks of ours for it, and what it wrote with ``--log_samples``.

Files are read as JSON and nothing else, up to a size; a sample whose value is no number is refused by
name, because a mean over the others would be of another data set.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fairnc_utils import assets, benchmarks
from fairnc_utils._atomic import replacing, require_ours
from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.metrics import METRICS, Metric
from fairnc_utils.panel import Part

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\w.:-]+)\.jsonl")
_MOST_FILES = 2000


def is_samples(folder: object) -> bool:
    """Whether a name is that of a folder with samples, at any depth."""
    return isinstance(folder, str) and next(_files(folder, "samples_*.jsonl"), None) is not None


def _files(folder: str, pattern: str) -> Iterator[Path]:
    try:
        there = Path(folder).is_dir() and not (Path(folder) / "config.json").is_file()
    except (OSError, ValueError):  # a name that no file can have
        return
    if there:
        yield from sorted(Path(folder).glob(pattern))
        yield from sorted(Path(folder).glob(f"*/{pattern}"))


def read_samples(folder: str) -> dict[str, tuple[Part, pd.DataFrame]]:
    """``task/metric`` → the part that it is and its item scores, of the newest run of each task.

    A metric counts if each sample has a number for it; those that the harness makes of lists are
    left out. Raises ``FairNCError`` naming the sample where a file is damaged or a value is NaN, and
    where the folder holds runs of several models.
    """
    newest: dict[str, tuple[str, Path]] = {}
    files = list(_files(folder, "samples_*.jsonl"))
    if len(files) > _MOST_FILES:
        raise FairNCError(f"{folder} has {len(files)} files of samples: name the folder of one run")
    if len({file.parent for file in files}) > 1:
        raise FairNCError(f"{folder} has samples of several models: name the folder of one")
    for file in files:
        if name := _SAMPLES.fullmatch(file.name):
            newest[name["task"]] = max(newest.get(name["task"], ("", file)), (name["date"], file))
    if not newest:
        raise FairNCError(f"{folder} has no samples_<task>_<date>.jsonl: run with --log_samples")
    directions = _directions(folder)
    read = {}
    for task, (_, file) in sorted(newest.items()):
        samples = _samples(file)
        for metric in _metrics(samples, file):
            part = _part(task, metric, directions.get(task, {}).get(metric.partition(",")[0]))
            read[f"{task}/{metric}"] = part, _items(samples, metric)
    return read


def _samples(file: Path) -> dict[str, dict]:
    """Document, and filter where there are several → its sample."""
    if file.stat().st_size > assets.LARGEST:
        raise FairNCError(f"{file} has more than {assets.LARGEST >> 20} MB: compare fewer samples")
    samples: dict[str, dict] = {}
    with file.open(encoding="utf-8") as lines:
        try:
            for line in lines:
                sample = json.loads(line)
                key = f"{sample['doc_id']}:{sample.get('filter', 'none')}"
                if not isinstance(sample.get("metrics"), list) or key in samples:
                    raise ValueError("it names no metrics, or stands there twice")
                samples[key] = sample
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise FairNCError(
                f"{file}, line {len(samples) + 1}: no sample of lm-evaluation-harness ({brief(error)})"
            ) from error
    if not samples:
        raise FairNCError(f"{file} has no samples")
    return samples


def _metrics(samples: Mapping[str, dict], file: Path) -> list[str]:
    """Metrics of which each sample has a number. Raises ``FairNCError`` naming a sample with none."""
    metrics = []
    for name in next(iter(samples.values()))["metrics"]:
        values = {key: sample.get(str(name)) for key, sample in samples.items()}
        numbers = {
            key: float(value) for key, value in values.items() if isinstance(value, int | float)
        }
        for key, value in values.items() if numbers else ():
            if not math.isfinite(numbers.get(key, math.nan)):
                raise FairNCError(f"{file}: sample {key} has {name} = {brief(value)}: run it again")
        if numbers:
            metrics.append(str(name))
    return metrics


def _items(samples: Mapping[str, dict], metric: str) -> pd.DataFrame:
    """Item scores; an item is its document, by what it says, so that only equal ones are paired."""
    ids = [f"{key}:{str(sample.get('doc_hash', ''))[:16]}" for key, sample in samples.items()]
    table = pd.DataFrame(
        {"item_id": ids, "score_a": [float(sample[metric]) for sample in samples.values()]}
    )
    return table.assign(axis="all", unit=table["item_id"], score_b=math.nan, score_c=math.nan)


def _part(task: str, metric: str, higher: bool | None) -> Part:
    better = 0 if higher is None else (1 if higher else -1)
    described = METRICS.get(metric) if task.startswith("fairnc_") else None
    benchmark = Benchmark(
        name=task,
        splits=("test",),
        axes=(),
        load=_none,
        score=_none,
        units=lambda rows: rows[["score_a"]],
        statistics={metric: (("score_a",), mean)},
        kinds=(),
    )
    described = described or Metric(metric, instead="–", better=better)
    return Part(benchmark, "test", "all", (metric,), "likely", {metric: described})


def _none(*_: Any) -> Any:
    raise FairNCError("samples of lm-evaluation-harness are read, not scored")


def _directions(folder: str) -> dict[str, dict[str, bool]]:
    """Task → metric → whether more is better, of the newest results file; nothing where it is not said."""
    files = [file for file in _files(folder, "results_*.json") if file.stat().st_size < 1 << 26]
    if not files:
        return {}
    try:
        told = json.loads(max(files, key=lambda file: file.name).read_text(encoding="utf-8"))
        return {
            str(task): {name: value for name, value in metrics.items() if isinstance(value, bool)}
            for task, metrics in told["higher_is_better"].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FairNCError(
            f"{files[-1]}: no results of lm-evaluation-harness ({brief(error)}); take it away"
        ) from error


# ---------------------------------------------------------------- tasks for the harness

#: File of a folder of tasks → where the package keeps it; the code is the harness's to run, and no module of ours.
_TEMPLATES = {
    "utils.py": "utils.py.in",
    "fairnc_crows.yaml": "fairnc_crows.yaml",
    "fairnc_stereoset.yaml": "fairnc_stereoset.yaml",
}
_DATA = {
    "crows.jsonl": ("crows_causal", "all"),
    "stereoset.jsonl": ("stereoset_intra_causal", None),
}
WRITTEN = (*_TEMPLATES, *_DATA)


def export_tasks(folder: str | Path, *, split: str = "test", axis: str = "all") -> list[Path]:
    """Write StereoSet and signed CrowS for causal models as tasks ``fairnc_stereoset`` and
    ``fairnc_crows`` of lm-evaluation-harness (``--include_path folder``); returns the files.

    Their numbers are those of ``fairnc score`` on the benchmarks ``stereoset_intra_causal`` and
    ``crows_causal``. ``split``: of StereoSet; ``axis``: of both. Raises ``FairNCError`` for unknown ones,
    and unless the folder is new, empty, or an older one of these.
    """
    folder = Path(folder)
    require_ours(folder, WRITTEN, "--out")
    lines = {}
    for name, (benchmark, own) in _DATA.items():
        loaded = benchmarks.get(benchmark)
        loaded.check(split=own or split, axis=axis)
        items = loaded.items(own or split, axis)
        lines[name] = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    with replacing(folder, ours=WRITTEN) as built:
        built.mkdir()
        for name, template in _TEMPLATES.items():
            (built / name).write_text(assets.packaged(f"harness/{template}"), encoding="utf-8")
        for name, content in lines.items():
            (built / name).write_text(content, encoding="utf-8")
    return [folder / name for name in WRITTEN]
