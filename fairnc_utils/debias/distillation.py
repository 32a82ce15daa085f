"""Distillation: a student of fewer layers that learns from the model what the model says; and the same
student without its teacher.

``kd1`` … ``kd4`` keep so many of the model's layers, evenly spaced, and train them on the book's
pre-training text with the loss of DistilBERT (Sanh et al. 2019): 5 · the teacher's probabilities at
temperature 2, 2 · masked language modelling, 1 · the direction of the last hidden state. ``small1`` …
``small4`` are the control: the same layers, text and steps, masked language modelling alone. ``kd_self``
keeps all layers: distillation without compression. The teacher is the model as it was before.
"""

import copy
import json
from collections.abc import Sequence
from functools import partial

import datasets
import torch
from torch import Tensor, nn

from fairnc_utils import batching, compression, models
from fairnc_utils.debias.base import Batch, Method, Recipe, Rows
from fairnc_utils.errors import FairNCError

#: The pre-training's learning rate of the body, and its batch.
RECIPE = Recipe(lr=4e-4, epochs=6, batch_size=512, max_length=128, warmup=0.1)

#: Weights of the teacher's probabilities, of masked language modelling, of the hidden state's direction.
SHARES = {"teacher": 5.0, "words": 2.0, "direction": 1.0}
TEMPERATURE = 2.0

#: Rows by tokenizer and number of texts: all students of a study train on the same.
_ROWS: dict[tuple, datasets.Dataset] = {}


def examples(
    tokenizer, *, limit: int | None = None, max_length: int = RECIPE.max_length
) -> datasets.Dataset:
    """The pre-training text (its first ``limit`` texts) laid end to end, in rows of ``max_length``
    tokens. Raises ``FairNCError`` where it fills none.
    """
    # it would come with every method
    from fairnc_utils import pretraining

    key = (json.dumps(tokenizer.get_vocab(), sort_keys=True), limit, max_length)
    if key not in _ROWS:
        _ROWS.clear()
        texts = pretraining.texts()[0][:limit]
        packed = batching.packed(batching.tokenize(texts, tokenizer), width=max_length)
        if not len(packed):
            raise FairNCError(
                f"texts = {limit}: they fill no row of {max_length} tokens; take more"
            )
        _ROWS[key] = datasets.Dataset.from_dict({"input_ids": packed.tolist()})
    return _ROWS[key]


def collate(rows: Rows, tokenizer, generator: torch.Generator) -> Batch:
    """Masked rows (B, T), and of the masked places (B, k) ``positions`` and ``labels``, −100 where a row
    has fewer.
    """
    batch = batching.padded_batch([row["input_ids"] for row in rows], tokenizer.pad_token_id)
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    ids, positions, labels = batching.mask_tokens(
        batch["input_ids"],
        ~torch.isin(batch["input_ids"], special),
        mask_id=tokenizer.mask_token_id,
        vocab_size=len(tokenizer),
        generator=generator,
    )
    return batch | {"input_ids": ids, "positions": positions, "labels": labels}


def kept_layers(number: int, of: int) -> list[int]:
    """Places, from 0, of ``number`` of ``of`` layers at even distances, the last among them. Raises
    ``FairNCError`` for more than there are.
    """
    if number > of:
        raise FairNCError(
            f"a student of {number} layers: the model has {of}; choose a smaller student"
        )
    return [-(-of * place // number) - 1 for place in range(1, number + 1)]


def prepare(
    model: nn.Module, tokenizer, rows: Sequence[dict], *, layers: int | None, taught: bool
) -> nn.Module | None:
    """Make the model the student, in place → its teacher, which is not trained; None without one."""
    number = model.config.num_hidden_layers
    kept = kept_layers(layers or number, number)
    teacher = copy.deepcopy(model).eval().requires_grad_(False) if taught else None
    compression.keep_layers(model, kept)
    return teacher


def loss(model: nn.Module, batch: Batch, teacher: nn.Module | None) -> Tensor:
    """The loss of DistilBERT; without a teacher masked language modelling alone. Ideal: that of the
    teacher, 0 in the two parts that it has a say in.
    """
    hidden, logits = _outputs(model, batch)
    asked = (batch["labels"] >= 0).float()
    words = nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    if teacher is None:
        return words
    with torch.no_grad():
        true_hidden, true_logits = _outputs(teacher, batch)
    taught = divergence(true_logits, logits) * asked
    direction = 1 - nn.functional.cosine_similarity(hidden.float(), true_hidden.float(), dim=-1)
    inside = batch["attention_mask"].float()
    parts = {
        "teacher": TEMPERATURE**2 * taught.sum() / asked.sum(),
        "words": words,
        "direction": (direction * inside).sum() / inside.sum(),
    }
    return sum(SHARES[name] * value for name, value in parts.items())


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Kullback–Leibler divergence of a student from its teacher at ``TEMPERATURE``: logits (…, V) → (…).
    Ideal 0.
    """
    true, said = ((logits / TEMPERATURE).log_softmax(-1) for logits in (teacher, student))
    return (true.exp() * (true - said)).sum(-1)


def _outputs(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Last hidden states (B, T, D), and logits at the masked places (B, k, V)."""
    hidden = models.body(model)(batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    places = batch["positions"][..., None].expand(-1, -1, hidden.shape[-1])
    features = models.head(model, hidden.gather(1, places))
    return hidden, model.get_output_embeddings()(features).float()


def _student(name: str, *, layers: int | None, taught: bool) -> Method:
    return Method(
        name,
        "Sanh et al. 2019" if taught else "control",
        "the embedded model's pre-training text",
        RECIPE,
        examples,
        collate,
        loss,
        prepare=partial(prepare, layers=layers, taught=taught),
        without_nc3="a student learns what its teacher says; treat the model before, or the student after it",
        departures="BUG, PANDA and BOLD for Wikipedia and books, minutes for days"
        if taught
        else "no paper: the students of kd1 to kd4 without their teacher",
    )


KD1, KD2, KD3, KD4 = (_student(f"kd{n}", layers=n, taught=True) for n in range(1, 5))
SMALL1, SMALL2, SMALL3, SMALL4 = (
    _student(f"small{n}", layers=n, taught=False) for n in range(1, 5)
)
KD_SELF = _student("kd_self", layers=None, taught=True)
