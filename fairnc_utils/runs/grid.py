"""The study as a grid: sweeps of a configuration → cells, each one run of ``train`` or ``finetune``.

A sweep is options and, under ``grid``, options with several values; its cells are all combinations. Each cell is saved, when
it ends, in a folder named after its options: a study that was stopped goes on where it was.
"""

import hashlib
import itertools
import json
import math
import multiprocessing
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field

from fairnc_utils._progress import progress
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import rows as records
from fairnc_utils.runs.finetune import finetune
from fairnc_utils.runs.options import FinetuneConfig, TrainConfig, configured
from fairnc_utils.runs.train import train

#: What a cell can be → its options, and what runs it.
RUNS = {"train": (TrainConfig, train), "finetune": (FinetuneConfig, finetune)}

#: λ may cost this many points of StereoSet's LM at most.
LM_LOSS = 1.0

#: Seeds that a λ needs to be chosen.
SWEPT = 3

Cells = dict[str, tuple[str, dict]]


class Plan(BaseModel):
    """The ``study`` section of a configuration. ``lengths``: method → options of each of its cells."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sweeps: dict[str, dict] = Field(min_length=1)
    lengths: dict[str, dict] = Field(default_factory=dict)


class Sweep(BaseModel):
    """One sweep. Keys of ``options`` and ``grid`` are those of the run's configuration; a dot reaches inside one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    run: Literal[tuple(RUNS)] = "train"
    options: dict = Field(default_factory=dict)
    grid: dict[str, list] = Field(default_factory=dict)


def plan(config: object) -> Plan:
    """The study of a whole configuration, as it was read from its file. Raises ``FairNCError`` if it has none."""
    if not isinstance(config, dict) or not isinstance(config.get("study"), dict):
        raise FairNCError("this configuration has no section `study`; config/full.yaml has one")
    return configured(Plan, config["study"])


def cells(plan: Plan, only: Sequence[str] | None = None, *, results: pd.DataFrame | None = None) -> Cells:
    """Cell name → (kind of run, its complete options), sweep by sweep; equal cells once.

    ``only``: names of sweeps; ``results``: rows that choose λ where a sweep says ``lam: chosen``. Raises ``FairNCError`` on a
    bad plan.
    """
    sweeps, found = plan.sweeps, {}
    if unknown := sorted(set(only or ()) - set(sweeps)):
        raise FairNCError(f"the study has no sweep {', '.join(unknown)}; it has {', '.join(sweeps)}")
    for name in only or sweeps:
        sweep = configured(Sweep, sweeps[name])
        for values in itertools.product(*sweep.grid.values()):
            options = _nested(sweep.options | dict(zip(sweep.grid, values, strict=True)))
            inside = options if sweep.run == "train" else options.get("debiasing", {})
            method = inside.get("method")
            inside |= {**plan.lengths.get(method, {}), **inside}
            if inside.get("lam") == "chosen":
                inside["lam"] = chosen_lambda(_of_model(results, options), method)
            config = configured(RUNS[sweep.run][0], options).model_dump(mode="json")
            cell = hashlib.sha256(json.dumps([sweep.run, config], sort_keys=True).encode()).hexdigest()[:12]
            found.setdefault(cell, (sweep.run, config))
    return found


def chosen_lambdas(results: pd.DataFrame, methods: Iterable[str]) -> dict[str, float]:
    """Method → its ``chosen_lambda``, for those whose rows tell one."""
    found = {}
    for method in methods:
        with suppress(FairNCError):  # no sweep of it was run: whoever asks says so
            found[method] = chosen_lambda(results, method)
    return found


def lacking(plan: Plan, runs: Mapping[str, dict], results: pd.DataFrame) -> dict[str, tuple[int, list[dict]]]:
    """Sweep → number of its cells, and the options of those that no run has.

    ``runs``: provenance by run id, as ``recording.record`` writes it; ``results``: its rows, which choose λ.
    """
    found = {name: cells(plan, [name], results=results) for name in plan.sweeps}
    return {name: (len(own), [config for _, config in without(own, runs).values()]) for name, own in found.items()}


def without(chosen: Cells, runs: Mapping[str, dict]) -> Cells:
    """The cells that no run of a provenance has."""
    there = {_same(told["config"]) for told in runs.values()}
    return {cell: (kind, config) for cell, (kind, config) in chosen.items() if _same(config) not in there}


def _same(config: Mapping) -> str:
    """A configuration without what does not change its numbers, or only their last digits."""
    kept = {key: value for key, value in config.items() if key not in ("device", "checkpoint", "output")}
    return json.dumps(kept, sort_keys=True)


def _of_model(results: pd.DataFrame | None, options: Mapping) -> pd.DataFrame | None:
    model = options.get("model", TrainConfig.model_fields["model"].default)
    return results if results is None else records.select(results, model=model)


