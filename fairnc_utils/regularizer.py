"""NC3 regularization: a loss that pulls class means and classifier rows of chosen words into line.

``R`` is ``uniform`` = sd_c cos(M_c − m_G, W_c), what the released code minimizes; ``align`` =
mean_c (1 − cos); or ``both``. In a training loop::

    nc3 = NC3Regularizer(model, tokenizer, words="gender", weight=10.0)
    for batch in loader:
        loss = model(**batch).loss + nc3(batch)

With ``transformers.Trainer``, or TRL's ``SFTTrainer`` and ``DPOTrainer``, put ``NC3TrainerMixin``
before it and pass ``nc3=``.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn

from fairnc_utils import models
from fairnc_utils.collapse import duality_cosines
from fairnc_utils.errors import FairNCError
from fairnc_utils.words import AXES, WordList, load

#: Option → its valid values.
CHOICES = {
    "kind": ("uniform", "align", "both"),
    "space": models.SPACES,
    "labels": ("aligned", "shifted"),
    "features": ("attached", "detached"),
    "memory": ("ema", "cumulative", "batch"),
}
_EPS = 1e-12  # keeps roots differentiable at 0; a class whose samples weigh less is forgotten


@dataclass(frozen=True)
class NC3Options:
    """How the regularizer is computed. ``repaired()``, ``corrected()`` and ``as_released(method)``
    are the presets.

    ``kind``: ``uniform``, ``align`` or ``both``; ``space``: ``head`` (what the classifier
    multiplies) or ``encoder``; ``labels``: ``aligned`` with the words of the text, or ``shifted``
    by one position; ``masked_labels``: read off the masked input, not the text; ``features``:
    ``attached`` (gradients reach the encoder) or ``detached`` (only the classifier moves);
    ``memory``: ``ema`` (each call weighs all earlier samples by ``decay``), ``cumulative`` or
    ``batch``; ``reset_each_epoch``: for ``NC3TrainerMixin``; a loop of one's own calls ``reset``;
    ``min_weight``: samples, as the memory weighs them with this batch, that a class needs to enter
    m_G and R, for with fewer its cosine is the noise of a few samples; by default 10, and 3 where
    the memory is the batch alone.
    """

    kind: str = "uniform"
    space: str = "head"
    labels: str = "aligned"
    masked_labels: bool = False
    features: str = "attached"
    memory: str = "ema"
    decay: float = 0.99
    reset_each_epoch: bool = False
    min_weight: float | None = None

    def __post_init__(self):
        for name, valid in CHOICES.items():
            if getattr(self, name) not in valid:
                raise FairNCError(
                    f"NC3 option {name} = {getattr(self, name)!r}: choose {', '.join(valid)}"
                )
        for name in (
            "masked_labels",
            "reset_each_epoch",
        ):  # "false" in quotation marks would be true
            if not isinstance(getattr(self, name), bool):
                raise FairNCError(
                    f"NC3 option {name} = {getattr(self, name)!r}: choose true or false"
                )
        if not (isinstance(self.decay, int | float) and 0 <= self.decay < 1):
            raise FairNCError(
                f"NC3 option decay = {self.decay!r}: choose at least 0 and less than 1"
            )
        if self.min_weight is None:
            object.__setattr__(self, "min_weight", 3.0 if self.memory == "batch" else 10.0)
        if not (isinstance(self.min_weight, int | float) and 0 <= self.min_weight < float("inf")):
            raise FairNCError(f"NC3 option min_weight = {self.min_weight!r}: choose 0 or more")


#: Methods whose released scripts exist, with the weight λ that each uses.
RELEASED_WEIGHTS = {"bec": 100.0, "ase": 100.0, "mabel": 10.0, "mabel_nli": 10.0, "adept": 5.0}


def repaired(**changes) -> NC3Options:
    """The definition of this book: the default, with options that differ from it."""
    return NC3Options(**changes)


def corrected() -> NC3Options:
    """The definition of the book's first edition: a class counts however little it weighs."""
    return NC3Options(min_weight=0.0)


