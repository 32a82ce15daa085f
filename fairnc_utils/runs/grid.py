"""The study as a grid: sweeps of a configuration → cells, each one run of ``train`` or
``finetune``.

A sweep is options and, under ``grid``, options with several values; its cells are all combinations.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fairnc_utils.cooccurrence import Cooccurrence
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import identity, treatment
from fairnc_utils.runs.finetune import finetune
from fairnc_utils.runs.options import Debiasing, FinetuneConfig, TrainConfig, configured
from fairnc_utils.runs.rows import Run, run_files, select
from fairnc_utils.runs.train import train
from fairnc_utils.runs.treatment import Treatment
from fairnc_utils.runs.weight import choose_lambda

#: What a cell can be → its options, and what runs it.
RUNS: dict[str, tuple[type[BaseModel], Callable[..., Run]]] = {
    "train": (TrainConfig, train),
    "finetune": (FinetuneConfig, finetune),
}

#: Options that change no number, or only its last digits.
WITHOUT_EFFECT = ("device", *identity.PLACES)


class Plan(BaseModel):
    """The ``study`` section of a configuration. ``lengths``: method → options of each of its cells."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sweeps: dict[str, dict] = Field(min_length=1)
    lengths: dict[str, dict] = Field(default_factory=dict)
    parts: PositiveInt | None = Field(
        None, description="jobs that the workflow divides a sweep into"
    )


class Sweep(BaseModel):
    """One sweep. Keys of ``options`` and ``grid`` are those of the run's configuration; a dot
    reaches inside one of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    run: Literal[tuple(RUNS)] = "train"
    options: dict = Field(default_factory=dict)
    grid: dict[str, list] = Field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One run of a study: what it is (a key of ``RUNS``), and its options."""

    kind: str
    config: TrainConfig | FinetuneConfig

    @property
    def id(self) -> str:
        """The name of its folder, made of its options."""
        return _digest([self.kind, identity.hashed(self.config)])

    @property
    def debiasing(self) -> Debiasing:
        """What is done to the model, ``base`` for nothing."""
        if self.kind == "finetune":
            return self.config.debiasing or Debiasing(method="base")
        return self.config

    @property
    def label(self) -> str:
        """The cell without its seed: task, and what rows call its treatment.

        Raises ``FairNCError`` for a method and a regularizer that do not go together.
        """
        regularizer = treatment.label_of(self.debiasing)
        words = [self.config.task] if self.kind == "finetune" else []
        method, compression = self.debiasing.method, getattr(self.config, "compression", None)
        words.append(f"{method}+{compression}" if compression else method)
        if str(regularizer) != "none":
            words.append(str(regularizer))
            if regularizer.dose is None:
                treated = Treatment.of(self.debiasing, model=self.config.model)
                words.append(f"λ = {treated.lam:g}")
        return " ".join([*words, *self._texts])

    @property
    def _texts(self) -> Iterator[str]:
        """What is done to the texts of a task, for how many epochs they are trained on, and what does not
        learn, where a cell says it.
        """
        if self.kind == "finetune":
            if change := self.config.cooccurrence:
                yield str(Cooccurrence(**change.model_dump()))
            if self.config.epochs:
                yield f"{self.config.epochs} epochs"
            if self.config.frozen != "none":
                yield f"frozen {self.config.frozen}"

    @property
    def shares(self) -> tuple[str, ...]:
        """Cells that agree in the first three share texts; those that agree in all share what they
        fine-tune or compress.
        """
        if self.kind == "finetune":
            treated = f"{self.debiasing!r} {self.config.seed}"
        else:
            hashed = identity.hashed(self.config, leaving_out=("compression",))
            treated = _digest([self.kind, hashed])
        return (self.kind, self.config.model, self.debiasing.method, treated)

    def is_in(self, folder: Path) -> bool:
        """Whether it was run into this folder."""
        return bool(run_files(folder / self.id, "provenance.json"))

    def run(self, *, device: str | None = None) -> Run:
        """``device``: instead of its own."""
        options = self.config.model_dump() | ({"device": device} if device else {})
        return RUNS[self.kind][1](**options)

    def __str__(self) -> str:
        return f"{self.id} {self.label} on {self.config.model}, seed {self.config.seed}"


def plan(config: object) -> Plan:
    """The study of a whole configuration, as it was read from its file. Raises ``FairNCError`` if
    it has none.
    """
    if not isinstance(config, dict) or not isinstance(config.get("study"), dict):
        raise FairNCError("this configuration has no section `study`; config/full.yaml has one")
    return configured(Plan, config["study"])


def names(plan: Plan, only: Sequence[str] | None = None) -> list[str]:
    """The sweeps of a plan, or these of them. Raises ``FairNCError`` if it has not."""
    if unknown := sorted(set(only or ()) - set(plan.sweeps)):
        raise FairNCError(
            f"the study has no sweep {', '.join(unknown)}; it has {', '.join(plan.sweeps)}"
        )
    return list(only or plan.sweeps)


def choosing(plan: Plan) -> list[str]:
    """The sweeps that λ is chosen from: all that do not say ``lam: chosen`` somewhere themselves."""
    return [name for name, sweep in plan.sweeps.items() if '"chosen"' not in json.dumps(sweep)]


