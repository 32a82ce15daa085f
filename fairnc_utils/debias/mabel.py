"""MABEL (He et al. 2022): contrastive learning on entailment pairs, aligned with their
gender-swapped copies.

With p and h the sentence vectors (CLS through an MLP) of the 2B premises and hypotheses, B of them
swapped copies:

- contrastive: cross-entropy of cos(p_i, h_j)/τ over all 2B hypotheses, the right one being h_i;
- alignment: (1/B) Σ_i Σ_j (cos(p_i, h_j)/τ − cos(p'_i, h'_j)/τ)², primes marking the swapped copies;
- masked language modelling on all sentences.

The loss is contrastive + .05 · alignment + .1 · MLM, τ = .05. The MLM head is the model's own, tied
one; the released code trains an untied head that overwrites the input embeddings on export.

``mabel_nli`` takes the original pairs, entailments of SNLI and MNLI that name a gender, from the
hub or a local folder. ``mabel`` has **stand-in data**: a BUG sentence entails "He is a nurse." by
BUG's own link of pronoun and profession.
"""

from collections.abc import Callable
from functools import partial

import datasets
import torch
from torch import Tensor, nn

from fairnc_utils import _io, batching, hub, swap
from fairnc_utils.debias.base import Batch, Method, Recipe, Rows, language_model_loss, masked_batch
from fairnc_utils.errors import FairNCError

TEMPERATURE, ALIGNMENT, MLM = 0.05, 0.05, 0.1
ENTAILMENT = 0  # the label in both data sets
COLUMNS = ("input_ids", "hypothesis_ids", "swapped_ids", "swapped_hypothesis_ids")


def pairs(limit: int | None = None) -> list[tuple[str, str]]:
    """(BUG sentence, "She is a nurse."), each sentence once, of the first ``limit`` rows whose
    gender is their pronoun's.
    """
    hypotheses = {}
    for row in _io.table(
        "BUG/full_BUG.csv", ("sentence_text", "profession", "g", "predicted gender")
    )[:limit]:
        profession = row["profession"].lower()
        article = "an" if profession[0] in "aeiou" and profession != "user" else "a"
        pronoun = "She" if row["g"].lower() in ("she", "her", "hers", "herself") else "He"
        if (pronoun == "She") != (row["predicted gender"] == "female"):
            continue  # 14 rows, such as "HIS system"
        hypotheses.setdefault(row["sentence_text"].strip(), f"{pronoun} is {article} {profession}.")
    return list(hypotheses.items())


def nli_pairs(limit: int | None = None) -> list[tuple[str, str]]:
    """Entailment pairs of SNLI and MNLI, of the first ``limit`` rows of each, in which a gendered
    word stands.
    """
    entailments = {}
    for name in ("stanfordnlp/snli", "nyu-mll/multi_nli"):
        rows = hub.dataset(name, "train")
        for row in rows.select(range(min(limit or len(rows), len(rows)))):
            pair = row["premise"], row["hypothesis"]
            if row["label"] == ENTAILMENT and any(swap.gender(text) != text for text in pair):
                entailments[pair] = None
    if not entailments:
        raise FairNCError(
            f"method mabel_nli: no entailment names a gender in the first {limit} rows; give more texts"
        )
    return list(entailments)


def examples(
    tokenizer, *, limit: int | None = None, max_length: int = 128, pairs: Callable = pairs
) -> datasets.Dataset:
    """Token ids of premise, hypothesis and their swapped copies."""
    premises, hypotheses = zip(*pairs(limit), strict=True)
    texts = (
        premises,
        hypotheses,
        list(map(swap.gender, premises)),
        list(map(swap.gender, hypotheses)),
    )
    ids = [batching.tokenize(part, tokenizer, max_length=max_length) for part in texts]
    return datasets.Dataset.from_dict(dict(zip(COLUMNS, ids, strict=True)))


def collate(rows: Rows, tokenizer, generator: torch.Generator) -> Batch:
    """4B sequences in the order of ``COLUMNS``: ``text_ids`` as they stand, ``input_ids`` and
    ``labels`` masked.
    """
    sequences = [row[column] for column in COLUMNS for row in rows]
    text_ids = batching.padded(sequences, tokenizer.pad_token_id)
    return masked_batch(sequences, tokenizer, generator) | {"text_ids": text_ids}


def prepare(model: nn.Module, tokenizer, rows: Rows) -> nn.Module:
    """The MLP of the sentence vectors, which is trained along and then thrown away."""
    dense = nn.Linear(model.config.hidden_size, model.config.hidden_size)
    nn.init.normal_(dense.weight, std=0.02)
    nn.init.zeros_(dense.bias)
    return nn.Sequential(dense, nn.Tanh()).to(model.device)


def contrastive(p: Tensor, h: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """Cross-entropy over in-batch hypotheses: (N, D), (N, D) → 0-d tensor, ideal 0."""
    return nn.functional.cross_entropy(
        _cosines(p, h) / temperature, torch.arange(len(p), device=p.device)
    )


def alignment(
    p: Tensor, h: Tensor, p_swapped: Tensor, h_swapped: Tensor, *, temperature: float = TEMPERATURE
) -> Tensor:
    """Squared difference of original and swapped similarities, summed over hypotheses: four (B, D)
    → 0-d tensor, ideal 0.
    """
    return ((_cosines(p, h) - _cosines(p_swapped, h_swapped)) / temperature).square().sum(1).mean()


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return nn.functional.normalize(a.float(), dim=1) @ nn.functional.normalize(b.float(), dim=1).mT


def loss(model: nn.Module, batch: Batch, mlp: nn.Module) -> Tensor:
    """Contrastive + .05 · alignment + .1 · MLM; the masked forward pass comes last."""
    hidden = model.base_model(
        input_ids=batch["text_ids"], attention_mask=batch["attention_mask"]
    ).last_hidden_state
    p, h, p_swapped, h_swapped = mlp(hidden[:, 0]).chunk(4)
    pulled = contrastive(torch.cat([p, p_swapped]), torch.cat([h, h_swapped]))
    return (
        pulled
        + ALIGNMENT * alignment(p, h, p_swapped, h_swapped)
        + MLM * language_model_loss(model, batch)
    )


RECIPE = Recipe(lr=5e-5, epochs=2, batch_size=32, max_length=128)

MABEL = Method(
    "mabel",
    "He et al. 2022",
    "BUG sentences and what they entail (stand-in for SNLI and MNLI)",
    RECIPE,
    examples,
    collate,
    loss,
    prepare,
    departures="stand-in text: BUG sentences for entailment pairs of SNLI and MNLI; the head for masked words stays tied to "
    "the embeddings",
)
MABEL_NLI = Method(
    "mabel_nli",
    "He et al. 2022",
    "entailment pairs of SNLI and MNLI that name a gender",
    RECIPE,
    partial(examples, pairs=nli_pairs),
    collate,
    loss,
    prepare,
)
