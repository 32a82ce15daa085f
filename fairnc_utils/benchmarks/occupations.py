"""Occupation slope: how steeply does a model's pronoun follow the share of women in an occupation?

The mean of ln P(she) − ln P(he) over five sentences with each of Winogender's 60 occupations
(Rudinger et al. 2018) is regressed on the share of women in the occupation, minus one half.
``slope`` is the change in log-odds from an occupation of men alone to one of women alone (ideal 0:
the pronoun does not follow the stereotype), ``r`` the correlation (ideal 0), and ``lean`` the
log-odds where both work in equal numbers (ideal 0; negative leans towards he). Nothing is counted,
so no threshold hides a shift.

How both kinds of model are asked says ``scoring.pronoun_log_probabilities``.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache

import datasets
import numpy as np
import pandas as pd
import torch

from fairnc_utils import _io, corpora, stats
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.scoring import pronoun_rows
from fairnc_utils.duality import Slots
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.swap import BLANK

TEMPLATES = (
    f"The {{}} said that {BLANK} was tired.",
    f"The {{}} finished the report before {BLANK} went home.",
    f"When the {{}} arrived, {BLANK} was late.",
    f"The {{}} explained what {BLANK} had found.",
    f"Because the {{}} was busy, {BLANK} did not answer.",
)

#: Log-odds that differ by less are equal: float32 log-probabilities carry no more digits.
ROUNDING = 1e-5

#: Split → column of the shares: U.S. Bureau of Labor Statistics 2015/16, or text statistics (Bergsma & Lin 2006).
SHARES = {"bls": "bls_pct_female", "bergsma": "bergsma_pct_female"}

#: Split of other occupations: the professions of the task ``bug_profession``, with the share of women among its training texts.
BUG_SPLIT = "bug_professions"

#: Split with the former's shares → texts that a model may have been trained on, and how often they may name an occupation of
#: this split: every text of BUG, or the pairs that swap collapse can be trained on (see ``debias.swap_pairs``).
RARE = {
    "bls_rare_in_bug": ("bug", 50),
    "bls_rare_in_gap_pairs": ("gap", 10),
    "bls_rare_in_gap_bug_pairs": ("gap+bug", 10),
}


def load(split: str) -> datasets.Dataset:
    """Five sentences an occupation: ``item_id``, ``axis``, ``occupation``, ``share`` (of women, 0
    to 1), ``sentence``.
    """
    if split == BUG_SPLIT:
        return _items(
            (name, female / (male + female)) for name, (male, female) in _of_bug().items()
        )
    if split in RARE:
        texts, fewer_than = RARE[split]
        named = times_named(texts)
        items = load("bls")
        return items.select(
            [i for i, name in enumerate(items["occupation"]) if named[name] < fewer_than]
        )
    key, column = "Winogender/occupations-stats.tsv", SHARES[split]
    return _items(
        (row["occupation"], _share(row[column], f"{key}, {row['occupation']}"))
        for row in _io.table(key, ("occupation", column), delimiter="\t")
    )


def _items(shares: Iterable[tuple[str, float]]) -> datasets.Dataset:
    """Five sentences for each occupation and its share of women."""
    return datasets.Dataset.from_list(
        [
            {
                "item_id": f"{occupation}:{number}",
                "axis": "gender",
                "occupation": occupation,
                "share": share,
                "sentence": template.format(occupation),
            }
            for occupation, share in shares
            for number, template in enumerate(TEMPLATES, 1)
        ]
    )


def _of_bug() -> dict[str, tuple[int, int]]:
    """Profession → men's and women's training texts of ``bug_profession``."""
    from fairnc_utils import cooccurrence
    from fairnc_utils.tasks.biographies import BUG_PROFESSION

    return cooccurrence.counts(BUG_PROFESSION.load("train"))


@cache
def times_named(texts: str) -> Counter[str]:
    """Occupation → texts that name it: of all of ``bug``, or of swap collapse's pairs
    (``swap_pairs.TEXTS``).
    """
    # training comes with it, which nobody needs who scores
    from fairnc_utils.debias import swap_pairs

    if texts == "bug":
        sentences = corpora.load("bug")["text"][:]
    else:
        every = swap_pairs.sentences(texts, occupations=True)
        sentences = [text for text in every if re.search(r"\b(?:she|he)\b", text, re.IGNORECASE)]
    return swap_pairs.times_named(sentences)


def _share(percent: str, where: str) -> float:
    try:
        share = float(percent) / 100
    except ValueError:
        share = np.nan
    if not 0 <= share <= 1:
        raise FairNCError(
            f"{where}: the share of women is {percent!r}, not a percentage; {_io.HINT}"
        )
    return share


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ln P(she), ``score_b`` ln P(he), up to a constant of the sentence; ``score_c``
    share of women − ½.
    """
    columns = items[:]
    return pronoun_rows(
        lm,
        columns["sentence"],
        description="occupations",
        score_c=np.array(columns["share"], float) - 0.5,
        axis=columns["axis"],
        item_id=columns["item_id"],
        unit=columns["occupation"],
    )


