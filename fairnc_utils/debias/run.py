"""A method, with or without NC3, on the training loop; and what is measured on the way."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from fairnc_utils import collapse, corpora, measurement, training, words
from fairnc_utils.debias.base import Method
from fairnc_utils.errors import FairNCError, brief
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import RELEASED_WEIGHTS, NC3Options, NC3Regularizer, as_released, corrected


def train(
    lm: LanguageModel, method: Method, *, nc3: NC3Options | None = None, lam: float = 0.0, steps: int | None = None,
    epochs: int | None = None, batch_size: int | None = None, texts: int | None = None, seed: int = 0,
    nc3_words: str = "gender", frozen: str = "none", captured: bool | None = None, **options,
) -> pd.DataFrame:  # fmt: skip
    """Train a masked model in place by a method, with ``lam`` · NC3 added if ``nc3`` is given; return the learning curve.

    ``steps``: how long, else ``epochs``, else as published; ``batch_size``: else as published; ``texts``: first source texts
    only; ``seed``: order, masking, dropout; ``nc3_words``: see ``nc3_list``; ``frozen``: ``embeddings`` keeps those of the
    words as they are; ``captured``: replay steps as CUDA graphs, None: on a GPU; ``options``: those of ``training.fit``. The
    curve has the terms ``task`` and ``penalty`` (λ · R). Raises ``FairNCError`` for a causal model, and where the method cannot
    take NC3.
    """
    if lm.kind != "masked":
        raise FairNCError(f"method {method.name} trains masked language models; {lm.name} is {lm.kind}")
    if nc3 and method.without_nc3:
        raise FairNCError(f"method {method.name} cannot take NC3: {method.without_nc3}")
    recipe, size = method.recipe, batch_size or method.recipe.batch_size
    rows = _examples(method, lm, texts)
    steps = steps or (epochs or recipe.epochs) * -(-len(rows) // size)
    with torch.random.fork_rng([lm.device] if lm.device.type == "cuda" else []):
        torch.manual_seed(seed)
        state = method.prepare(lm.model, lm.tokenizer, rows) if method.prepare else None
        extra = {"state": state} if isinstance(state, nn.Module) else {}
        regularizer = None
        if nc3:
            chosen = nc3_list(nc3_words, method, lm, seed=seed)
            regularizer = NC3Regularizer(lm.model, lm.tokenizer, chosen, weight=lam, options=nc3).to(lm.device)
            extra["nc3"] = regularizer

        def loss(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            task = {"task": method.loss(lm.model, batch, state)}
            return task | ({"penalty": regularizer(batch)} if regularizer else {})

        stream = training.batches(
            rows, lambda chosen, generator: method.collate(chosen, lm.tokenizer, generator), size=size, seed=seed,
            device=lm.device, new_epoch=regularizer.reset if nc3 and nc3.reset_each_epoch else None,
        )  # fmt: skip
        embeddings = [lm.weight, lm.model.get_input_embeddings().weight] if frozen == "embeddings" else []
        try:
            for weight in embeddings:
                weight.requires_grad_(False)
            return training.fit(
                lm.model, loss, stream, steps=steps,
                groups=training.parameter_groups(
                    [lm.model, *([state] if "state" in extra else [])], recipe.lr, recipe.weight_decay
                ),
                warmup=round(recipe.warmup * steps), extra=extra, description=method.name,
                captured=lm.device.type == "cuda" if captured is None else captured, **options,
            )  # fmt: skip
        finally:
            for weight in embeddings:
                weight.requires_grad_(True)
            if regularizer:
                regularizer.hook.remove()


def usual_words(label: str) -> str:
    """The list that NC3 is trained on unless one is asked for, by what result rows call the regularizer (see ``nc3_list``)."""
    return "released" if label.startswith("as_released") else "gender"


def nc3_list(name: str, method: Method, lm: LanguageModel, *, seed: int = 0) -> words.WordList | list[int]:
    """Words that NC3 is trained on: an axis of ``words``, ``released`` (the method's own), the whole ``vocabulary``, or
    ``random`` and frequency-``matched`` ones, as many as the gender words, drawn by ``seed`` from those of GAP development."""
    if name == "released":
        return words.released(method.name, lm.tokenizer)
    if name == "vocabulary":
        return sorted(set(range(len(lm.weight))) - set(lm.special_ids))
    if name not in ("random", "matched"):
        return words.load(name, lm.tokenizer)
    sequences = corpora.tokenize(corpora.load("gap", "development")["text"], lm.tokenizer, max_length=lm.max_length)
    counts = torch.bincount(torch.tensor([i for ids in sequences for i in ids]), minlength=len(lm.weight)).numpy()
    return words.control(name, lm.tokenizer, counts, min_count=1, seed=seed)


_MADE: dict[tuple, list[dict]] = {}


def _examples(method: Method, lm: LanguageModel, limit: int | None) -> list[dict]:
    """The method's training rows, kept for the next run of the same process: every seed and λ trains on the same ones."""
    longest = min(method.recipe.max_length, lm.max_length)
    key = (method.name, limit, longest, json.dumps(lm.tokenizer.get_vocab(), sort_keys=True))
    if key not in _MADE:
        _MADE.clear()  # one at a time: they can be large
        _MADE[key] = method.examples(lm.tokenizer, limit=limit, max_length=longest).to_list()
    return _MADE[key]


def evaluation(lm: LanguageModel, *, texts: int | None = None, min_count: int = 10) -> Callable[[], dict[str, float]]:
    """Function that measures the model as it is: NC3 and UNC3 of the gender words and masked perplexity on GAP validation."""
    sequences = corpora.tokenize(corpora.load("gap", "validation")["text"][:texts], lm.tokenizer, max_length=lm.max_length)
    classes = words.load("gender", lm.tokenizer).token_ids

    def evaluate() -> dict[str, float]:
        statistics = measurement.statistics_of(lm, sequences)
        found = collapse.measure(statistics, lm.weight, classes=classes, min_count=min_count, groups=1)
        perplexity = training.masked_perplexity(lm, sequences)
        return {"nc3": float(found.nc3), "unc3": float(found.unc3), "masked_perplexity": perplexity}

    return evaluate


def save(lm: LanguageModel, folder: Path) -> None:
    """Write the model and its tokenizer as a Hugging Face folder; an older one there is replaced when the new is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        built = Path(temporary) / "model"
        lm.model.save_pretrained(built)
        lm.tokenizer.save_pretrained(built)
        if folder.exists():
            shutil.rmtree(folder)
        built.rename(folder)


def nc3_options(method: Method, regularizer: object, lam: float | None) -> tuple[NC3Options | None, float, str]:
    """A configuration's regularizer as (NC3's options or None, λ, what result rows call it).

    ``regularizer``: ``none``, ``corrected``, ``as_released``, or a mapping of the options that differ from ``corrected``,
    or from what it names as ``preset``; ``lam``: None for the released weight in ``as_released`` and 10
    elsewhere.
    """
    valid = asdict(corrected())
    changes = dict(regularizer) if isinstance(regularizer, dict) else {"preset": regularizer}
    preset = changes.pop("preset", "corrected")
    if unknown := [str(key) for key in changes if key not in valid]:
        raise FairNCError(f"option regularizer.{unknown[0]}: no such NC3 option; options are {', '.join(['preset', *valid])}")
    if preset == "none" and not changes:
        return None, 0.0, "none"
    if preset not in ("corrected", "as_released"):
        raise FairNCError(
            f"option regularizer = {brief(regularizer)}: choose none, corrected, as_released or a mapping of {', '.join(valid)}"
        )
    released = preset == "as_released"
    options = replace(as_released(method.name) if released else corrected(), **changes)
    weight = lam if lam is not None else RELEASED_WEIGHTS[method.name] if released else 10.0
    return options, weight, ",".join([preset, *(f"{key}={value}" for key, value in sorted(changes.items()))])


def result_rows(before: dict[str, float], curve: pd.DataFrame, columns: dict, trained: dict) -> list[dict]:
    """Result rows of the untrained model (method ``base``) and, if it was trained, of the trained one: the curve's end."""
    common = {"benchmark": "training", "split": "validation", "corpus": "gap", "words": "gender", "axis": "gender",
              "variant": "corrected"} | columns  # fmt: skip
    rows = [common | {"metric": metric, "value": value} for metric, value in before.items()]
    if curve.empty:
        return rows
    after = curve.iloc[-1].drop(["step", "lr", "seconds_per_step"]).dropna()
    return rows + [common | trained | {"metric": metric, "value": value} for metric, value in after.items()]


def curve_items(before: dict[str, float], curve: pd.DataFrame) -> pd.DataFrame:
    """The learning curve as item rows: ``item_id`` the step (0: untrained), ``unit`` the metric, ``score_a`` its value."""
    long = pd.concat([pd.DataFrame([{"step": 0} | before]), curve]).melt("step", var_name="unit", value_name="score_a").dropna()
    steps = long["step"].astype(int).astype(str)
    return long.assign(benchmark="training", axis="gender", item_id=steps).drop(columns="step")
