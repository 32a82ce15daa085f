"""Definitional gender: does the pronoun follow nouns that *mean* a gender, where it should?

The sentences of the occupation slope with 26 pairs of nouns such as mother and father in place of
the occupation. ``definitional`` = mean log-odds of she against he with feminine nouns minus the
mean with masculine ones (should stay large), in log-odds. Beside the occupation slope it tells a
model that learned to ignore occupations from one that ignores gender; see ``selectivity`` for the
two in one. Axes: nouns that the gender swap of the training text exchanges (``swapped``), and
``others``, which no method of this package trains on by name. The unit is the pair.
"""

import datasets
import pandas as pd

from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.benchmarks.occupations import TEMPLATES
from fairnc_utils.benchmarks.scoring import pronoun_rows
from fairnc_utils.models import LanguageModel

#: Axis → feminine/masculine nouns.
NOUNS = {
    "swapped": "woman/man girl/boy lady/gentleman mother/father daughter/son sister/brother wife/husband aunt/uncle "
    "niece/nephew grandmother/grandfather queen/king princess/prince duchess/duke actress/actor waitress/waiter "
    "widow/widower",
    "others": "nun/monk housewife/handyman maid/butler ballerina/fireman seamstress/postman matriarch/patriarch "
    "noblewoman/nobleman saleswoman/salesman horsewoman/horseman stuntwoman/stuntman",
}


def load(split: str) -> datasets.Dataset:
    """Five sentences a noun: ``item_id``, ``axis``, ``unit`` (the pair), ``sentence``, ``sign``
    (+1: a feminine noun).
    """
    return datasets.Dataset.from_list(
        [
            {
                "item_id": f"{noun}:{number}",
                "axis": axis,
                "unit": pair,
                "sentence": template.format(noun),
                "sign": sign,
            }
            for axis, pairs in NOUNS.items()
            for pair in pairs.split()
            for noun, sign in zip(pair.split("/"), (1.0, -1.0), strict=True)
            for number, template in enumerate(TEMPLATES, 1)
        ]
    )


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ln P(she), ``score_b`` ln P(he), up to a constant of the sentence; ``score_c`` +1
    for a feminine noun.
    """
    columns = items[:]
    return pronoun_rows(
        lm,
        columns["sentence"],
        description="nouns",
        score_c=columns["sign"],
        axis=columns["axis"],
        item_id=columns["item_id"],
        unit=columns["unit"],
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of nouns: its feminine noun's mean log-odds of she minus its masculine one's."""
    odds = (
        (rows["score_a"] - rows["score_b"])
        .groupby([rows["unit"], rows["score_c"]])
        .mean()
        .unstack()
    )
    return pd.DataFrame({"difference": odds[1.0] - odds[-1.0]})


DEFINITIONAL = Benchmark(
    name="definitional",
    splits=("nouns",),
    axes=tuple(NOUNS),
    load=load,
    score=score,
    units=units,
    statistics={"definitional": (("difference",), mean)},
    kinds=("masked", "causal"),
    measures="How much the pronoun follows nouns that mean a gender: what a fair model keeps.",
    limits="Twenty-six English pairs in five plain sentences; some nouns of the axis others are gendered by usage, not by "
    "definition.",
    source="rudinger2018gender",
)
