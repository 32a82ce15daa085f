"""Fine-tuning: a copy of a language model's encoder under a new head, trained on a task, the best
checkpoint kept.

The checkpoint is chosen on the task's own validation split; data that measure bias take no part in
it.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import datasets
import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from fairnc_utils import batching, corpora, stats, training
from fairnc_utils._onednn import use_onednn
from fairnc_utils.cooccurrence import Cooccurrence
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.tasks.base import Input, Task


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model, in evaluation mode. ``kind`` is its task's, so benchmarks take it where
    they take that kind.

    ``max_length``: longest input in tokens; ``curve``: the learning curve, with the validation
    metrics; ``text``: hash of what it was trained on.
    """

    name: str
    model: nn.Module
    tokenizer: object
    kind: str
    max_length: int
    curve: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False, compare=False)
    text: str = ""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def outputs(self, inputs: Sequence[Input], *, tokens: int = 4096) -> np.ndarray:
        """What the head gives for each input → (N, C) float64: scores of C classes, or one number.

        Batches hold inputs of like length and at most ``tokens`` padded tokens; the result does not
        depend on them.
        """
        logits, order = [], []
        for index, of_batch in self._passes(inputs, tokens):
            logits.append(of_batch)
            order.append(index)
        return _in_order(logits, order)

    def features(self, inputs: Sequence[Input], *, tokens: int = 4096) -> np.ndarray:
        """What the last linear layer multiplies for each input → (N, D) float64."""
        features, order, seen = [], [], []
        hook = self.last_layer.register_forward_pre_hook(
            lambda module, arguments: seen.append(arguments[0].detach())
        )
        try:
            for index, _ in self._passes(inputs, tokens):
                features.append(seen.pop())
                order.append(index)
        finally:
            hook.remove()
        return _in_order(features, order)

    @property
    def last_layer(self) -> nn.Linear:
        """The linear layer whose rows are the classes. Raises ``FairNCError`` if there is none."""
        outputs = self.model.config.num_labels
        layers = [
            module
            for module in self.model.modules()
            if isinstance(module, nn.Linear) and module.out_features == outputs
        ]
        if not layers:
            raise FairNCError(f"{self.name}: its head has no linear layer of {outputs} classes")
        return layers[-1]

    @torch.no_grad()
    def _passes(self, inputs: Sequence[Input], tokens: int) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Places of the inputs of each batch, and the head's outputs for them."""
        ids = [row["input_ids"] for row in inputs]
        if not ids:
            raise FairNCError(f"{self.name}: there is no input to classify")
        if (longest := max(map(len, ids))) > self.max_length:
            raise FairNCError(
                f"an input has {longest} tokens; {self.name} reads {self.max_length} at most: cut it"
            )
        for batch in batching.bucketed(ids, pad_id=self.tokenizer.pad_token_id, tokens=tokens):
            tensors = collate([inputs[i] for i in batch.index], self.model, self.tokenizer)
            moved = {name: tensor.to(self.device) for name, tensor in tensors.items()}
            yield batch.index, self.model(**moved).logits

    def probabilities(self, inputs: Sequence[Input], *, tokens: int = 4096) -> np.ndarray:
        """Class probabilities of each input → (N, C) float64; rows sum to 1."""
        return softmax(self.outputs(inputs, tokens=tokens), axis=1)


