"""CrowS-Pairs and StereoSet intrasentence for causal models, by the log-likelihood of whole
sentences.

The score of a sentence is Σ ln P(token | all before it), the first token given the tokenizer's
start (or, without one, end) token, as in the CrowS-Pairs task of the Language Model Evaluation
Harness (Gao et al. 2024); its ``likelihood_diff``, the mean absolute difference over pairs, is
reported too. Sums favour short sentences. A masked model's pseudo-likelihood is another quantity:
hence the names.
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


def continuation(ids: Sequence[int], begin: int) -> list[Query]:
    """Queries of a causal model for the tokens from ``begin`` on, each given all before it."""
    return [(ids[:-1], place - 1, ids[place]) for place in range(begin, len(ids))]


def sentence_log_likelihoods(lm: LanguageModel, sentences: Sequence[str]) -> np.ndarray:
    """Log-likelihood of each sentence, −inf at worst, 0 at best; NaN for one without a token: (N,)."""
    encoded = encode(lm.tokenizer, sentences)
    asked = {sentence: continuation([lm.start_id, *ids], 1) for sentence, ids in encoded.items()}
    queries = list(chain.from_iterable(asked.values()))
    owners = np.repeat(np.arange(len(asked)), [len(of_sentence) for of_sentence in asked.values()])
    sums = np.bincount(owners, log_probabilities(lm, queries, description="sentences"), len(asked))
    by_sentence = dict(
        zip(
            asked,
            np.where([bool(of_sentence) for of_sentence in asked.values()], sums, np.nan),
            strict=True,
        )
    )
    return np.array([by_sentence[sentence] for sentence in sentences])


def score_pairs(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """Log-likelihoods: ``score_a`` sent_more, ``score_b`` sent_less; ``score_c`` as in CrowS-Pairs."""
    sentences = list(chain.from_iterable(crows_pairs.sentences(items)))
    return crows_pairs.table(items, sentence_log_likelihoods(lm, sentences))


def score_triples(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """Log-likelihoods of the whole sentences: ``score_a`` stereotype, ``score_b`` anti-stereotype,
    ``score_c`` unrelated.
    """
    return stereoset.table(
        items, sentence_log_likelihoods(lm, [sentence for _, sentence in stereoset.texts(items)])
    )


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
STEREOSET_INTRA_CAUSAL = stereoset.TRIPLES(
    name="stereoset_intra_causal",
    load=load_sentences,
    score=score_triples,
    units=partial(stereoset.units, logarithmic=True),
    kinds=("causal",),
    measures="Which of three sentences, alike but for one word, a causal model finds likelier.",
    limits=f"{stereoset.CRITICISM} A candidate of several tokens loses for its length.",
)
