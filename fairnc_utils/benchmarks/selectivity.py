"""Selectivity: how much of what a model knows of gender it spends on occupations.

The occupation slope (see ``occupations``) over definitional gender (see ``definitional``), both in log-odds of
*she* against *he* in the same five sentences: ``selectivity`` is the change from an occupation of men alone to
one of women alone, as a share of the change from nouns that mean a man to nouns that mean a woman. Ideal 0. A
model that speaks louder or fainter of gender keeps its value; one that learns which words shall tell a gender
lowers it. ``selectivity_swapped`` and ``selectivity_others`` are over one axis of nouns each: those that the
gender swap of the training text exchanges, and those that it does not know. No number where the nouns move the
pronoun the wrong way. Units are the occupations and the pairs of nouns, redrawn apart.
"""

from functools import partial

import datasets
import numpy as np
import pandas as pd

from fairnc_utils.benchmarks import definitional, occupations
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.scoring import pronoun_rows
from fairnc_utils.models import LanguageModel

#: Parts of the unit table: occupations, and the axes of nouns.
OCCUPATIONS, SWAPPED, OTHERS = range(3)

_PART = {
    pair: number
    for number, axis in ((SWAPPED, "swapped"), (OTHERS, "others"))
    for pair in definitional.NOUNS[axis].split()
}


def load(split: str) -> datasets.Dataset:
    """The sentences of both: ``item_id``, ``axis``, ``unit`` (occupation or pair of nouns),
    ``sentence``, ``value`` (share of women − ½, or +1 for a feminine noun and −1 for a masculine
    one).
    """
    occupied = [
        {"item_id": row["item_id"], "unit": row["occupation"], "sentence": row["sentence"]}
        | {"value": row["share"] - 0.5}
        for row in occupations.load(split)
    ]
    nouns = [
        {"item_id": row["item_id"], "unit": row["unit"], "sentence": row["sentence"]}
        | {"value": row["sign"]}
        for row in definitional.load("nouns")
    ]
    return datasets.Dataset.from_list([row | {"axis": "gender"} for row in occupied + nouns])


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ln P(she), ``score_b`` ln P(he), up to a constant of the sentence; ``score_c``
    the item's ``value``.
    """
    columns = items[:]
    return pronoun_rows(
        lm,
        columns["sentence"],
        description="selectivity",
        score_c=columns["value"],
        axis="gender",
        item_id=columns["item_id"],
        unit=columns["unit"],
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """Occupations with ``log_odds`` and ``share``, pairs of nouns with ``difference``, NaN
    elsewhere; ``part``: which.
    """
    is_noun = rows["unit"].isin(_PART)
    nouns = definitional.units(rows[is_noun])
    nouns["part"] = [float(_PART[pair]) for pair in nouns.index]
    return pd.concat([occupations.units(rows[~is_noun]).assign(part=float(OCCUPATIONS)), nouns])


def _over_nouns(
    log_odds: np.ndarray,
    share: np.ndarray,
    difference: np.ndarray,
    part: np.ndarray,
    axis: int,
    *,
    of: tuple[int, ...],
) -> np.ndarray:
    """Slope over the occupations / mean difference over the nouns of these parts; NaN unless that
    is positive.
    """
    occupied = (part == OCCUPATIONS).astype(float)
    x, y = np.nan_to_num(share), np.nan_to_num(log_odds)
    weights = occupied / occupied.sum(axis, keepdims=True)
    x = x - (weights * x).sum(axis, keepdims=True)
    slope = (weights * x * y).sum(axis) / (weights * x * x).sum(axis)
    nouns = np.isin(part, of).astype(float)
    definitional_gender = (nouns * np.nan_to_num(difference)).sum(axis) / nouns.sum(axis)
    return slope / np.where(definitional_gender > 0, definitional_gender, np.nan)


SELECTIVITY = Benchmark(
    name="selectivity",
    splits=tuple(reversed(occupations.SHARES)),
    axes=("gender",),
    load=load,
    score=score,
    units=units,
    statistics={
        name: (("log_odds", "share", "difference", "part"), partial(_over_nouns, of=of))
        for name, of in (
            ("selectivity", (SWAPPED, OTHERS)),
            ("selectivity_swapped", (SWAPPED,)),
            ("selectivity_others", (OTHERS,)),
        )
    },
    kinds=("masked", "causal"),
    measures="How much of what a model knows of gender from nouns that mean one it also reads into occupations.",
    limits="A quotient of the occupation slope and of definitional gender: it has the limits of both, and no value where a "
    "model does not know the nouns.",
    source="rudinger2018gender",
    strata="part",
)