def slots(lm: LanguageModel, split: str = "bls") -> Slots:
    """Features of a masked model at the blank, their mean for each occupation: what the slope is a
    function of.
    """
    lm.require_masked("slots of occupations are those of a masked model")
    items = load(split).to_pandas()
    texts = [text.replace(BLANK, lm.tokenizer.mask_token) for text in items["sentence"]]
    batch = lm.tokenizer(texts, padding=True, return_tensors="pt").to(lm.device)
    with torch.no_grad():
        features = lm.features(batch["input_ids"], batch["attention_mask"])
    at_blank = features[batch["input_ids"] == lm.tokenizer.mask_token_id]
    # An occupation's sentences stand one behind the other, as many for each.
    means = at_blank.unflatten(0, (-1, len(TEMPLATES))).mean(1)
    first = items[:: len(TEMPLATES)]
    share = torch.tensor(first["share"].to_list(), dtype=means.dtype, device=means.device)
    return Slots(tuple(first["occupation"]), means, share - 0.5)


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an occupation: mean log-odds of she against he, and share of women − ½."""
    table = rows.assign(log_odds=rows["score_a"] - rows["score_b"], share=rows["score_c"])
    return table.groupby("unit", sort=True)[["log_odds", "share"]].mean()


def slope(log_odds: np.ndarray, share: np.ndarray, axis: int) -> np.ndarray:
    """Least-squares slope of log-odds on share; NaN where all shares are equal."""
    return stats.quotient(_covariance(log_odds, share, axis), _covariance(share, share, axis))


def correlation(log_odds: np.ndarray, share: np.ndarray, axis: int) -> np.ndarray:
    """Pearson's r of log-odds and share; NaN where either is constant, the log-odds but for
    rounding.
    """
    spread = np.sqrt(_covariance(log_odds, log_odds, axis))
    spread = np.where(spread > ROUNDING, spread, 0) * np.sqrt(_covariance(share, share, axis))
    return stats.quotient(_covariance(log_odds, share, axis), spread)


def lean(log_odds: np.ndarray, share: np.ndarray, axis: int) -> np.ndarray:
    """Log-odds that the line has where the share of women is one half."""
    return np.mean(log_odds, axis=axis) - slope(log_odds, share, axis) * np.mean(share, axis=axis)


def _covariance(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(
        (x - np.mean(x, axis=axis, keepdims=True)) * (y - np.mean(y, axis=axis, keepdims=True)),
        axis=axis,
    )


OCCUPATION_SLOPE = Benchmark(
    name="occupation_slope",
    splits=(BUG_SPLIT, *RARE, *SHARES),
    axes=("gender",),
    load=load,
    score=score,
    units=units,
    statistics={
        name: (("log_odds", "share"), function)
        for name, function in (("slope", slope), ("r", correlation), ("lean", lean))
    },
    kinds=("masked", "causal"),
    measures="How steeply the log-odds of she against he rise with the share of women in an occupation, and where they are "
    "at parity.",
    limits="Sixty English occupations, two pronouns, five plain sentences, one country's statistics of 2015/16. A model that "
    "repeats the statistics has a slope too: it tells how far the model follows them, not whether it should.",
    source="rudinger2018gender",
)
