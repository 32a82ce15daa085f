"""A debiasing method, with or without a regularizer, on the training loop."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import pandas as pd
import torch
from torch import Tensor, nn

from fairnc_utils import dose, training
from fairnc_utils._progress import progress
from fairnc_utils.debias import regularizers
from fairnc_utils.debias.base import Batch, Method
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import NC3Options, NC3Regularizer
from fairnc_utils.swap_collapse import SwapCollapse


def train(
    lm: LanguageModel,
    method: Method,
    *,
    regularizer: regularizers.Options | None = None,
    lam: float = 0.0,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    texts: int | None = None,
    seed: int = 0,
    nc3_words: str = "gender",
    frozen: str = "none",
    captured: bool | None = None,
    **options,
) -> pd.DataFrame:
    """Train a model in place by a method, with ``lam`` · a regularizer if one is given; return the
    learning curve.

    ``steps``: how long, else ``epochs``, else as published; ``batch_size``: else as published;
    ``texts``: first source texts only; ``seed``: order, masking, dropout, pairs; ``nc3_words``: see
    ``regularizers.word_list``; ``frozen``: ``embeddings`` keeps those of the words as they are;
    ``captured``: replay steps as CUDA graphs, None: those of masked models on a GPU; ``options``:
    those of ``training.fit``. The curve has the terms ``task`` and ``penalty`` (λ · R), and
    ``classes``, how many took part in R, where NC3 asks for a least weight. Raises ``FairNCError``
    for a model that the method does not take, and where the method cannot take NC3.
    """
    method.require(lm)
    on_gpu = lm.device.type == "cuda"
    with torch.random.fork_rng([lm.device] if on_gpu else []):
        joint = _prepared(
            lm,
            method,
            regularizer,
            lam=lam,
            batch_size=batch_size,
            texts=texts,
            seed=seed,
            nc3_words=nc3_words,
        )
        recipe = method.recipe
        steps = steps or (epochs or recipe.epochs) * joint.epoch
        embeddings = (
            [lm.weight, lm.model.get_input_embeddings().weight] if frozen == "embeddings" else []
        )
        try:
            for weight in embeddings:
                weight.requires_grad_(False)
            return training.fit(
                lm.model,
                joint.loss,
                joint.stream,
                steps=steps,
                groups=training.parameter_groups(joint.trained, recipe.lr, recipe.weight_decay),
                warmup=round(recipe.warmup * steps),
                extra=joint.extra,
                watch=joint.watch,
                description=method.name,
                captured=on_gpu and lm.kind == "masked" if captured is None else captured,
                **options,
            )
        finally:
            for weight in embeddings:
                weight.requires_grad_(True)
            joint.close()


def gradient_ratio(
    lm: LanguageModel,
    method: Method,
    regularizer: regularizers.Options,
    *,
    batch_size: int | None = None,
    texts: int | None = None,
    seed: int = 0,
    nc3_words: str = "gender",
) -> float:
    """‖∇R‖ / ‖∇task‖ before training: see ``dose.gradient_ratio``. Options are those of ``train``.

    Dropout is on and nothing is updated; the batches are those that training begins with. A
    regularizer without a memory is measured on the first ones.
    """
    method.require(lm)
    devices = [lm.device] if lm.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        joint = _prepared(
            lm,
            method,
            regularizer,
            lam=1.0,
            batch_size=batch_size,
            texts=texts,
            seed=seed,
            nc3_words=nc3_words,
        )
        groups = training.parameter_groups(joint.trained, 0.0, 0.0)
        lm.model.train()
        try:
            if isinstance(regularizer, NC3Options) and regularizer.memory != "batch":
                _fill(lm, joint)
            return dose.gradient_ratio(
                joint.task,
                joint.regularizer,
                joint.stream,
                [parameter for group in groups for parameter in group["params"]],
                over=dose.OVER,
            )
        finally:
            lm.model.eval()
            joint.close()


def _fill(lm: LanguageModel, joint: "_Joint") -> None:
    """Fill the memory with the first batches; what the task makes of them is not asked for."""
    nc3 = joint.regularizer
    for batch in progress(
        islice(joint.stream, dose.FILL), desc="memory", total=dose.FILL, unit="batch"
    ):
        with torch.no_grad():
            features = lm.features(
                batch["input_ids"], batch["attention_mask"], space=nc3.options.space
            )
        nc3(batch, features)


@dataclass(frozen=True)
class _Joint:
    """A method and its regularizer on a model, ready to train: the task's loss, the batches, what
    is trained and saved.
    """

    task: Callable[[Batch], Tensor]
    regularizer: NC3Regularizer | SwapCollapse | None
    stream: Iterator[Batch]
    epoch: int
    trained: list[nn.Module]
    extra: dict[str, nn.Module]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        task = {"task": self.task(batch)}
        return task | ({"penalty": self.regularizer(batch)} if self.regularizer else {})

    @property
    def watch(self) -> Callable[[], dict[str, Tensor]] | None:
        """What is logged beside the loss."""
        nc3 = self.regularizer
        if isinstance(nc3, NC3Regularizer) and nc3.options.min_weight > 0:
            return lambda: {"classes": nc3.measured.classes}
        return None

    def close(self) -> None:
        """Take the regularizer's hooks off the model."""
        if isinstance(self.regularizer, NC3Regularizer):
            self.regularizer.hook.remove()


def _prepared(
    lm: LanguageModel,
    method: Method,
    options: regularizers.Options | None,
    *,
    lam: float,
    batch_size: int | None,
    texts: int | None,
    seed: int,
    nc3_words: str,
) -> _Joint:
    """Draws from the random state, which it seeds."""
    nc3 = isinstance(options, NC3Options)
    if nc3:
        regularizers.require(method)
    rows, size = _examples(method, lm, texts), batch_size or method.recipe.batch_size
    torch.manual_seed(seed)
    state = method.prepare(lm.model, lm.tokenizer, rows) if method.prepare else None
    extra = {"state": state} if isinstance(state, nn.Module) else {}
    trained = [lm.model, *extra.values()]
    regularizer = None
    if options:
        regularizer = regularizers.build(
            options, method, lm, weight=lam, nc3_words=nc3_words, seed=seed
        )
        extra["nc3" if nc3 else "swap"] = regularizer
    collate = method.collate_for(lm)
    stream = training.batches(
        rows,
        lambda part, generator: collate(part, lm.tokenizer, generator),
        size=size,
        seed=seed,
        device=lm.device,
        new_epoch=regularizer.reset if nc3 and options.reset_each_epoch else None,
    )
    swapped = isinstance(regularizer, SwapCollapse)
    if swapped:  # a captured step sees its batch alone: the pairs travel in it
        stream = (batch | regularizer.draw() for batch in stream)

    def task(batch: Batch) -> Tensor:
        return method.loss(lm.model, regularizer.without(batch) if swapped else batch, state)

    return _Joint(task, regularizer, stream, -(-len(rows) // size), trained, extra)


_EXAMPLES: dict[tuple, list[dict]] = {}


def _examples(method: Method, lm: LanguageModel, limit: int | None) -> list[dict]:
    """The method's training rows, kept for the next run of the same process: every seed and λ
    trains on the same ones.
    """
    longest = min(method.recipe.max_length, lm.max_length)
    key = (method.name, limit, longest, json.dumps(lm.tokenizer.get_vocab(), sort_keys=True))
    if key not in _EXAMPLES:
        _EXAMPLES.clear()  # one at a time: they can be large
        rows = method.examples(lm.tokenizer, limit=limit, max_length=longest)
        _EXAMPLES[key] = rows.to_list()
    return _EXAMPLES[key]