def as_released(method: str) -> NC3Options:
    """What the released script of ``bec``, ``ase``, ``mabel`` or ``adept`` computes, defects
    included.
    """
    if method not in RELEASED_WEIGHTS:
        raise FairNCError(
            f"no released NC3 script for {method!r}: choose {', '.join(RELEASED_WEIGHTS)}"
        )
    return NC3Options(
        space="encoder",
        labels="shifted",
        masked_labels=method in ("bec", "ase"),
        features="detached",
        memory="cumulative",
        reset_each_epoch=method == "adept",
        min_weight=0.0,
    )


@dataclass
class _Pass:
    """One forward pass: what the body read, where it ended, and what the decoder then multiplied if
    it was called.
    """

    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None
    hidden: Tensor | None = None
    features: Tensor | None = None


class _Tap:
    """Hooks that keep the last forward pass with gradients and the last one without, each until it
    is read.

    So no pass without gradients (a reference model's, a metric's) hides the one that is trained on.
    A copy or a pickle of the model starts without them.
    """

    def __init__(self):
        self.passes: dict[bool, _Pass] = {}  # by whether gradients were on, the newest last

    def attach(self, body: nn.Module, decoder: nn.Module) -> "_Hooks":
        return _Hooks(
            (
                body.register_forward_pre_hook(self.begin, with_kwargs=True),
                body.register_forward_hook(self.end),
                decoder.register_forward_pre_hook(self.decode),
            )
        )

    def begin(self, body: nn.Module, arguments: tuple, named: dict) -> None:
        self.passes.pop(torch.is_grad_enabled(), None)
        ids = named.get("input_ids", arguments[0] if arguments else None)
        self.passes[torch.is_grad_enabled()] = _Pass(
            ids, named.get("attention_mask"), named.get("position_ids")
        )

    def end(self, body: nn.Module, arguments: tuple, output) -> None:
        self.passes[torch.is_grad_enabled()].hidden = output[0]

    def decode(self, decoder: nn.Module, arguments: tuple) -> None:
        self.passes.setdefault(torch.is_grad_enabled(), _Pass()).features = arguments[0]

    def last(self, *, with_graph: bool) -> _Pass | None:
        """The last pass; where gradients are on, the last that had them, or with ``with_graph``
        none without.
        """
        trained, newest = self.passes.get(True), next(reversed(self.passes.values()), None)
        if torch.is_grad_enabled():
            return trained if with_graph else trained or newest
        return newest

    def __getstate__(self) -> dict:
        return {"passes": {}}


class _Hooks(tuple):
    def remove(self) -> None:
        for hook in self:
            hook.remove()


