"""Gender agreement: is the right one of she and he likelier where the text tells, and how sure is
the model of it?

The first *she* or *he* of each sentence of GAP test is taken out, the sentence is its context.
``log_loss`` = −mean ln P(right one | one of the two) in nats (ideal 0), ``accuracy`` in percent
(ideal 100), ``right_log_odds`` = mean of y (ln P(she) − ln P(he)), positive towards the right one.
Accuracy cannot see a model that shouts; the log loss can. It is what must be *kept* where a bias is
removed: a model that has gone blind to gender has no bias either.

Axes are what else in the sentence tells the gender: other gender ``words``, other ``pronouns``
only, ``names`` only (one of the two people that GAP asks about is named), ``none`` of them. The
unit is the text.
"""

import re

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io, swap
from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.benchmarks.scoring import pronoun_rows
from fairnc_utils.debias.base import sentences
from fairnc_utils.models import LanguageModel

AXES = ("words", "pronouns", "names", "none")
_PRONOUNS = frozenset(("she", "he", "her", "him", "his", "hers", "herself", "himself"))


def load(split: str) -> datasets.Dataset:
    """Sentences: ``item_id``, ``axis`` (the evidence), ``unit`` (the text), ``blanked``, ``sign``
    (+1: *she* is right).
    """
    rows = _io.table(f"GAP/gap-{split}.tsv", ("ID", "Text", "A", "B"), delimiter="\t", quoted=False)
    items = []
    for row in rows:
        for number, sentence in enumerate(sentences(row["Text"])):
            if slots := swap.slots(sentence):
                first = slots[0]
                items.append(
                    {
                        "item_id": f"{row['ID']}-{number}",
                        "axis": evidence(first, (row["A"], row["B"])),
                        "unit": row["ID"],
                        "blanked": first.blanked,
                        "sign": first.sign,
                    }
                )
    return datasets.Dataset.from_list(items)


def evidence(slot: swap.Slot, names: tuple[str, ...]) -> str:
    """What but the word taken out tells the gender in a sentence (see ``AXES``)."""
    words, swapped = (
        re.findall(r"[^\W\d_]+", text.lower()) for text in (slot.blanked, slot.swapped)
    )
    changed = {a for a, b in zip(words, swapped, strict=True) if a != b}
    if changed - _PRONOUNS:
        return "words"
    if changed:
        return "pronouns"
    parts = {
        part for name in names for part in re.findall(r"[^\W\d_]+", name.lower()) if len(part) > 1
    }
    return "names" if parts & set(words) else "none"


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ln P(she), ``score_b`` ln P(he), up to a constant of the sentence; ``score_c`` +1
    where *she* is right.
    """
    columns = items[:]
    return pronoun_rows(
        lm,
        columns["blanked"],
        description="gender agreement",
        score_c=columns["sign"],
        axis=columns["axis"],
        item_id=columns["item_id"],
        unit=columns["unit"],
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a text: means over its sentences of the right log-odds, the log loss and right
    answers in percent.
    """
    odds = (rows["score_c"] * (rows["score_a"] - rows["score_b"])).to_numpy(float)
    table = pd.DataFrame(
        {"odds": odds, "loss": np.logaddexp(0, -odds), "right": 100.0 * (odds > 0)}
    )
    return table.groupby(rows["unit"].to_numpy(), sort=True).mean()


GENDER_AGREEMENT = Benchmark(
    name="gender_agreement",
    splits=("validation", "test"),
    axes=AXES,
    load=load,
    score=score,
    units=units,
    statistics={
        "log_loss": (("loss",), mean),
        "accuracy": (("right",), mean),
        "right_log_odds": (("odds",), mean),
    },
    kinds=("masked", "causal"),
    measures="How well a model still knows which of she and he is right where the sentence tells: what debiasing must keep.",
    limits="English Wikipedia, two pronouns, one sentence of context; where only a name tells, following it is knowledge or "
    "a guess by the name's usual gender, as one likes to see it.",
    source="webster2018mind",
)
