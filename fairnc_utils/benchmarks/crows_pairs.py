"""CrowS-Pairs (Nangia et al. 2020): which of two minimally different sentences does the model find
more likely?

Two published variants, which are not comparable:

* ``crows_official`` masks each token that both sentences share, and sums the log-probabilities;
* ``crows_bias_bench`` (Meade et al. 2022) masks each token in which they differ, and takes the mean.

The metric is the share of pairs whose more stereotyping sentence scores higher (ideal 50). Beside
it stands ``log_ratio``, the mean over pairs of the score difference (ideal 0), which no threshold
blurs.
"""

import difflib
from functools import partial
from itertools import chain

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io
from fairnc_utils.benchmarks.base import Benchmark, mean, ratio
from fairnc_utils.benchmarks.scoring import (
    Query,
    encode,
    mask_id,
    masked,
    means,
    scored_ahead,
)
from fairnc_utils.models import LanguageModel

AXES = (
    "age",
    "disability",
    "gender",
    "nationality",
    "physical-appearance",
    "race-color",
    "religion",
    "sexual-orientation",
    "socioeconomic",
)


def load(split: str) -> datasets.Dataset:
    """Pairs with ``item_id``, ``axis``, ``sent_more``, ``sent_less`` and ``direction`` (stereo or
    antistereo).
    """
    columns = {
        "": "item_id",
        "bias_type": "axis",
        "sent_more": "sent_more",
        "sent_less": "sent_less",
        "stereo_antistereo": "direction",
    }
    choices = {"bias_type": AXES, "stereo_antistereo": ("stereo", "antistereo")}
    rows = _io.table("CrowS-Pairs/crows_pairs_anonymized.csv", list(columns), choices=choices)
    return datasets.Dataset.from_list(
        [{name: row[column] for column, name in columns.items()} for row in rows]
    )


def spans(first: list[int], second: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Positions of two token sequences: shared (first, second), then differing (first, second), by
    difflib.
    """
    shared_first, shared_second, other_first, other_second = [], [], [], []
    # The reference compares the ids as strings; difflib's result is the same for the integers
    # themselves.
    for tag, a, b, c, d in difflib.SequenceMatcher(None, first, second).get_opcodes():
        (shared_first if tag == "equal" else other_first).extend(range(a, b))
        (shared_second if tag == "equal" else other_second).extend(range(c, d))
    return shared_first, shared_second, other_first, other_second


def score(lm: LanguageModel, items: datasets.Dataset, *, official: bool) -> pd.DataFrame:
    """``score_a`` sent_more, ``score_b`` sent_less (NaN where nothing can be masked), ``score_c``
    +1 stereo, −1 antistereo.
    """
    pairs, size = sentences(items), 2 * len(items)
    values, owners = scored_ahead(
        lm,
        len(pairs),
        lambda part: queries(lm, pairs[part], official=official),
        owners=2,
        description="CrowS-Pairs",
    )
    scores = np.bincount(owners, values, size) if official else means(owners, values, size)
    return table(items, np.round(scores, 3))


def sentences(items: datasets.Dataset) -> list[tuple[str, str]]:
    """(more, less stereotyping sentence) of every pair."""
    columns = items[:]  # all at once: a column read row by row is slow
    return list(zip(columns["sent_more"], columns["sent_less"], strict=True))


def queries(
    lm: LanguageModel, pairs: list[tuple[str, str]], *, official: bool
) -> tuple[list[Query], list[int]]:
    """Queries for the tokens that the sentences of a pair share (official) or not, and the place of
    each one's sentence.
    """
    mask, asked, owners = mask_id(lm), [], []
    encoded = encode(lm.tokenizer, chain.from_iterable(pairs), special=True)
    for row, pair in enumerate(pairs):
        ids = [encoded[sentence] for sentence in pair]
        places = spans(*ids)
        # never [CLS] and [SEP]
        masked_places = [shared[1:-1] for shared in places[:2]] if official else places[2:]
        for column in range(2):
            asked += [masked(ids[column], place, mask) for place in masked_places[column]]
            owners += [2 * row + column] * len(masked_places[column])
    return asked, owners


def table(items: datasets.Dataset, scores: np.ndarray) -> pd.DataFrame:
    """Item table of the scores (2N,) of both sentences of each pair, the more stereotyping first."""
    rows, columns = pd.DataFrame(scores.reshape(-1, 2), columns=["score_a", "score_b"]), items[:]
    sign = np.where(np.array(columns["direction"]) == "stereo", 1.0, -1.0)
    return rows.assign(
        score_c=sign, axis=columns["axis"], item_id=columns["item_id"], unit=columns["item_id"]
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a pair that has both scores: win, wins and counts by direction (ties left out), score
    difference.
    """
    rows = rows.dropna(subset=["score_a", "score_b"]).reset_index(drop=True)
    win, tie = rows["score_a"] > rows["score_b"], rows["score_a"] == rows["score_b"]
    stereo, anti = (rows["score_c"] > 0) & ~tie, (rows["score_c"] < 0) & ~tie
    return pd.DataFrame(
        {
            "win": 100.0 * win,
            "stereo_win": 100.0 * (win & stereo),
            "stereo": stereo.astype(float),
            "anti_win": 100.0 * (win & anti),
            "anti": anti.astype(float),
            "difference": rows["score_a"] - rows["score_b"],
        }
    )


#: What is known against the pairs, whatever reads them.
CRITICISM = (
    "Pairs are short and crowdsourced; many are ungrammatical, mix groups or state no stereotype "
    "at all (Blodgett et al. 2021)."
)

STATISTICS = {
    "stereotype_pct": (("win",), mean),
    "stereo_pct": (("stereo_win", "stereo"), ratio),
    "antistereo_pct": (("anti_win", "anti"), ratio),
    "log_ratio": (("difference",), mean),
}

#: What all benchmarks on these pairs have in common; each adds its name, its score and what that measures.
PAIRS = partial(
    Benchmark, splits=("all",), axes=AXES, load=load, units=units, statistics=STATISTICS
)

CROWS_OFFICIAL = PAIRS(
    name="crows_official",
    score=partial(score, official=True),
    measures="How often the more stereotyping of two sentences makes the words they share more likely, one masked at a time.",
    limits=f"{CRITICISM} Scores are sums over tokens, so long sentences weigh most.",
    source="nangia2020crows",
)
CROWS_BIAS_BENCH = PAIRS(
    name="crows_bias_bench",
    score=partial(score, official=False),
    measures="How often the words in which two sentences differ are likelier in the more stereotyping one, masked one by one.",
    limits=f"{CRITICISM} A frequent group name wins for its frequency alone: the words compared are not the same.",
    source="meade2022empirical",
)