class NC3Regularizer(nn.Module):
    """``weight`` · R over the class means of ``words``, gathered batch by batch.

    ``model``: a masked or causal transformers language model, plain or with PEFT adapters, in
    training or not; its features are taken from the forward pass that the training step makes
    anyway: call the regularizer after it, and compile the model later than this. ``words``: an axis
    of ``fairnc_utils.words``, a ``WordList``, words that are single tokens, or token ids; other
    options: see ``NC3Options``. The memory is a buffer; evaluation (``eval()`` or ``no_grad``)
    leaves it. Several processes must all call it: statistics, and gradients once averaged
    (``DistributedDataParallel``), are those of the joined batch. ``hook.remove()`` takes it off the
    model. ``measured`` holds R, NC3, UNC3 and the number of classes of the last call.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer,
        words: str | WordList | Sequence[int] | Sequence[str] = "gender",
        *,
        weight: float = 1.0,
        options: NC3Options | None = None,
        **named,
    ):
        super().__init__()
        valid = asdict(NC3Options())
        if named and (options is not None or named.keys() - valid):
            raise FairNCError(
                f"NC3 options {', '.join(named)}: give either options= or some of {', '.join(valid)}"
            )
        lm = models.wrap(model, tokenizer, name=type(model).__name__, evaluate=False)
        self.options, self.weight, self.causal = (
            options or NC3Options(**named),
            weight,
            lm.kind == "causal",
        )
        self._model = (lm.model,)  # a tuple, so that its parameters do not become ours
        ids = (
            torch.as_tensor(_token_ids(words, tokenizer), dtype=torch.int64).unique().to(lm.device)
        )
        classes, dim = lm.weight.shape
        lm.check_space(self.options.space)
        if len(ids) < 2 or ids[0] < 0 or ids[-1] >= classes:
            raise FairNCError(
                f"NC3 words: give {', '.join(AXES)}, two or more words, or token ids from 0 to {classes - 1}"
            )
        slots = ids.new_full((classes,), len(ids))  # all other words share one slot more
        self.register_buffer("ids", ids)
        self.register_buffer(
            "slots", slots.scatter_(0, ids, torch.arange(len(ids), device=lm.device))
        )
        self.register_buffer("sums", _wide(lm.weight.detach().new_zeros(len(ids), dim)))
        self.register_buffer("counts", torch.zeros_like(self.sums[:, 0]))
        self.measured: NC3Values | None = None
        self._tap = _Tap()
        self.hook = self._tap.attach(models.body(lm.model), lm.model.get_output_embeddings())

    def reset(self) -> None:
        """Forget all statistics."""
        self.counts.zero_()
        self.sums.zero_()

    def forward(self, batch: Mapping[str, Tensor], features: Tensor | None = None) -> Tensor:
        """``weight`` · R after the model's forward pass on ``batch`` → 0-d tensor, 0 with fewer
        than two seen classes.

        The words are those that the pass itself read, with its ``attention_mask`` and
        ``position_ids``; behind a mask stands the word that ``labels`` (B, T) of a masked batch
        say. ``features`` (B, T, D): for a loop that does not run the model's own head; ids then
        come from ``batch``, and outputs of the model are ignored there. Raises ``FairNCError``
        unless the model has just run on the batch.
        """
        if isinstance(features, Tensor):
            seen = _Pass(features=features)
        else:
            seen = self._tap.last(with_graph=self.options.features == "attached")
            features = None if seen is None else self._features(seen)
            self._tap.passes.clear()  # a pass is read once; the head that was run here is none
            if seen is None or features is None:
                raise FairNCError(
                    "NC3Regularizer: run the model on the batch, with gradients, then call this once"
                )
        ids = batch["input_ids"] if seen.input_ids is None else seen.input_ids
        if not features.shape[:-1] == ids.shape == batch.get("input_ids", ids).shape:
            shapes = f"{list(features.shape)} do not fit input_ids {list(batch.get('input_ids', ids).shape)}"
            raise FairNCError(f"NC3Regularizer: features {shapes}")
        mask, positions = (
            batch.get(name) if getattr(seen, name) is None else getattr(seen, name)
            for name in ("attention_mask", "position_ids")
        )
        labels = batch.get("labels")
        if labels is not None and not self.causal and not self.options.masked_labels:
            ids = torch.where(labels >= 0, labels, ids)  # the word behind the mask
        # No padding can be read of a mask of blocks.
        unpadded = torch.ones_like(ids, dtype=torch.bool)
        text = unpadded if mask is None or mask.ndim != 2 else mask.bool()
        means, present = self._remember(*self._gather(_wide(features), ids, text, positions))
        rows = self._model[0].get_output_embeddings().weight[self.ids]
        penalty, self.measured = _penalty(means, _wide(rows), present, self.options.kind)
        return self.weight * penalty

    def _features(self, seen: _Pass) -> Tensor | None:
        """What the pass gave in the option's space; None where it did not run that far."""
        if self.options.space == "encoder":
            return seen.hidden
        if seen.hidden is None:
            return seen.features
        # Fused losses do not call the decoder, others show it a part of the text: the head is then
        # run here.
        whole = seen.features is not None and seen.features.shape[:-1] == seen.hidden.shape[:-1]
        return seen.features if whole else models.head(self._model[0], seen.hidden)

    def _gather(
        self, features: Tensor, ids: Tensor, text: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Counts (K,) and sums (K, D) of this batch; no device synchronization, whatever the batch
        holds.
        """
        if self.causal or self.options.labels == "shifted":
            paired = text[:, 1:] & text[:, :-1]
            if positions is not None and positions.ndim == 2:
                # where texts are packed, none predicts the next one
                paired = paired & (positions[:, 1:] > positions[:, :-1])
            features, ids, text = features[:, :-1], ids[:, 1:], paired
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
        """Means (K, D) under the memory, and which classes count as seen; only this batch's part
        carries a gradient.
        """
        if self.options.memory != "batch":
            keep = self.options.decay if self.options.memory == "ema" else 1.0
            counts, sums = keep * self.counts + counts, keep * self.sums + sums
            if self.training and torch.is_grad_enabled():
                self.counts.copy_(counts.detach())
                self.sums.copy_(sums.detach())
        return sums / counts.clamp_min(_EPS)[:, None], counts >= max(
            _EPS, self.options.min_weight or 0.0
        )


@dataclass(frozen=True)
class NC3Values:
    """0-d tensors without gradient: R (ideal 0), NC3 (ideal 1), UNC3 (ideal 0), and the number of
    classes they are of.

    With fewer than two classes R, NC3 and UNC3 say nothing.
    """

    r: Tensor
    nc3: Tensor
    unc3: Tensor
    classes: Tensor


def _penalty(means: Tensor, rows: Tensor, seen: Tensor, kind: str) -> tuple[Tensor, NC3Values]:
    """R over the seen classes, without branching on data: sd and mean are written with shares 0 and
    1.
    """
    share = seen.to(means)
    number = share.sum()
    global_mean = (share[:, None] * means).sum(0) / number.clamp_min(1)
    cosines = duality_cosines(means, rows, global_mean, eps=_EPS)
    average = (share * cosines).sum() / number.clamp_min(1)
    spread = (
        (share * (cosines - average).square()).sum() / (number - 1).clamp_min(1) + _EPS
    ).sqrt()
    penalty = {"uniform": spread, "align": 1 - average, "both": spread + 1 - average}[kind] * (
        number >= 2
    )
    return penalty, NC3Values(penalty.detach(), average.detach(), spread.detach(), number)


def _token_ids(words: str | WordList | Sequence[int] | Sequence[str], tokenizer) -> Sequence[int]:
    if isinstance(words, str):
        words = load(words, tokenizer)
    elif not isinstance(words, WordList) and any(isinstance(word, str) for word in words):
        ids = {word: models.single_token_id(tokenizer, str(word)) for word in words}
        if unknown := [str(word) for word, token_id in ids.items() if token_id is None]:
            raise FairNCError(
                f"NC3 words: leave out {', '.join(unknown)}: not single tokens of this vocabulary"
            )
        return [token_id for token_id in ids.values() if token_id is not None]
    return words.token_ids if isinstance(words, WordList) else [int(word) for word in words]


def _summed_over_processes(x: Tensor) -> Tensor:
    """Sum over all processes. The gradient is that of this process's share times their number, as
    it will be averaged.
    """
    total = x.detach().clone()
    distributed.all_reduce(total)
    return total + distributed.get_world_size() * (x - x.detach())


def _wide(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


if TYPE_CHECKING:
    from transformers import Trainer
else:
    Trainer = object  # the mixin comes before a trainer of the user's choice


class NC3TrainerMixin(Trainer):
    """Adds an ``NC3Regularizer`` to a ``transformers.Trainer``: ``class MyTrainer(NC3TrainerMixin,
    Trainer): ...``, ``nc3=``.

    R joins the training loss only, averaged over the accumulated batches of a step; so does the
    task's loss of models that know no ``num_items_in_batch`` (BERT among them), which the Trainer
    alone would add up, so that λ would weigh less the more batches a step has. ``nc3/R``,
    ``nc3/NC3``, ``nc3/UNC3`` and ``nc3/classes`` are logged with the loss, as means over the
    batches since the last log. Checkpoints carry the memory. TRL's ``SFTTrainer`` and
    ``DPOTrainer`` (where R is over the policy's rows) work in the same way, with PEFT, packing and
    gradient checkpointing.
    """

    def __init__(self, *args, nc3: NC3Regularizer, **kwargs):
        super().__init__(*args, **kwargs)
        self.nc3 = nc3.to(self.args.device)
        self._nc3_log = _Log()
        average_over_accumulation(self)
        if nc3.options.reset_each_epoch:
            self.add_callback(_epoch_reset(nc3))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The task's loss plus the regularizer's."""
        batch = dict(inputs)  # some losses take the labels out of the inputs
        result = super().compute_loss(
            model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )
        if model.training:
            result = with_penalty(self, result, self.nc3(batch), return_outputs, num_items_in_batch)
            self._nc3_log.add(self.nc3.measured)
        return result

    def log(self, logs, *args, **kwargs):
        """Adds what the regularizer measured since the last training log."""
        if "loss" in logs:
            logs |= self._nc3_log.take()
        super().log(logs, *args, **kwargs)

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            torch.save(self.nc3.state_dict(), Path(output_dir) / "nc3.pt")

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and (saved := Path(checkpoint) / "nc3.pt").exists():
            self.nc3.load_state_dict(
                torch.load(saved, map_location=self.args.device, weights_only=True)
            )


def _epoch_reset(nc3: NC3Regularizer):
    """A callback that empties the memory as an epoch begins, but not where a run is resumed inside
    one.
    """
    # its module brings seconds of imports, and only a Trainer needs it
    from transformers import TrainerCallback

    class EpochReset(TrainerCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            if float(state.epoch or 0).is_integer():
                nc3.reset()

    return EpochReset()


def average_over_accumulation(trainer: Trainer) -> None:
    """Have a ``Trainer`` average the task's loss over the accumulated batches, also where it alone
    would add it up.
    """
    if not _shares_num_items(models.unwrapped(trainer.model)):
        trainer.model_accepts_loss_kwargs = False


def with_penalty(
    trainer: Trainer, result, penalty: Tensor, return_outputs: bool, num_items_in_batch
):
    """What ``compute_loss`` of a ``Trainer`` has returned, with a penalty that is averaged over the
    accumulated batches.
    """
    loss, *outputs = result if return_outputs else (result,)
    # Trainer divides the sum by the number of accumulated batches unless the task's loss already
    # is.
    divided = getattr(trainer, "loss_is_scaled_for_ga", None)
    if divided is None:
        divided = trainer.compute_loss_func or (
            trainer.model_accepts_loss_kwargs and num_items_in_batch is not None
        )
    loss = loss + penalty / (trainer.current_gradient_accumulation_steps if divided else 1)
    return (loss, *outputs) if return_outputs else loss


def _shares_num_items(model: nn.Module) -> bool:
    """Whether the model's loss divides by a ``num_items_in_batch`` of all accumulated batches, as
    ``loss_function`` does.
    """
    forward = inspect.unwrap(type(model).forward)
    return "loss_function" in getattr(forward, "__code__", forward).co_names


class _Log:
    """Sums on the device, so that a training step waits for nothing."""

    def __init__(self):
        self.sums: Tensor | None = None

    def add(self, values: NC3Values) -> None:
        usable = (values.classes >= 2).to(values.classes)
        row = torch.stack(
            [
                usable * values.r,
                usable * values.nc3,
                usable * values.unc3,
                values.classes,
                usable,
                torch.ones_like(usable),
            ]
        )
        self.sums = row if self.sums is None else self.sums + row

    def take(self) -> dict[str, float]:
        """Means: the number of classes over all batches, the others over those with two classes or
        more.
        """
        if self.sums is None:
            return {}
        r, nc3, unc3, classes, usable, batches = self.sums.tolist()
        self.sums = None
        means = {"nc3/R": r, "nc3/NC3": nc3, "nc3/UNC3": unc3} if usable else {}
        return {name: total / usable for name, total in means.items()} | {
            "nc3/classes": classes / batches
        }
