"""A debiasing method, with or without NC3, on the training loop."""

import json

import pandas as pd
import torch
from torch import Tensor, nn

from fairnc_utils import training
from fairnc_utils.debias import nc3 as nc3_of
from fairnc_utils.debias.base import Method
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import NC3Options, NC3Regularizer


def require_masked(lm: LanguageModel, method: str) -> None:
    """Raise ``FairNCError`` for a model that no method takes; ``method``: the name of the one that was asked for."""
    lm.require_masked(f"method {method} takes masked language models")


def train(
    lm: LanguageModel,
    method: Method,
    *,
    nc3: NC3Options | None = None,
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
    """Train a masked model in place by a method, with ``lam`` · NC3 added if ``nc3`` is given; return the learning curve.

    ``steps``: how long, else ``epochs``, else as published; ``batch_size``: else as published; ``texts``: first source texts
    only; ``seed``: order, masking, dropout; ``nc3_words``: see ``nc3.word_list``; ``frozen``: ``embeddings`` keeps those of the
    words as they are; ``captured``: replay steps as CUDA graphs, None: on a GPU; ``options``: those of ``training.fit``. The
    curve has the terms ``task`` and ``penalty`` (λ · R). Raises ``FairNCError`` for a causal model, and where the method cannot
    take NC3.
    """
    require_masked(lm, method.name)
    if nc3:
        nc3_of.require(method)
    recipe, size = method.recipe, batch_size or method.recipe.batch_size
    rows = _examples(method, lm, texts)
    steps = steps or (epochs or recipe.epochs) * -(-len(rows) // size)
    on_gpu = lm.device.type == "cuda"
    with torch.random.fork_rng([lm.device] if on_gpu else []):
        torch.manual_seed(seed)
        state = method.prepare(lm.model, lm.tokenizer, rows) if method.prepare else None
        extra = {"state": state} if isinstance(state, nn.Module) else {}
        trained = [lm.model, *extra.values()]
        regularizer = None
        if nc3:
            words = nc3_of.word_list(nc3_words, method, lm, seed=seed)
            regularizer = NC3Regularizer(lm.model, lm.tokenizer, words, weight=lam, options=nc3)
            extra["nc3"] = regularizer.to(lm.device)

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            task = {"task": method.loss(lm.model, batch, state)}
            return task | ({"penalty": regularizer(batch)} if regularizer else {})

        stream = training.batches(
            rows,
            lambda part, generator: method.collate(part, lm.tokenizer, generator),
            size=size,
            seed=seed,
            device=lm.device,
            new_epoch=regularizer.reset if nc3 and nc3.reset_each_epoch else None,
        )
        embeddings = (
            [lm.weight, lm.model.get_input_embeddings().weight] if frozen == "embeddings" else []
        )
        try:
            for weight in embeddings:
                weight.requires_grad_(False)
            return training.fit(
                lm.model,
                loss,
                stream,
                steps=steps,
                groups=training.parameter_groups(trained, recipe.lr, recipe.weight_decay),
                warmup=round(recipe.warmup * steps),
                extra=extra,
                description=method.name,
                captured=on_gpu if captured is None else captured,
                **options,
            )
        finally:
            for weight in embeddings:
                weight.requires_grad_(True)
            if regularizer:
                regularizer.hook.remove()


_EXAMPLES: dict[tuple, list[dict]] = {}


def _examples(method: Method, lm: LanguageModel, limit: int | None) -> list[dict]:
    """The method's training rows, kept for the next run of the same process: every seed and λ trains on the same ones."""
    longest = min(method.recipe.max_length, lm.max_length)
    key = (method.name, limit, longest, json.dumps(lm.tokenizer.get_vocab(), sort_keys=True))
    if key not in _EXAMPLES:
        _EXAMPLES.clear()  # one at a time: they can be large
        rows = method.examples(lm.tokenizer, limit=limit, max_length=longest)
        _EXAMPLES[key] = rows.to_list()
    return _EXAMPLES[key]
