"""ADEPT (Yang et al. 2023): neutral words as near to the female as to the male prototype, the rest
of the model as it was.

With e_a the prototype of attribute a (the mean hidden state of its words) and e_w those of the
neutral words of a batch, P_a(w) ∝ exp(−‖e_a − e_w‖² / 2ρ²). The loss is .3 · JS(P_female, P_male),
in bits, + .7 · the mean squared change of the hidden states of attribute sentences over all layers.
Prototypes are taken once, from the model before training, near which the second term holds them;
the original code takes them anew each epoch. Attribute sentences come from BUG, neutral ones from
BOLD. This is the fine-tuning variant; see ``get`` for the prefix variant.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import datasets
import torch
from torch import Tensor, nn

from fairnc_utils import batching, corpora, words
from fairnc_utils.debias.base import Batch, Method, Recipe, Rows

NEUTRAL_WEIGHT, ATTRIBUTE_WEIGHT, RHO = 0.3, 0.7, 10.0
FEMALE, MALE, NEUTRAL = 0, 1, 2


def examples(tokenizer, *, limit: int | None = None, max_length: int = 128) -> datasets.Dataset:
    """As many female as male and neutral sentences (``limit`` of each at most), with the place of
    the word in question.
    """
    gender = words.load("gender", tokenizer)
    female, male = (
        {
            token
            for token, group in zip(gender.token_ids, gender.groups, strict=True)
            if group == wanted
        }
        for wanted in ("female", "male")
    )
    neutral = set(words.load("profession", tokenizer).token_ids) - female - male

    def rows(corpus: str, kind: int, wanted: set[int], unwanted: set[int]) -> Iterator[dict]:
        for ids in _sequences(
            list(dict.fromkeys(corpora.load(corpus)["text"][:])), tokenizer, max_length
        ):
            places = [place for place, token in enumerate(ids) if token in wanted]
            if places and unwanted.isdisjoint(ids):
                yield {"input_ids": ids, "kind": kind, "place": places[0]}

    parts = [
        list(islice(rows("bug", FEMALE, female, male), limit)),
        list(islice(rows("bug", MALE, male, female), limit)),
        list(islice(rows("bold", NEUTRAL, neutral, female | male), limit)),
    ]
    least = min(map(len, parts))
    return datasets.Dataset.from_list([row for part in parts for row in part[:least]])


def _sequences(
    texts: Sequence[str], tokenizer, max_length: int, *, part: int = 1024
) -> Iterator[list[int]]:
    """Token ids of text after text; no more is tokenized than is asked for."""
    for start in range(0, len(texts), part):
        yield from batching.tokenize(texts[start : start + part], tokenizer, max_length=max_length)


def collate(rows: Rows, tokenizer, generator: torch.Generator) -> Batch:
    """``kind`` (B,) and ``place`` (B,): the sentence's group and where its word stands; nothing is
    masked.
    """
    batch = batching.padded_batch([row["input_ids"] for row in rows], tokenizer.pad_token_id)
    return batch | {key: torch.tensor([row[key] for row in rows]) for key in ("kind", "place")}


@dataclass(frozen=True)
class State:
    """The model before training, and its prototypes (2, D): female, male."""

    original: nn.Module
    prototypes: Tensor


@torch.no_grad()
def prepare(model: nn.Module, tokenizer, rows: Rows, *, size: int = 64) -> State:
    original = copy.deepcopy(model).eval().requires_grad_(False)
    sums = torch.zeros(2, model.config.hidden_size, device=model.device)
    attributes = [row for row in rows if row["kind"] != NEUTRAL]
    for start in range(0, len(attributes), size):
        rows = collate(attributes[start : start + size], tokenizer, None)
        batch = {name: x.to(model.device) for name, x in rows.items()}
        hidden = original.base_model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        sums.index_add_(0, batch["kind"], _at(hidden, batch["place"]).float())
    return State(original, sums / (len(attributes) / 2))


def _at(hidden: Tensor, place: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), place]


def js_divergence(
    neutral: Tensor, prototypes: Tensor, share: Tensor, *, rho: float = RHO
) -> Tensor:
    """JS divergence in bits of P_female and P_male over the words with ``share`` 1: (N, D), (2, D),
    (N,) → 0-d, ideal 0.
    """
    distances = (prototypes[:, None] - neutral.float()).square().sum(-1)  # (2, N)
    logs = (-distances / (2 * rho**2)).masked_fill(share == 0, -1e9).log_softmax(-1)
    middle = logs.logsumexp(0) - math.log(2)
    return 0.5 * (logs.exp() * (logs - middle)).sum() / math.log(2)


def layer_change(
    states: tuple[Tensor, ...], originals: tuple[Tensor, ...], share: Tensor
) -> Tensor:
    """Mean squared change over layers, dimensions and tokens with ``share`` 1: L × (B, T, D) twice,
    (B, T) → 0-d, ideal 0.
    """
    change = torch.stack(
        [(a.float() - b.float()).square().mean(-1) for a, b in zip(states, originals, strict=True)]
    )
    return (change * share).sum() / (len(states) * share.sum().clamp_min(1))


def loss(model: nn.Module, batch: Batch, state: State) -> Tensor:
    """.3 · JS of the neutral words + .7 · mean squared change of the attribute sentences."""
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    hidden = model(**inputs, output_hidden_states=True).hidden_states
    with torch.no_grad():
        before = state.original.base_model(**inputs, output_hidden_states=True).hidden_states
    neutral = (batch["kind"] == NEUTRAL).float()
    apart = js_divergence(_at(hidden[-1], batch["place"]), state.prototypes, neutral)
    moved = layer_change(hidden, before, (1 - neutral)[:, None] * batch["attention_mask"])
    return NEUTRAL_WEIGHT * apart + ATTRIBUTE_WEIGHT * moved


ADEPT = Method(
    "adept",
    "Yang et al. 2023",
    "attribute sentences from BUG, neutral sentences from BOLD",
    Recipe(lr=5e-5, epochs=10, batch_size=32, max_length=128),
    examples,
    collate,
    loss,
    prepare,
    departures="stand-in text: BUG and BOLD for the paper's sentences; prototypes are taken once, not anew each epoch",
)