def _in_order(parts: Sequence[Tensor], order: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of batches, each at its place: (N, …) float64."""
    rows = torch.cat(list(parts)).double().cpu().numpy()
    result = np.empty_like(rows)
    result[np.concatenate(order)] = rows
    return result


class MentionPair(nn.Module):
    """A head on the encoder's states at P given places: the normed states and their product → GELU
    layer → classes.

    ``positions`` (B, P): places of tokens; logits (B, C). With P = 2 it asks how two mentions go
    together. The norm brings the states of any encoder to one size; a new head on small ones would
    learn slowly.
    """

    def __init__(self, encoder: nn.Module, outputs: int, *, places: int = 2):
        super().__init__()
        self.base_model, self.config = encoder, encoder.config
        width = encoder.config.hidden_size
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Linear((places + 1) * width, width)
        self.classifier = nn.Linear(width, outputs)
        self.dropout = nn.Dropout(getattr(encoder.config, "hidden_dropout_prob", 0.0))

    def forward(self, positions: Tensor, **inputs: Tensor) -> SequenceClassifierOutput:
        hidden = self.base_model(**inputs).last_hidden_state
        states = self.norm(hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1])))
        # the gradient of ``prod`` asks the device for zeros: no CUDA graph then
        product = reduce(torch.mul, states.unbind(1))
        joined = torch.cat([states.flatten(1), product], dim=-1)
        features = nn.functional.gelu(self.dense(self.dropout(joined)))
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(features)))


def attach(lm: LanguageModel, task: Task) -> nn.Module:
    """A new model: a copy of the language model's encoder under an untrained head for the task.

    Raises ``FairNCError`` for a causal model and for an encoder whose weights do not fit the
    head's.
    """
    if lm.kind != "masked":
        raise FairNCError(f"fine-tuning takes masked language models; {lm.name} is {lm.kind}")
    config = copy.deepcopy(lm.model.config)
    config.num_labels = task.outputs
    if task.labels:
        config.id2label, config.label2id = (
            dict(enumerate(task.labels)),
            {name: i for i, name in enumerate(task.labels)},
        )
    if task.head == "mention_pair":
        model = MentionPair(AutoModel.from_config(config), task.outputs)
    else:
        model = AutoModelForSequenceClassification.from_config(config)
    copied = model.base_model.load_state_dict(lm.model.base_model.state_dict(), strict=False)
    # A masked model is loaded without BERT's pooler, so that layer belongs to the untrained head.
    if copied.unexpected_keys or any(not key.startswith("pooler.") for key in copied.missing_keys):
        raise FairNCError(f"{lm.name}: its encoder's weights do not fit {type(model).__name__}")
    return use_onednn(model.to(device=lm.device, dtype=lm.weight.dtype))


def collate(rows: Sequence[Input], model: nn.Module, tokenizer) -> dict[str, Tensor]:
    """Inputs as padded tensors (B, T), segments only for models that know them; ``positions`` (B,
    P), ``labels`` (B,).
    """
    batch = batching.padded_batch([row["input_ids"] for row in rows], tokenizer.pad_token_id)
    if getattr(model.config, "type_vocab_size", 1) > 1 and "token_type_ids" in rows[0]:
        batch["token_type_ids"] = batching.padded([row["token_type_ids"] for row in rows], 0)
    return batch | {
        key: torch.tensor([row[key] for row in rows])
        for key in ("positions", "labels")
        if key in rows[0]
    }


def sample(items: datasets.Dataset, number: int | None, *, seed: int = 0) -> datasets.Dataset:
    """``number`` items in their order, drawn by ``seed`` (files are often sorted by class); all of
    them if None or fewer.
    """
    if number is None or number >= len(items):
        return items
    return items.select(np.sort(np.random.default_rng(seed).permutation(len(items))[:number]))


def sample_units(items: datasets.Dataset, number: int | None, *, seed: int = 0) -> datasets.Dataset:
    """About ``number`` items, drawn by ``seed``: whole units where the items name theirs in a
    column ``unit``.
    """
    if number is None or "unit" not in items.column_names:
        return sample(items, number, seed=seed)
    units, owners, sizes = np.unique(
        np.array(items["unit"]), return_inverse=True, return_counts=True
    )
    order = np.random.default_rng(seed).permutation(len(units))
    drawn = order[: max(1, np.searchsorted(np.cumsum(sizes[order]), number, side="right"))]
    return items.select(np.flatnonzero(np.isin(owners, drawn)))


def predictions(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Predicted labels (N,) from a classifier's outputs (N, C): the likeliest class, or in a
    regression the number.
    """
    return outputs[:, 0] if task.head == "regression" else outputs.argmax(1).astype(float)


class _Best:
    """The checkpoint that is best on the task's validation items, the earlier one if two are equal."""

    def __init__(self, classifier: Classifier, task: Task, items: datasets.Dataset):
        self.classifier, self.task = classifier, task
        self.inputs = task.inputs(classifier.tokenizer, items, classifier.max_length)
        self.labels, self.score, self.state = np.array(items["label"], float), -np.inf, None

    def evaluate(self) -> dict[str, float]:
        predicted = predictions(self.task, self.classifier.outputs(self.inputs))
        scores = {
            name: float(metric(predicted, self.labels, axis=-1))
            for name, metric in self.task.metrics.items()
        }
        score = scores[next(iter(scores))]
        if score > self.score:
            state = self.classifier.model.state_dict()
            self.score, self.state = (
                score,
                {key: tensor.detach().clone() for key, tensor in state.items()},
            )
        return scores

    def restore(self) -> None:
        if self.state is not None:
            self.classifier.model.load_state_dict(self.state)


def _loss(model: nn.Module, regression: bool, batch: dict[str, Tensor]) -> Tensor:
    logits = model(**{key: tensor for key, tensor in batch.items() if key != "labels"}).logits
    if regression:
        return nn.functional.mse_loss(logits[:, 0].float(), batch["labels"].float())
    return nn.functional.cross_entropy(logits.float(), batch["labels"])


#: Which checkpoint of a training is kept.
KEPT = ("best", "last")

#: What may be left untrained.
FROZEN = ("none", "encoder", "layers")


def training_items(
    task: Task, texts: int | None, cooccurrence: Cooccurrence | None = None, *, seed: int = 0
) -> datasets.Dataset:
    """What ``fit`` trains on: ``texts`` items of the task, None for all, drawn by ``seed``; with their
    co-occurrence of gender and class changed by the same seed, None: as they are. Raises
    ``FairNCError`` as ``Cooccurrence.apply`` does.
    """
    items = sample(task.items("train"), texts, seed=seed)
    return cooccurrence.apply(items, seed=seed) if cooccurrence else items


def fit(
    lm: LanguageModel,
    task: Task,
    *,
    seed: int = 0,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    texts: int | None = None,
    items: datasets.Dataset | None = None,
    evaluation_texts: int | None = None,
    evaluate_every: int | None = None,
    kept: str = "best",
    frozen: str = "none",
    **options,
) -> Classifier:
    """Fine-tune a copy of a masked model on a task; the model itself stays as it is.

    ``steps``: how long, else ``epochs``, else the recipe's; ``batch_size``, ``lr``: else the
    recipe's; ``texts``: training items, drawn by ``seed``, None for all; ``items``: what is trained
    on instead, as ``training_items`` makes it; ``evaluation_texts``: validation items that choose
    the checkpoint, the same for every seed; ``evaluate_every``: steps between evaluations, an epoch
    by default; ``kept``: the checkpoint that is best on the validation items, or the ``last`` one,
    where it is asked what a longer training does; ``frozen``: ``encoder`` trains the head alone,
    ``layers`` the head and the embeddings; ``seed``: items, head, order, dropout; ``options``: those
    of ``training.fit``. Raises ``FairNCError`` as ``attach`` and ``training.fit`` do.
    """
    if kept not in KEPT:
        raise FairNCError(f"option kept = {kept!r}: choose {', '.join(KEPT)}")
    if frozen not in FROZEN:
        raise FairNCError(f"option frozen = {frozen!r}: choose {', '.join(FROZEN)}")
    recipe, size = task.recipe, batch_size or task.recipe.batch_size
    with torch.random.fork_rng([lm.device] if lm.device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = attach(lm, task)
        model.base_model.requires_grad_(frozen == "none")
        if frozen == "layers":
            model.base_model.get_input_embeddings().requires_grad_(True)
        classifier = Classifier(
            lm.name, model, lm.tokenizer, task.kind, min(recipe.max_length, lm.max_length)
        )
        items = items or training_items(task, texts, seed=seed)
        inputs = task.inputs(lm.tokenizer, items, classifier.max_length)
        rows = [row | {"labels": label} for row, label in zip(inputs, items["label"], strict=True)]
        best = _Best(classifier, task, sample(task.items("validation"), evaluation_texts))
        epoch = -(-len(rows) // size)
        steps = steps or (epochs or recipe.epochs) * epoch
        curve = training.fit(
            model,
            partial(_loss, model, task.head == "regression"),
            training.batches(
                rows,
                lambda batch, generator: collate(batch, model, lm.tokenizer),
                size=size,
                seed=seed,
                device=lm.device,
            ),
            steps=steps,
            groups=training.parameter_groups([model], lr or recipe.lr, recipe.weight_decay),
            warmup=round(recipe.warmup * steps),
            evaluate=best.evaluate,
            evaluate_every=evaluate_every or epoch,
            description=task.name,
            captured=lm.device.type == "cuda",
            **options,
        )
    if kept == "best":
        best.restore()
    return replace(classifier, curve=curve, text=corpora.fingerprint([str(row) for row in rows]))


def evaluate(
    classifier: Classifier, task: Task, split: str, *, number: int | None = None
) -> pd.DataFrame:
    """One row an item of a split: ``score_a`` the label, ``score_b`` the prediction, ``score_c``
    the probability of the label (none in a regression); ``item_id`` and ``unit`` name it.
    ``number``: of items, None for all.
    """
    items = sample(task.items(split), number)
    inputs = task.inputs(classifier.tokenizer, items, classifier.max_length)
    label, outputs = np.array(items["label"], float), classifier.outputs(inputs)
    right = np.arange(len(label)), label.astype(int)
    likely = softmax(outputs, axis=1)[right] if task.labels else np.nan
    named = "item_id" in items.column_names
    names = items["item_id"] if named else [str(i) for i in range(len(items))]
    scores = {"score_a": label, "score_b": predictions(task, outputs), "score_c": likely}
    return pd.DataFrame({"item_id": names, "unit": names} | scores)


def majority_accuracy(label: np.ndarray) -> stats.Estimate:
    """Accuracy in percent of always naming the most frequent class of (N,) labels: what an accuracy
    has to beat.
    """
    share = 100 * np.unique(label, return_counts=True)[1].max() / len(label)
    return stats.Estimate(share, np.nan, np.nan, len(label))
