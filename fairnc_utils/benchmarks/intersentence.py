"""StereoSet, intersentence part (Nadeem et al. 2021): which sentence does the model expect to
follow a context?

* ``stereoset_inter_nsp``: P(the candidate is the next sentence), for models whose checkpoint has that head;
* ``stereoset_inter_likelihood``, for all others: the mean log-likelihood of the candidate's tokens given the context. A masked
  model sees context and candidate as one text with one token masked at a time; a causal model sees what stands before.

The metrics are those of the intrasentence part; the two are not comparable.
"""

from functools import partial

import datasets
import numpy as np
import pandas as pd
import torch

from fairnc_utils.benchmarks import stereoset
from fairnc_utils.benchmarks.causal import continuation
from fairnc_utils.benchmarks.scoring import (
    Inputs,
    encode,
    log_probabilities,
    mask_id,
    masked,
    means,
    tokenize,
)
from fairnc_utils.models import LanguageModel, next_sentence_head


def load(split: str) -> datasets.Dataset:
    """Items with ``item_id``, ``axis``, ``target``, ``context`` and the three candidate sentences."""
    return stereoset.read(split, "intersentence", stereoset.whole)


@torch.no_grad()
def score_next_sentence(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """P(next) of each candidate: ``score_a`` stereotype, ``score_b`` anti-stereotype, ``score_c``
    unrelated.
    """
    head = next_sentence_head(lm)
    contexts, sentences = zip(*stereoset.texts(items), strict=True)
    encoded = tokenize(
        lm.tokenizer, list(contexts), text_pair=list(sentences), return_token_type_ids=True
    )
    source = Inputs(lm, encoded["input_ids"])
    first = torch.tensor([types.count(0) for types in encoded["token_type_ids"]])[source.order].to(
        lm.device
    )
    probabilities = []
    for rows, ids, mask in source.batches():
        types = (torch.arange(ids.shape[1], device=lm.device) >= first[rows, None]).long()
        logits = head(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
        probabilities.append(
            logits.double().softmax(-1)[:, 0]
        )  # double: near 1 a float knows few values
    scores = np.empty(len(source.order))
    scores[source.order] = torch.cat(probabilities).cpu().numpy()
    return stereoset.table(items, scores)


def score_likelihood(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """Mean log-likelihood of each candidate: ``score_a`` stereotype, ``score_b`` anti-stereotype,
    ``score_c`` unrelated.
    """
    asked, owners = queries(lm, stereoset.texts(items))
    values = log_probabilities(lm, asked, description="StereoSet")
    return stereoset.table(items, means(owners, values, len(stereoset.LABELS) * len(items)))


def queries(lm: LanguageModel, pairs: list[tuple[str, str]]) -> tuple[list, list[int]]:
    """Queries for the tokens of the second sentence of each (context, sentence), and the place of
    each one's pair.

    They are the tokens of the joint text behind as many as the context alone has.
    """
    causal = lm.kind == "causal"
    alone = encode(lm.tokenizer, [context for context, _ in pairs])
    texts = [f"{context} {sentence}" for context, sentence in pairs]
    joint = tokenize(lm.tokenizer, texts, special=not causal, return_special_tokens_mask=True)
    asked, owners = [], []
    columns = zip(pairs, joint["input_ids"], joint["special_tokens_mask"], strict=True)
    for owner, ((context, _), ids, special) in enumerate(columns):
        places = [place for place, mark in enumerate(special) if not mark][len(alone[context]) :]
        asked += (
            continuation(ids, places[0])
            if causal and places
            else [masked(ids, place, mask_id(lm)) for place in places]
        )
        owners += [owner] * len(places)
    return asked, owners


STEREOSET_INTER_NSP = stereoset.TRIPLES(
    name="stereoset_inter_nsp",
    load=load,
    score=score_next_sentence,
    units=stereoset.units,
    measures="Which sentence the next-sentence head expects after a context: a stereotype, its contrary or neither.",
    limits=f"{stereoset.CRITICISM} The head learns topics more than coherence (Lan et al. 2020).",
)
STEREOSET_INTER_LIKELIHOOD = stereoset.TRIPLES(
    name="stereoset_inter_likelihood",
    load=load,
    score=score_likelihood,
    units=partial(stereoset.units, logarithmic=True),
    kinds=("masked", "causal"),
    measures="Which sentence is likeliest, token by token, after a context: a stereotype, its contrary or an unrelated one.",
    limits=f"{stereoset.CRITICISM} The sentences differ in most words, so common words win for their frequency alone.",
)
