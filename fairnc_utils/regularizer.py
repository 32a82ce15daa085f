"""NC3 regularization: a loss that pulls class means and classifier rows of chosen words into line.

``R`` is ``uniform`` = sd_c cos(M_c − m_G, W_c), what the released code minimizes; ``align`` = mean_c (1 − cos); or ``both``.
In a training loop::

    nc3 = NC3Regularizer(model, tokenizer, words="gender", weight=10.0)
    for batch in loader:
        loss = model(**batch).loss + nc3(batch)

With ``transformers.Trainer``, put ``NC3TrainerMixin`` before it and pass ``nc3=``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from transformers import TrainerCallback

from fairnc_utils import models
from fairnc_utils.collapse import duality_cosines
from fairnc_utils.errors import FairNCError
from fairnc_utils.words import AXES, WordList, load

#: Option → its valid values.
CHOICES = {
    "kind": ("uniform", "align", "both"), "space": models.SPACES, "labels": ("aligned", "shifted"),
    "features": ("attached", "detached"), "memory": ("ema", "cumulative", "batch"),
}  # fmt: skip
_EPS = 1e-12  # keeps roots differentiable at 0; a class whose samples weigh less is forgotten


@dataclass(frozen=True)
class NC3Options:
    """How the regularizer is computed. ``corrected()`` and ``as_released(method)`` are the two presets.

    ``kind``: ``uniform``, ``align`` or ``both``; ``space``: ``head`` (what the classifier multiplies) or ``encoder``;
    ``labels``: ``aligned`` with the words of the text, or ``shifted`` by one position; ``masked_labels``: read off the masked
    input, not the text; ``features``: ``attached`` (gradients reach the encoder) or ``detached`` (only the classifier moves);
    ``memory``: ``ema`` (each call weighs all earlier samples by ``decay``), ``cumulative`` or ``batch``;
    ``reset_each_epoch``: for ``NC3TrainerMixin``; a loop of one's own calls ``reset``. ``min_weight``: samples, as the memory weighs
    them after this batch, that a class needs to enter m_G and R; with fewer, its cosine is the noise of a few samples.
    """

    kind: str = "uniform"
    space: str = "head"
    labels: str = "aligned"
    masked_labels: bool = False
    features: str = "attached"
    memory: str = "ema"
    decay: float = 0.99
    reset_each_epoch: bool = False
    min_weight: float = 0.0

    def __post_init__(self):
        for name, valid in CHOICES.items():
            if getattr(self, name) not in valid:
                raise FairNCError(f"NC3 option {name} = {getattr(self, name)!r}: choose {', '.join(valid)}")
        for name in ("masked_labels", "reset_each_epoch"):  # "false" in quotation marks would be true
            if not isinstance(getattr(self, name), bool):
                raise FairNCError(f"NC3 option {name} = {getattr(self, name)!r}: choose true or false")
        if not (isinstance(self.decay, int | float) and 0 <= self.decay < 1):
            raise FairNCError(f"NC3 option decay = {self.decay!r}: choose at least 0 and less than 1")
        if not (isinstance(self.min_weight, int | float) and 0 <= self.min_weight < float("inf")):
            raise FairNCError(f"NC3 option min_weight = {self.min_weight!r}: choose 0 or more")


#: Methods whose released scripts exist, with the weight λ that each uses.
RELEASED_WEIGHTS = {"bec": 100.0, "ase": 100.0, "mabel": 10.0, "mabel_nli": 10.0, "adept": 5.0}


def corrected() -> NC3Options:
    """The definition of this book."""
    return NC3Options()


def as_released(method: str) -> NC3Options:
    """What the released script of ``bec``, ``ase``, ``mabel`` or ``adept`` computes, defects included."""
    if method not in RELEASED_WEIGHTS:
        raise FairNCError(f"no released NC3 script for {method!r}: choose {', '.join(RELEASED_WEIGHTS)}")
    return NC3Options(
        space="encoder", labels="shifted", masked_labels=method in ("bec", "ase"), features="detached", memory="cumulative",
        reset_each_epoch=method == "adept",
    )  # fmt: skip


class _Tap:
    """Hook that keeps the features of the last forward pass. A copy or a pickle of the model starts without them."""

    def __init__(self, space: str):
        self.space, self.features, self.with_graph = space, None, False

    def __call__(self, module: nn.Module, arguments: tuple, output) -> None:
        self.features = arguments[0] if self.space == "head" else output[0]
        self.with_graph = torch.is_grad_enabled()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"features": None}


class NC3Regularizer(nn.Module):
    """``weight`` · R over the class means of ``words``, gathered batch by batch.

    ``model``: a transformers language model (BERT, RoBERTa, DistilBERT, causal); its features are taken from the forward pass
    that the training step makes anyway: call the regularizer after it, and compile the model later than this. ``words``: an
    axis of ``fairnc_utils.words``, a ``WordList``, or token ids; other options: see ``NC3Options``. The memory is a buffer;
    evaluation (``eval()`` or ``no_grad``) leaves it. Several processes must all call it: statistics, and gradients once
    averaged (``DistributedDataParallel``), are those of the joined batch. ``hook.remove()`` takes it off the model.
    """

    def __init__(
        self, model: nn.Module, tokenizer, words: str | WordList | Sequence[int] = "gender", *, weight: float = 1.0,
        options: NC3Options | None = None, **named,
    ):  # fmt: skip
        super().__init__()
        valid = asdict(NC3Options())
        if named and (options is not None or named.keys() - valid):
            raise FairNCError(f"NC3 options {', '.join(named)}: give either options= or some of {', '.join(valid)}")
        while (inner := getattr(model, "module", getattr(model, "_orig_mod", None))) is not None:  # parallel, compiled
            model = inner
        lm = models.wrap(model, tokenizer, name=type(model).__name__, evaluate=False)
        self.options, self.weight, self.causal = options or NC3Options(**named), weight, lm.kind == "causal"
        self._decoder = (model.get_output_embeddings(),)  # a tuple, so that its parameters do not become ours
        words = load(words, tokenizer) if isinstance(words, str) else words
        ids = torch.as_tensor(getattr(words, "token_ids", words), dtype=torch.int64).unique().to(lm.device)
        classes, dim = lm.weight.shape
        if len(ids) < 2 or ids[0] < 0 or ids[-1] >= classes:
            raise FairNCError(f"NC3 words: give {', '.join(AXES)}, or two or more token ids from 0 to {classes - 1}")
        slots = ids.new_full((classes,), len(ids))  # all other words share one slot more
        self.register_buffer("ids", ids)
        self.register_buffer("slots", slots.scatter_(0, ids, torch.arange(len(ids), device=lm.device)))
        self.register_buffer("sums", _wide(lm.weight.detach().new_zeros(len(ids), dim)))
        self.register_buffer("counts", torch.zeros_like(self.sums[:, 0]))
        self._tap = _Tap(self.options.space)
        source = self._decoder[0] if self.options.space == "head" else model.base_model
        self.hook = source.register_forward_hook(self._tap)

    def reset(self) -> None:
        """Forget all statistics."""
        self.counts.zero_()
        self.sums.zero_()

    def forward(self, batch: Mapping[str, Tensor], features: Tensor | None = None) -> Tensor:
        """``weight`` · R after the model's forward pass on ``batch`` → 0-d tensor, 0 with fewer than two seen classes.

        ``batch``: ``input_ids`` (B, T), ``attention_mask`` if padded, and ``labels`` of a masked batch, from which the original
        words are read. ``features`` (B, T, D): for a loop that does not run the model's own head; outputs of the model there
        are ignored. Raises ``FairNCError`` unless the model has just run on the batch.
        """
        ids, labels, mask = batch["input_ids"], batch.get("labels"), batch.get("attention_mask")
        if not isinstance(features, Tensor):
            features, self._tap.features = self._tap.features, None
            needs_graph = self.options.features == "attached" and torch.is_grad_enabled()
            if features is None or (needs_graph and not self._tap.with_graph):
                raise FairNCError("NC3Regularizer: run the model on the batch, with gradients, then call this once")
        if features.shape[:-1] != ids.shape:
            raise FairNCError(f"NC3Regularizer: features {list(features.shape)} do not fit input_ids {list(ids.shape)}")
        if labels is not None and not self.causal and not self.options.masked_labels:
            ids = torch.where(labels >= 0, labels, ids)  # the word behind the mask
        text = torch.ones_like(ids) if mask is None else mask
        means, seen = self._remember(*self._gather(_wide(features), ids, text.bool()))
        return self.weight * _penalty(means, _wide(self._decoder[0].weight[self.ids]), seen, self.options.kind)

    def _gather(self, features: Tensor, ids: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Counts (K,) and sums (K, D) of this batch; no device synchronization, whatever the batch holds."""
        if self.causal or self.options.labels == "shifted":
            features, ids, text = features[:, :-1], ids[:, 1:], text[:, 1:] & text[:, :-1]
        if self.options.features == "detached":
            features = features.detach()
        size = len(self.ids)
        slots = torch.where(text, self.slots[ids], size).flatten()
        flat = features.flatten(0, 1)
        counts = flat.new_zeros(size + 1).index_add(0, slots, torch.ones_like(flat[:, 0]))
        sums = flat.new_zeros(size + 1, flat.shape[1]).index_add(0, slots, flat)
        if distributed.is_available() and distributed.is_initialized():
            joined = _summed_over_processes(torch.cat([counts[:, None], sums], dim=1))
            counts, sums = joined[:, 0], joined[:, 1:]
        return counts[:-1], sums[:-1]

    def _remember(self, counts: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Means (K, D) under the memory, and which classes count as seen; only this batch's part carries a gradient."""
        if self.options.memory != "batch":
            keep = self.options.decay if self.options.memory == "ema" else 1.0
            counts, sums = keep * self.counts + counts, keep * self.sums + sums
            if self.training and torch.is_grad_enabled():
                self.counts.copy_(counts.detach())
                self.sums.copy_(sums.detach())
        return sums / counts.clamp_min(_EPS)[:, None], counts >= max(_EPS, self.options.min_weight)


def _penalty(means: Tensor, rows: Tensor, seen: Tensor, kind: str) -> Tensor:
    """R over the seen classes, without branching on data: sd and mean are written with shares 0 and 1."""
    share = seen.to(means)
    number = share.sum()
    global_mean = (share[:, None] * means).sum(0) / number.clamp_min(1)
    cosines = duality_cosines(means, rows, global_mean, eps=_EPS)
    average = (share * cosines).sum() / number.clamp_min(1)
    spread = ((share * (cosines - average).square()).sum() / (number - 1).clamp_min(1) + _EPS).sqrt()
    return {"uniform": spread, "align": 1 - average, "both": spread + 1 - average}[kind] * (number >= 2)


def _summed_over_processes(x: Tensor) -> Tensor:
    """Sum over all processes. The gradient is that of this process's share times their number, as it will be averaged."""
    total = x.detach().clone()
    distributed.all_reduce(total)
    return total + distributed.get_world_size() * (x - x.detach())


def _wide(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class NC3TrainerMixin:
    """Adds an ``NC3Regularizer`` to a ``transformers.Trainer``: ``class MyTrainer(NC3TrainerMixin, Trainer): ...``, ``nc3=``.

    R joins the training loss only, averaged over the accumulated batches of a step. Checkpoints carry the memory.
    """

    def __init__(self, *args, nc3: NC3Regularizer, **kwargs):
        super().__init__(*args, **kwargs)
        self.nc3 = nc3.to(self.args.device)
        if nc3.options.reset_each_epoch:
            self.add_callback(_EpochReset(nc3))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task's loss plus the regularizer's."""
        batch = dict(inputs)  # some losses take the labels out of the inputs
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if model.training:
            # Trainer divides the sum by the number of accumulated batches unless the task's loss already is.
            divided = self.compute_loss_func or (self.model_accepts_loss_kwargs and num_items_in_batch is not None)
            loss = loss + self.nc3(batch) / (self.current_gradient_accumulation_steps if divided else 1)
        return (loss, outputs) if return_outputs else loss

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            torch.save(self.nc3.state_dict(), Path(output_dir) / "nc3.pt")

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (saved := Path(checkpoint) / "nc3.pt").exists():
            self.nc3.load_state_dict(torch.load(saved, map_location=self.args.device, weights_only=True))


@dataclass
class _EpochReset(TrainerCallback):
    """Empties the memory as an epoch begins, but not where a run is resumed inside one."""

    nc3: NC3Regularizer

    def on_epoch_begin(self, args, state, control, **kwargs):
        if float(state.epoch or 0).is_integer():
            self.nc3.reset()