def cells(
    plan: Plan, only: Sequence[str] | None = None, *, results: pd.DataFrame | None = None
) -> dict[str, Cell]:
    """The cells by id, sweep by sweep; equal ones once.

    ``only``: names of sweeps; ``results``: rows that choose λ where a sweep says ``lam: chosen``.
    Raises ``FairNCError`` on a bad plan.
    """
    by_id: dict[str, Cell] = {}
    chosen = cache(partial(_chosen, results))
    for name in names(plan, only):
        sweep = configured(Sweep, plan.sweeps[name])
        for values in itertools.product(*sweep.grid.values()):
            options = _nested(sweep.options | dict(zip(sweep.grid, values, strict=True)))
            _complete(
                options if sweep.run == "train" else options.get("debiasing"),
                plan,
                options,
                chosen,
            )
            cell = Cell(sweep.run, configured(RUNS[sweep.run][0], options))
            treatment.check(cell.debiasing)  # what it refuses is refused before anything is run
            by_id.setdefault(cell.id, cell)
    return by_id


def _chosen(results: pd.DataFrame | None, model: str, method: str) -> float:
    return choose_lambda(results if results is None else select(results, model=model), method)


def _complete(
    debiasing: dict | None, plan: Plan, options: dict, chosen: Callable[[str, str], float]
) -> None:
    """Put the length and the weight that the plan leaves open into the options of a debiasing."""
    if not isinstance(debiasing, dict):  # nothing, or what validation refuses
        return
    method = debiasing.get("method")
    for name, value in plan.lengths.get(method, {}).items():
        debiasing.setdefault(name, value)
    if debiasing.get("lam") == "chosen":
        model = options.get("model", TrainConfig.model_fields["model"].default)
        debiasing["lam"] = chosen(model, method)


def _nested(options: Mapping) -> dict:
    """``{"a.b": 1}`` → ``{"a": {"b": 1}}``, all else as it is."""
    nested: dict = {}
    for key, value in options.items():
        outer, dot, inner = key.partition(".")
        if dot:
            nested[outer] = {**nested.get(outer, {}), inner: value}
        else:
            nested[outer] = dict(value) if isinstance(value, dict) else value
    return nested


# ---------------------------------------------------------------- which are missing


def missing_by_sweep(
    plan: Plan,
    runs: Mapping[str, dict],
    results: pd.DataFrame,
    only: Sequence[str] | None = None,
) -> dict[str, tuple[int, list[Cell]]]:
    """Sweep → number of its cells, and those that no run has.

    ``runs``: provenance by run id, as ``recording.gather`` writes it; ``results``: its rows, which
    choose λ; ``only``: names of sweeps.
    """
    return {
        name: (len(pairs), [cell for cell, run_id in pairs if run_id is None])
        for name, pairs in runs_by_sweep(plan, runs, results, only).items()
    }


def runs_by_sweep(
    plan: Plan,
    runs: Mapping[str, dict],
    results: pd.DataFrame,
    only: Sequence[str] | None = None,
) -> dict[str, list[tuple[Cell, str | None]]]:
    """Sweep → its cells, each with the id of the run that it has, or None. Arguments as of
    ``missing_by_sweep``; a run that several sweeps ask for is one of each.
    """
    by_options = _by_options(runs)
    return {
        name: [
            (cell, by_options.get(_same(cell.config)))
            for cell in cells(plan, [name], results=results).values()
        ]
        for name in names(plan, only)
    }


def missing(cells: Mapping[str, Cell], runs: Mapping[str, dict]) -> dict[str, Cell]:
    """The cells that no run of a provenance has, whatever device it was made on."""
    by_options = _by_options(runs)
    return {name: cell for name, cell in cells.items() if _same(cell.config) not in by_options}


def _by_options(runs: Mapping[str, dict]) -> dict[str, str]:
    """Digest of options, as ``_same`` makes it → the run that has them."""
    return {
        _same(config): run_id
        for run_id, run in runs.items()
        if (config := recorded_options(run_id, run))
    }


def recorded_options(run_id: str, run: Mapping) -> BaseModel | None:
    """The options of a recorded run as today's schema reads them; None for a run of another
    command.

    ``run``: its provenance. Raises ``FairNCError`` if the schema does not know an option or a value
    of it.
    """
    by_options = "FinetuneConfig" if "task" in run["config"] else "TrainConfig"
    name = run.get("schema", {}).get("name", by_options)
    schemas = {identity.name(schema): schema for schema, _ in RUNS.values()}
    return identity.read(schemas[name], run_id, run) if name in schemas else None


def _same(config: BaseModel) -> str:
    """Equal for configurations whose numbers are."""
    return _digest(config.model_dump(mode="json", exclude=set(WITHOUT_EFFECT)))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


# ---------------------------------------------------------------- parts


def part(cells: Mapping[str, Cell], number: int, of: int) -> dict[str, Cell]:
    """The cells of one of ``of`` parts, about equally large, to be run one after another.

    ``number`` counts from 1. What shares texts is in as few parts as possible, and what fine-tunes
    one debiased model in one. The parts depend on the plan alone, not on what was run: any number
    of machines agree on them.
    """
    ordered = sorted(cells.values(), key=lambda cell: (cell.shares, cell.id))
    place, members = 0, []
    for _, group in itertools.groupby(ordered, key=lambda cell: cell.shares):
        together = list(group)
        middle = place + len(together) / 2
        if int(middle * of / len(ordered)) == number - 1:
            members += together
        place += len(together)
    return {cell.id: cell for cell in members}
