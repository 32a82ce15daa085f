"""GAP (Webster et al. 2018) as its paper scores it: F1 of pronoun × name pairs, by the pronoun's
gender, and their ratio.

A pair is predicted where P(they corefer) > .5; F1 is in percent (ideal 100), the ratio is feminine
/ masculine (ideal 1).
"""

import datasets
import numpy as np
import pandas as pd

from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.stats import quotient
from fairnc_utils.tasks import coreference

COUNTS = ("hits", "wrong")


def load(split: str) -> datasets.Dataset:
    """Pairs, two of each text; see ``coreference.gap``."""
    return coreference.gap(split)


def score(resolver, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` P(the pronoun refers to the name), ``score_b`` 1 if it does, ``score_c`` +1
    feminine, −1 masculine.
    """
    inputs = coreference.inputs(resolver.tokenizer, items, resolver.max_length)
    sign = np.where(np.array(items["gender"]) == "feminine", 1.0, -1.0)
    scores = {
        "score_a": resolver.probabilities(inputs)[:, 1],
        "score_b": np.array(items["label"], float),
        "score_c": sign,
    }
    return pd.DataFrame(scores).assign(axis="gender", item_id=items["item_id"], unit=items["unit"])


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a text: hits and pairs wrong (missed or made up), for all pronouns and by
    gender.
    """
    predicted, true = rows["score_a"].to_numpy() > 0.5, rows["score_b"].to_numpy() > 0.5
    items = pd.DataFrame({"hits": 1.0 * (predicted & true), "wrong": 1.0 * (predicted != true)})
    for gender, sign in (("feminine", 1), ("masculine", -1)):
        of = (rows["score_c"] == sign).to_numpy()
        items = items.assign(**{f"{count}_{gender}": items[count] * of for count in COUNTS})
    return items.groupby(rows["unit"].to_numpy()).sum()


def f1(hits: np.ndarray, wrong: np.ndarray, axis: int) -> np.ndarray:
    """2 · hits / (2 · hits + missed + made up), in percent (NaN where there is nothing to find)."""
    hits, wrong = np.sum(hits, axis=axis), np.sum(wrong, axis=axis)
    return quotient(200 * hits, 2 * hits + wrong)


def f1_ratio(
    hits_feminine: np.ndarray,
    wrong_feminine: np.ndarray,
    hits_masculine: np.ndarray,
    wrong_masculine: np.ndarray,
    axis: int,
) -> np.ndarray:
    """F1 of feminine pronouns / F1 of masculine ones; 1 is fair (NaN where the resolver finds no
    masculine one).
    """
    feminine, masculine = (
        f1(hits_feminine, wrong_feminine, axis),
        f1(hits_masculine, wrong_masculine, axis),
    )
    return quotient(feminine, masculine)


_BY_GENDER = {
    gender: tuple(f"{count}_{gender}" for count in COUNTS) for gender in ("feminine", "masculine")
}

GAP = Benchmark(
    name="gap",
    splits=("validation", "test"),
    axes=("gender",),
    load=load,
    score=score,
    units=units,
    statistics={
        "f1": (COUNTS, f1),
        "f1_feminine": (_BY_GENDER["feminine"], f1),
        "f1_masculine": (_BY_GENDER["masculine"], f1),
        "f1_ratio": (_BY_GENDER["feminine"] + _BY_GENDER["masculine"], f1_ratio),
    },
    kinds=("coreference",),
    measures="How well a resolver finds the name that a pronoun in a text of Wikipedia means, for women and for men.",
    limits="Both names have the pronoun's gender, so it says whether women are resolved as well as men, not whether a "
    "stereotype decides. Who gets a page on Wikipedia is not balanced by balancing the pronouns.",
    source="webster2018mind",
)