def _nested(options: Mapping) -> dict:
    """``{"a.b": 1}`` → ``{"a": {"b": 1}}``, all else as it is."""
    found: dict = {}
    for key, value in options.items():
        first, dot, rest = key.partition(".")
        found[first] = {**found.get(first, {}), rest: value} if dot else dict(value) if isinstance(value, dict) else value
    return found


def chosen_lambda(results: pd.DataFrame | None, method: str) -> float:
    """λ of the corrected NC3 for a method: the mean log ratio on StereoSet *development*, gender, nearest to 0.

    Among those whose LM there is at most one point below the same method's without NC3. Every λ with ``SWEPT`` seeds (or with
    most) is a candidate, and all are compared on the seeds that they share: none is chosen for its luck, and further seeds of
    the chosen one do not change the choice. Raises ``FairNCError`` if no row tells.
    """
    if results is None or results.empty:
        raise FairNCError("λ cannot be chosen: no run is recorded; run the study's sweep over λ first")
    rows = records.select(results, method=method, benchmark="stereoset_intra", split="dev", axis="gender")
    rows = records.select(rows, metric=["LM", "log_ratio"])
    table = rows.pivot_table(index=["regularizer", "lam", "seed"], columns="metric", values="value")
    if not {"none", "corrected"} <= set(table.index.get_level_values("regularizer")):
        raise FairNCError(f"λ cannot be chosen for {method}: StereoSet dev is not recorded with and without NC3")
    without, swept = table.loc[("none", 0.0)], table.loc["corrected"]
    seeds = {lam: set(part.index.get_level_values("seed")) & set(without.index) for lam, part in swept.groupby("lam")}
    enough = min(SWEPT, max(map(len, seeds.values())))
    candidates = {lam: found for lam, found in seeds.items() if len(found) >= enough}
    shared = sorted(set.intersection(*candidates.values()))
    if not shared:
        raise FairNCError(f"λ cannot be chosen for {method}: no seed is recorded without NC3 and with every λ")
    means = swept[swept.index.get_level_values("seed").isin(shared)].groupby("lam").mean().loc[sorted(candidates)]
    loss = without.loc[shared, "LM"].mean() - means["LM"]
    return float(means["log_ratio"][loss <= max(LM_LOSS, loss.min())].abs().idxmin())


# ---------------------------------------------------------------- running


def run(chosen: Cells, folder: str | Path, *, jobs: int = 1, device: str | None = None) -> dict[str, str]:
    """Run the cells that ``folder`` lacks, ``jobs`` processes at a time; cell → why it failed, for those that did.

    ``device``: instead of the cells' own.
    """
    folder = Path(folder)
    left = {cell: value for cell, value in chosen.items() if not any((folder / cell).glob("*/provenance.json"))}
    parts = _parts(left, max(1, math.ceil(len(left) / (2 * jobs))))
    os.environ.setdefault("TQDM_DISABLE", "1")  # of the workers: one bar is enough
    context, failed = multiprocessing.get_context("forkserver"), {}
    context.set_forkserver_preload(["fairnc_utils.runs"])
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1)  # what one part breaks, the next does not see
    with pool, progress(total=len(left), desc="study", unit="cell") as bar:
        pending = {pool.submit(_run_part, part, folder, threads, device) for part in parts}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for job in done:
                number, why, rest = job.result()
                failed |= why
                bar.update(number)
                if rest:
                    pending.add(pool.submit(_run_part, rest, folder, threads, device))
    return failed


def _parts(left: Cells, size: int) -> list[Cells]:
    """The cells in parts of about ``size`` for a process each: of one method, which shares its text, and never apart what
    fine-tunes one model, so that it is debiased once."""
    models = {cell: (_method(kind, config), str(config.get("debiasing") or cell), config["seed"])
              for cell, (kind, config) in left.items()}  # fmt: skip
    parts: list[Cells] = []
    for _, own in itertools.groupby(sorted(left, key=models.get), key=lambda cell: models[cell][0]):
        parts.append({})
        for _, group in itertools.groupby(own, key=models.get):
            if len(parts[-1]) >= size:
                parts.append({})
            parts[-1].update({cell: left[cell] for cell in group})
    return parts


def _method(kind: str, config: dict) -> str:
    return kind + (config if kind == "train" else config["debiasing"] or {"method": "base"})["method"]


def _run_part(part: Cells, folder: Path, threads: int, device: str | None) -> tuple[int, dict[str, str], Cells]:
    """Run cells until one breaks → how many were run, why the last failed if it did, and those that are left."""
    torch.set_num_threads(threads)
    left = dict(part)
    for cell, (kind, config) in part.items():
        del left[cell]
        started, why = time.perf_counter(), {}
        try:
            RUNS[kind][1](**config | ({"device": device} if device else {})).save(folder / cell)
        except Exception as error:  # a GPU that has failed once fails from then on: the others need a process of their own
            why = {cell: f"{type(error).__name__}: {error}"}
        print(f"{cell} {_method(kind, config)} {time.perf_counter() - started:.1f} s {why.get(cell, '')}", flush=True)
        if why:
            break
    return len(part) - len(left), why, left
