"""The one training loop: any model, any loss, any stream of batches; with checkpoints, so that a
killed run can go on.
"""

import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from fairnc_utils._atomic import replacing
from fairnc_utils._cuda_graph import CudaGraphStep
from fairnc_utils._progress import progress
from fairnc_utils.errors import FairNCError

Loss = Callable[..., Tensor | dict[str, Tensor]]
Watch = Callable[[], dict[str, Tensor]]

#: Precision of the forward pass → the data type that ``torch.autocast`` computes in; weights and gradients stay float32.
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Recipe:
    """Published hyperparameters. ``warmup``: share of the steps; linear decay to 0 follows;
    gradients are clipped at 1.
    """

    lr: float
    epochs: int
    batch_size: int
    max_length: int
    warmup: float = 0.0
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a run is saved: ``file`` always holds one complete state (written aside,
    then renamed).

    ``every``: steps; ``identity``: names everything that the run depends on, so that no other run
    goes on from its file.
    """

    file: Path
    every: int
    identity: str = ""

    def save(self, state: dict) -> None:
        """Replace the file."""
        with replacing(self.file) as temporary:
            torch.save(state | {"identity": self.identity}, temporary)

    def load(self) -> dict | None:
        """The saved state (tensors and plain values only; no code is executed), or None if there is
        none.
        """
        if not self.file.exists():
            return None
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise FairNCError(
                f"checkpoint {self.file} cannot be read; delete it to start anew"
            ) from error
        if not isinstance(state, dict) or "identity" not in state:
            raise FairNCError(
                f"{self.file} is no checkpoint of a training run; choose another folder"
            )
        if state["identity"] != self.identity:
            raise FairNCError(
                f"checkpoint {self.file} belongs to another run; delete it or choose another folder"
            )
        return state


class _Training:
    """Everything that changes while training: what a checkpoint holds."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        groups: list[dict],
        weight_decay: float,
        warmup: int,
        steps: int,
        captured: bool = False,
    ):
        groups = [group | {"params": list(group["params"])} for group in groups]
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        self.device = self.parameters[0].device
        self.modules = dict(modules)
        if captured:  # a graph reads the learning rate from where it is, not as a number
            groups = [
                group | {"lr": torch.tensor(group["lr"], device=self.device)} for group in groups
            ]
        self.optimizer = torch.optim.AdamW(
            groups, weight_decay=weight_decay, fused=True, capturable=captured
        )
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, warmup, steps)
        # as numbers, so that no step asks the device for them
        self.schedule.base_lrs = [float(rate) for rate in self.schedule.base_lrs]
        self.step, self.curve = 0, []

    def state(self) -> dict:
        cuda = {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {}
        return {
            "step": self.step,
            "curve": self.curve,
            "random": {"cpu": torch.get_rng_state()} | cuda,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, state: dict) -> None:
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"] = group["lr"].to(self.device)
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)
        self.step, self.curve = state["step"], state["curve"]

    def update(
        self, loss: Loss, batch: object, dtype: torch.dtype | None, clip: float, watch: Watch | None
    ) -> dict[str, Tensor]:
        """Forward, backward, optimizer; returns the loss, its terms, what is watched and the
        gradient's norm, on the device.
        """
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            value = loss(batch)
        terms = value if isinstance(value, dict) else {}
        total = sum(terms.values()) if terms else value
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        values = {"loss": total, **terms, **(watch() if watch else {}), "gradient_norm": norm}
        return {name: term.detach() for name, term in values.items()}

    def advance(self) -> None:
        """Count the step and set the learning rate of the next one."""
        self.schedule.step()
        self.step += 1


