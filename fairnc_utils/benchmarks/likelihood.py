"""AUL and AULA (Kaneko & Bollegala 2022): likelihood of the whole, unmasked sentence, on
CrowS-Pairs.

AUL is the mean log-probability of all tokens of a sentence that is shown in full; AULA weights each
token by the attention that it receives, averaged over layers, heads and queries (the weights are
not normalized). The metrics are those of CrowS-Pairs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain

import datasets
import numpy as np
import pandas as pd
import torch
from torch import nn

from fairnc_utils.benchmarks.crows_pairs import CRITICISM, PAIRS, sentences, table
from fairnc_utils.benchmarks.scoring import Inputs, log_probabilities, means, tokenize
from fairnc_utils.models import LanguageModel


def score(lm: LanguageModel, items: datasets.Dataset, *, attention: bool) -> pd.DataFrame:
    """Mean (weighted) log-probability: ``score_a`` sent_more, ``score_b`` sent_less; ``score_c`` as
    in CrowS-Pairs.
    """
    texts = list(chain.from_iterable(sentences(items)))
    encoded = tokenize(lm.tokenizer, texts, return_special_tokens_mask=True)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    asked = [
        (owner, place)
        for owner, marks in enumerate(special)
        for place, mark in enumerate(marks)
        if not mark
    ]
    queries = [(ids[owner], place, ids[owner][place]) for owner, place in asked]
    values = log_probabilities(lm, queries, description="CrowS-Pairs")
    if attention:
        received = attention_received(lm, ids)
        values *= [received[owner][place] for owner, place in asked]
    return table(items, means([owner for owner, _ in asked], values, len(texts)))


@torch.no_grad()
def attention_received(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Attention that each token of a sequence receives, averaged over layers, heads and queries; it
    adds up to 1.
    """
    source, attention = Inputs(lm, sequences), [np.empty(0)] * len(sequences)
    with eager_attention(lm.model):
        for rows, ids, mask in source.batches():
            mask = torch.ones_like(ids) if mask is None else mask
            layers = lm.model.base_model(
                input_ids=ids, attention_mask=mask, output_attentions=True
            ).attentions
            weights = sum(layer.mean(1) for layer in layers) / len(layers)  # (B, queries, keys)
            received = (weights * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            for i, row in zip(source.order[rows], received.double().cpu().numpy(), strict=True):
                attention[i] = row[: len(sequences[i])]
    return attention


@contextmanager
def eager_attention(model: nn.Module) -> Iterator[None]:
    """The model with the one attention that returns its weights; its own is put back whatever
    happens.
    """
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


MEASURES = (
    "How often a masked model finds the more stereotyping of two whole, unmasked sentences likelier"
)
LIMITS = f"{CRITICISM} A token that is shown is easily predicted, so scores are near 0 and their differences small."

CROWS_AUL, CROWS_AULA = (
    PAIRS(
        name=name,
        score=partial(score, attention=attention),
        measures=f"{MEASURES}{weighted}.",
        limits=LIMITS,
        source="kaneko2022unmasking",
    )
    for name, attention, weighted in (
        ("crows_aul", False, ", all tokens alike"),
        ("crows_aula", True, ", tokens weighted by the attention they receive"),
    )
)
