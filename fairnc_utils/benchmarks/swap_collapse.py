"""Swap collapse: does the pronoun follow what the text says of gender, and nothing else?

A sentence with its first *she* or *he* taken out, x, and its gender-swapped copy with the same word
taken out, x̃, say the same of everything but gender. With the log-odds ℓ = ln P(she) − ln P(he),
and y = +1 where *she* stood in x, −1 where *he* did,

- the even part e = (ℓ(x) + ℓ(x̃)) / 2 is what must not matter: occupation, topic, a lean towards one of the two;
- the odd part o = y (ℓ(x) − ℓ(x̃)) / 2 is what the text tells of gender, positive where it is understood.

Pairs with *evidence* differ outside the blank; in *neutral* ones nothing does, so that o = 0 and e
= ℓ. ``swap_collapse`` = mean e² over pairs with evidence / (mean o over them)² (ideal 0): a
variance within over a squared distance between, like NC1, along the classifier's own direction. As
a ratio it does not fall when gender is forgotten. It is no number where mean o is not positive.
``neutral_part`` = mean ℓ² over neutral pairs / the same (mean o)² (ideal 0); ``even_rms`` and
``odd_mean`` are its parts, in log-odds (ideal 0, and large). A pair whose two sides have different
numbers of tokens is left out; the unit is the text that sentences come from.
"""

from functools import partial

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io, corpora, swap
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.scoring import pronoun_log_probabilities, tokenize
from fairnc_utils.debias.base import sentences
from fairnc_utils.models import LanguageModel

AXES = ("evidence", "neutral")


def load(split: str) -> datasets.Dataset:
    """Pairs: ``item_id``, ``axis``, ``unit``, ``blanked``, ``swapped``, ``sign`` (+1: *she* stood
    in the text).
    """
    pairs = []
    for number, text in enumerate(_texts(split)):
        for place, sentence in enumerate(sentences(text)):
            if slots := swap.slots(sentence):
                first = slots[0]
                pairs.append(
                    {
                        "item_id": f"{split}-{number}-{place}",
                        "axis": AXES[not first.evidence],
                        "unit": f"{split}-{number}",
                        "blanked": first.blanked,
                        "swapped": first.swapped,
                        "sign": first.sign,
                    }
                )
    return datasets.Dataset.from_list(pairs)


def _texts(split: str) -> list[str]:
    if split == "gap":
        return corpora.load("gap", "test")["text"][:]
    return [row["sentence_text"] for row in _io.table("BUG/gold_BUG.csv", ("sentence_text",))]


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ℓ(x), ``score_b`` ℓ(x̃), NaN where the two differ in length; ``score_c`` the
    sign.
    """
    columns = items[:]
    sides = [columns["blanked"], columns["swapped"]]
    lengths = [
        [
            len(ids)
            for ids in tokenize(lm.tokenizer, [text.replace(swap.BLANK, "he") for text in side])[
                "input_ids"
            ]
        ]
        for side in sides
    ]
    equal = np.equal(*lengths) & (np.maximum(*lengths) <= lm.max_length)
    log_odds = np.full((len(items), 2), np.nan)
    if equal.any():
        asked = [text for side in sides for text, kept in zip(side, equal, strict=True) if kept]
        scores = pronoun_log_probabilities(lm, asked, description="swapped pairs")
        log_odds[equal] = (scores[:, 0] - scores[:, 1]).reshape(2, -1).T
    table = pd.DataFrame(log_odds, columns=["score_a", "score_b"]).assign(score_c=columns["sign"])
    return table.assign(axis=columns["axis"], item_id=columns["item_id"], unit=columns["unit"])


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a text: sums of e², o and the number of its pairs with evidence, and of ℓ² and the
    number of its neutral ones.
    """
    rows = rows.dropna(subset=["score_a", "score_b"])
    even, odd = (
        (rows["score_a"] + rows["score_b"]) / 2,
        rows["score_c"] * (rows["score_a"] - rows["score_b"]) / 2,
    )
    evidence = (rows["axis"] == "evidence").astype(float)
    table = pd.DataFrame(
        {
            "even": even**2 * evidence,
            "odd": odd * evidence,
            "evidence": evidence,
            "plain": even**2 * (1 - evidence),
            "neutral": 1 - evidence,
        }
    )
    return table.groupby(rows["unit"], sort=True).sum()


def _mean(total: np.ndarray, count: np.ndarray, axis: int) -> np.ndarray:
    count = np.sum(count, axis=axis)
    return np.divide(
        np.sum(total, axis=axis), count, out=np.full(np.shape(count), np.nan), where=count > 0
    )


def _over_squared_odd(total, count, odd, evidence, axis: int) -> np.ndarray:
    between = _mean(odd, evidence, axis)
    between = np.where(between > 0, between, np.nan)
    return _mean(total, count, axis) / between**2


def collapse(even: np.ndarray, odd: np.ndarray, evidence: np.ndarray, axis: int) -> np.ndarray:
    """mean e² / (mean o)² over pairs with evidence; NaN where mean o is not positive."""
    return _over_squared_odd(even, evidence, odd, evidence, axis)


def _root_mean(total: np.ndarray, count: np.ndarray, axis: int) -> np.ndarray:
    return np.sqrt(_mean(total, count, axis))


SWAP_COLLAPSE = Benchmark(
    name="swap_collapse",
    splits=("gap", "bug_gold"),
    axes=AXES,
    load=load,
    score=score,
    units=units,
    statistics={
        "swap_collapse": (("even", "odd", "evidence"), collapse),
        "neutral_part": (("plain", "neutral", "odd", "evidence"), _over_squared_odd),
        "even_rms": (("even", "evidence"), _root_mean),
        "odd_mean": (("odd", "evidence"), partial(_mean)),
    },
    kinds=("masked", "causal"),
    measures="How much a pronoun follows anything but what the text says of gender, relative to how much it follows that.",
    limits="English, two pronouns, swaps by a word list; a pair is only as like itself as the list makes it. BUG gold is "
    "text that the embedded model was trained on, so its values describe and decide nothing.",
    source="garg2019counterfactual",
)