class _Window:
    """What was seen since the last report. Values stay on the device until then: no synchronization
    at each step.
    """

    def __init__(self, description: str):
        self.description = description
        self.restart()

    def restart(self) -> None:
        self.values, self.started = [], time.perf_counter()

    def add(self, terms: dict[str, Tensor]) -> None:
        self.values.append({name: value.float().clone() for name, value in terms.items()})

    def report(self, last: int) -> dict[str, float]:
        """Means by name and seconds per step; raises ``FairNCError`` naming the first step with a
        value that is not finite.
        """
        table = {
            name: torch.stack([terms[name] for terms in self.values]).tolist()
            for name in self.values[0]
        }
        for place in range(len(self.values)):
            for name, column in table.items():
                if not abs(column[place]) < float("inf"):
                    step = last - len(self.values) + 1 + place
                    raise FairNCError(
                        f"{self.description}: {name} is {column[place]} at step {step}; lower the learning rate"
                    )
        means = {name: sum(column) / len(column) for name, column in table.items()}
        seconds = (time.perf_counter() - self.started) / len(self.values)
        return means | {"seconds_per_step": seconds}


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Iterator,
    *,
    steps: int,
    groups: list[dict],
    warmup: int = 0,
    clip: float = 1.0,
    weight_decay: float = 0.01,
    precision: str = "fp32",
    compiled: bool = False,
    captured: bool = False,
    log_every: int = 50,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_every: int = 500,
    description: str = "training",
    extra: Mapping[str, nn.Module] | None = None,
    checkpoints: Checkpoints | None = None,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Train ``model`` in place; return the learning curve: a row every ``log_every`` steps,
    evaluation and checkpoint.

    ``loss(batch)``: 0-d tensor, or named terms to be summed, called under mixed precision;
    ``batches``: yields at least ``steps`` batches already on the device; ``groups``: AdamW
    parameter groups with their peak ``lr``; linear warm-up, then linear decay to 0; ``precision``:
    see ``PRECISIONS``; ``compiled``: ``torch.compile`` the loss; ``captured``: replay the step as a
    CUDA graph (batches are dictionaries of tensors then, and the loss waits for no value).
    ``evaluate()`` adds its values to the curve; the loss, its terms, the 0-d tensors that
    ``watch()`` names after each of them, and the gradient's norm before clipping are means since
    the row before.

    ``checkpoints``: save there, and go on from there if a state is found: batches that were used
    already are drawn and dropped, so that on a CPU the result is the same bit for bit. ``extra``:
    further modules whose state belongs to the run. Raises ``FairNCError`` on a loss or gradient
    that is not finite, at the next row of the curve, before any checkpoint.
    """
    if precision not in PRECISIONS:
        raise FairNCError(f"option precision = {precision!r}: choose {', '.join(PRECISIONS)}")
    run = _Training(
        {"model": model, **(extra or {})}, groups, weight_decay, warmup, steps, captured
    )
    stream = _resumed(run, batches, checkpoints)
    loss = torch.compile(loss) if compiled else loss
    update = partial(run.update, loss, dtype=PRECISIONS[precision], clip=clip, watch=watch)
    update = CudaGraphStep(update) if captured else update
    window = _Window(description)
    model.train()
    with progress(total=steps, initial=run.step, desc=description, unit="step") as bar:
        while run.step < steps:
            batch = next(stream, None)
            if batch is None:
                raise FairNCError(
                    f"{description}: the batches end after {run.step} of {steps} steps"
                )
            window.add(update(batch))
            run.advance()
            bar.update()
            last = run.step == steps
            evaluating = evaluate is not None and (last or run.step % evaluate_every == 0)
            saving = checkpoints is not None and (last or run.step % checkpoints.every == 0)
            if last or evaluating or saving or run.step % log_every == 0:
                row = {
                    "step": run.step,
                    "lr": float(run.schedule.get_last_lr()[-1]),
                } | window.report(run.step)
                run.curve.append(row | (_evaluated(model, evaluate) if evaluating else {}))
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                window.restart()
            if saving:
                checkpoints.save(run.state())
    model.eval()
    return pd.DataFrame(run.curve)


def parameter_groups(modules: Sequence[nn.Module], lr: float, weight_decay: float) -> list[dict]:
    """Parameters of the modules, each once; biases and norms do not decay."""
    every = {
        id(p): p for module in modules for p in module.parameters() if p.requires_grad
    }.values()
    return [
        {"params": [p for p in every if p.ndim >= 2], "lr": lr, "weight_decay": weight_decay},
        {"params": [p for p in every if p.ndim < 2], "lr": lr, "weight_decay": 0.0},
    ]


def batches(
    rows: list[dict],
    collate: Callable[[list[dict], torch.Generator], dict[str, Tensor]],
    *,
    size: int,
    seed: int,
    device: torch.device,
    new_epoch: Callable[[], None] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of rows of like length on the device, epoch by epoch in a new order drawn
    from ``seed``.

    ``rows``: the length of their ``input_ids`` decides which share a batch; ``collate``: makes the
    tensors.
    """
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    generator = torch.Generator().manual_seed(seed)
    while True:
        if new_epoch:
            new_epoch()
        for index in length_grouped(lengths, size, generator):
            batch = collate([rows[i] for i in index], generator)
            yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def length_grouped(
    lengths: Tensor, size: int, generator: torch.Generator, *, pool: int = 32
) -> list[list[int]]:
    """Places of all rows in batches of ``size``: shuffled, sorted by length within pools of
    ``pool`` batches, shuffled.
    """
    order = torch.randperm(len(lengths), generator=generator)
    groups = []
    for part in order.split(size * pool):
        groups += [chunk.tolist() for chunk in part[lengths[part].argsort(stable=True)].split(size)]
    return [groups[i] for i in torch.randperm(len(groups), generator=generator)]


def _resumed(run: _Training, batches: Iterator, checkpoints: Checkpoints | None) -> Iterator:
    """The batches that are left to train on, after restoring the saved state if there is one."""
    stream = iter(batches)
    state = checkpoints.load() if checkpoints else None
    if state is not None:
        for _ in range(state["step"]):
            next(stream, None)
        run.restore(state)
    return stream


def _evaluated(model: nn.Module, evaluate: Callable[[], dict[str, float]]) -> dict[str, float]:
    model.eval()
    values = evaluate()
    model.train()
    return values
