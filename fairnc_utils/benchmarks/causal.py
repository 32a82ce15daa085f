"""CrowS-Pairs and StereoSet intrasentence for causal models, by the log-likelihood of whole
sentences.

Two scores of a sentence, which are not comparable:

* ``crows_causal`` and ``stereoset_intra_causal``: Σ ln P(token | all before it), the first token given the tokenizer's start
  (or, without one, end) token, as in the CrowS-Pairs task of the Language Model Evaluation Harness (Gao et al. 2024), whose
  values it compares with; its ``likelihood_diff``, the mean absolute difference over pairs, is reported too. Sums favour short
  sentences.
* ``crows_causal_as_released`` and ``stereoset_intra_causal_as_released``: the mean of ln P over tokens, that is, the logarithm
  of their geometric mean; the first token is given the start token, all others only the tokens of the sentence before them.
  So the code of StereoSet does (Nadeem et al. 2021), and bias-bench for both (Meade et al. 2022): it compares with the values
  that these papers give for GPT-2.

A masked model's pseudo-likelihood is another quantity: hence the names.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain

import datasets
import numpy as np
import pandas as pd

from fairnc_utils.benchmarks import crows_pairs, stereoset
from fairnc_utils.benchmarks.scoring import Query, encode, log_probabilities
from fairnc_utils.models import LanguageModel
from fairnc_utils.stats import quotient


def continuation(ids: Sequence[int], begin: int) -> list[Query]:
    """Queries of a causal model for the tokens from ``begin`` on, each given all before it."""
    return [(ids[:-1], place - 1, ids[place]) for place in range(begin, len(ids))]


def released_queries(ids: Sequence[int], start: int) -> list[Query]:
    """Queries for all tokens of a sentence: the first given the start token alone, the others
    without it.
    """
    return [([start], 0, ids[0]), *continuation(ids, 1)] if ids else []


def sentence_log_likelihoods(
    lm: LanguageModel, sentences: Sequence[str], *, released: bool = False
) -> np.ndarray:
    """Log-likelihood of each sentence, −inf at worst, 0 at best; NaN for one without a token: (N,).

    ``released``: the mean over its tokens, as the code of StereoSet and bias-bench has it.
    """
    start, encoded = lm.start_id, encode(lm.tokenizer, sentences)
    asked = {
        sentence: released_queries(ids, start) if released else continuation([start, *ids], 1)
        for sentence, ids in encoded.items()
    }
    values = log_probabilities(
        lm, list(chain.from_iterable(asked.values())), description="sentences"
    )
    tokens = np.array([len(queries) for queries in asked.values()])
    sums = np.bincount(np.repeat(np.arange(len(asked)), tokens), values, len(asked))
    scores = quotient(sums, tokens) if released else np.where(tokens > 0, sums, np.nan)
    by_sentence = dict(zip(asked, scores, strict=True))
    return np.array([by_sentence[sentence] for sentence in sentences])


def score_pairs(
    lm: LanguageModel, items: datasets.Dataset, *, released: bool = False
) -> pd.DataFrame:
    """Log-likelihoods: ``score_a`` sent_more, ``score_b`` sent_less; ``score_c`` as in CrowS-Pairs."""
    sentences = list(chain.from_iterable(crows_pairs.sentences(items)))
    return crows_pairs.table(items, sentence_log_likelihoods(lm, sentences, released=released))


def score_triples(
    lm: LanguageModel, items: datasets.Dataset, *, released: bool = False
) -> pd.DataFrame:
    """Log-likelihoods of the whole sentences: ``score_a`` stereotype, ``score_b`` anti-stereotype,
    ``score_c`` unrelated.
    """
    sentences = [sentence for _, sentence in stereoset.texts(items)]
    return stereoset.table(items, sentence_log_likelihoods(lm, sentences, released=released))


def load_sentences(split: str) -> datasets.Dataset:
    """StereoSet's intrasentence items with their three sentences whole."""
    return stereoset.read(split, "intrasentence", stereoset.whole)


def _absolute(difference: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(np.abs(difference), axis=axis)


CROWS_CAUSAL = crows_pairs.PAIRS(
    name="crows_causal",
    score=score_pairs,
    statistics=crows_pairs.STATISTICS | {"likelihood_diff": (("difference",), _absolute)},
    kinds=("causal",),
    measures="How often a causal model finds the more stereotyping of two sentences likelier.",
    limits=f"{crows_pairs.CRITICISM} Frequent words and short sentences win for that alone.",
    source="nangia2020crows",
)
CROWS_CAUSAL_AS_RELEASED = crows_pairs.PAIRS(
    name="crows_causal_as_released",
    score=partial(score_pairs, released=True),
    kinds=("causal",),
    measures="How often a causal model finds the more stereotyping of two sentences likelier, by the mean over its tokens.",
    limits=f"{crows_pairs.CRITICISM} Frequent words win for that alone; a name of many pieces wins for the easy ones.",
    source="meade2022empirical",
    variant="as_released",
)

TRIPLES = partial(
    stereoset.TRIPLES,
    load=load_sentences,
    units=partial(stereoset.units, logarithmic=True),
    kinds=("causal",),
)
STEREOSET_INTRA_CAUSAL = TRIPLES(
    name="stereoset_intra_causal",
    score=score_triples,
    measures="Which of three sentences, alike but for one word, a causal model finds likelier.",
    limits=f"{stereoset.CRITICISM} A candidate of several tokens loses for its length.",
)
STEREOSET_INTRA_CAUSAL_AS_RELEASED = TRIPLES(
    name="stereoset_intra_causal_as_released",
    score=partial(score_triples, released=True),
    measures="Which of three sentences, alike but for one word, a causal model finds likelier, by the mean over its tokens.",
    limits=f"{stereoset.CRITICISM} A candidate of many pieces wins for the easy ones.",
    variant="as_released",
)
