"""BEC-Pro (Bartl et al. 2020): does naming a profession make a female or a male person word more
likely?

Each sentence joins one of 18 person words with one of 60 professions, of which 20 are held by
women, 20 by men and 20 by both in like numbers (the axis). The association is ln P(person |
profession shown) − ln P(person | profession masked): 0 if the profession says nothing about the
person, positive if it makes the person more likely. Its mean, and the mean of its size, are
reported by the person's gender, with intervals over professions; ``gap`` is the mean of female
minus male (ideal 0). The means alone hide associations of both signs, so their size stands beside.

* ``bec_pro`` masks each word piece, rebuilds the prior from sentence and profession, and tests the female against the male
  version of the same sentence (Wilcoxon);
* ``bec_pro_as_released`` is the published script: the released masked sentences with one mask a whitespace word, filled up
  to ``RELEASED_TOKENS`` with further masks that the model attends to and cut off behind them, corrupt rows and all; it tests,
  row by row of the file, the sentences of female against those of male professions;
* ``bec_pro_released_masks`` takes the same masked sentences and the same test, neither filled up nor cut.

r = z / √N is the effect size of the test, positive where the first of the two is larger. The script
calls W / √N by that name (``w_per_root_n``): it grows with N and has no sign. Where its test of
normality passes, it takes a t test in place of Wilcoxon's; here that is left out. Except as
released, rows whose masks are corrupt keep no score, nor do their partners; ``left_out`` counts
them.
"""

from collections.abc import Sequence
from functools import partial

import datasets
import numpy as np
import pandas as pd
import scipy.stats

from fairnc_utils import _io
from fairnc_utils.benchmarks.base import Benchmark, ratio
from fairnc_utils.benchmarks.scoring import (
    Query,
    encode,
    mask_id,
    scored_ahead,
    tokenize,
)
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.stats import Estimate

AXES = ("female", "male", "balanced")
MASK = "[MASK]"
#: Tokens of every input of the script: the smallest power of two that holds the words of the longest masked sentence.
RELEASED_TOKENS = 16

#: Male person word → female one of the same sentence.
PARTNERS = {
    "He": "She",
    "man": "woman",
    "brother": "sister",
    "son": "daughter",
    "husband": "wife",
    "boyfriend": "girlfriend",
    "father": "mother",
    "uncle": "aunt",
    "dad": "mom",
}


def load(split: str) -> datasets.Dataset:
    """Sentences with ``item_id`` (pair and gender), ``axis`` (profession group), ``profession``,
    ``person``, ``gender``, ``sentence``, the released ``person_masked`` and ``both_masked``;
    ``usable``: False for corrupt rows and their partners.
    """
    columns = {
        "Sentence": "sentence",
        "Sent_TM": "person_masked",
        "Sent_TAM": "both_masked",
        "Person": "person",
        "Gender": "gender",
        "Profession": "profession",
        "Prof_Gender": "axis",
    }
    persons = (*PARTNERS, *PARTNERS.values())
    choices = {"Gender": ("female", "male"), "Prof_Gender": AXES, "Person": persons}
    rows = _io.table(
        "BEC-Pro/BEC-Pro_EN.tsv", [*columns, "Template"], delimiter="\t", choices=choices
    )
    numbers: dict[tuple, int] = {}
    pairs = [
        numbers.setdefault((row["Template"], row["Profession"], _male(row["Person"])), len(numbers))
        for row in rows
    ]
    corrupt = {
        pair
        for pair, row in zip(pairs, rows, strict=True)
        if row["Sent_TM"] != row["Sentence"].replace(row["Person"], MASK, 1)
    }
    return datasets.Dataset.from_list(
        [
            {"item_id": f"{pair}:{row['Gender']}"}
            | {name: row[column] for column, name in columns.items()}
            | {"usable": pair not in corrupt}
            for pair, row in zip(pairs, rows, strict=True)
        ]
    )


def _male(person: str) -> str:
    """The male word of a person's pair."""
    return next(male for male, female in PARTNERS.items() if person in (male, female))


def score(
    lm: LanguageModel, items: datasets.Dataset, *, released: bool = False, padded: bool = False
) -> pd.DataFrame:
    """ln P(person), ``score_a`` the profession shown, ``score_b`` masked, ``score_c`` +1 female, −1
    male; unusable: NaN.

    ``released``: from the released masked sentences; ``padded``: those filled up and cut, with the
    unusable ones.
    """
    columns = items[:]  # all at once: a column read row by row is slow
    kept = np.flatnonzero(np.array(columns["usable"]) | padded)
    build = partial(released_queries, padded=padded) if released else queries
    usable, scores = items.select(kept), np.full((len(items), 2), np.nan)
    values, owners = scored_ahead(
        lm, len(kept), lambda part: build(lm, usable[part]), owners=2, description="BEC-Pro"
    )
    scores[kept] = np.bincount(owners, values, 2 * len(kept)).reshape(-1, 2)
    table = pd.DataFrame(scores, columns=["score_a", "score_b"])
    sign = np.where(np.array(columns["gender"]) == "female", 1.0, -1.0)
    return table.assign(
        score_c=sign, axis=columns["axis"], item_id=columns["item_id"], unit=columns["profession"]
    )


def queries(lm: LanguageModel, items: dict[str, list]) -> tuple[list[Query], list[int]]:
    """Each piece of the person is asked for with all of them masked, without and then with the
    profession's pieces.
    """
    mask, asked, owners = mask_id(lm), [], []
    encoded = tokenize(lm.tokenizer, items["sentence"], return_offsets_mapping=True)
    columns = zip(
        encoded["input_ids"],
        encoded["offset_mapping"],
        items["sentence"],
        items["person"],
        items["profession"],
        strict=True,
    )
    for row, (ids, offsets, sentence, person, profession) in enumerate(columns):
        places, hidden = (_tokens(offsets, sentence, part) for part in (person, profession))
        for column, blanked in enumerate(({*places}, {*places, *hidden})):
            shown = tuple(mask if place in blanked else token for place, token in enumerate(ids))
            asked += [(shown, place, ids[place]) for place in places]
            owners += [2 * row + column] * len(places)
    return asked, owners


def _tokens(offsets: Sequence[tuple[int, int]], sentence: str, part: str) -> list[int]:
    """Places of the tokens that spell the first ``part`` of a sentence, with the one of a space
    alone before it.
    """
    begin = sentence.find(part)
    end = begin + len(part)
    places = [
        i
        for i, (start, stop) in enumerate(offsets)
        if start < end and (stop > begin or 0 < start == begin)
    ]
    if begin < 0 or not places:
        raise FairNCError(f"BEC-Pro: no token of {sentence!r} spells {part!r}; {_io.HINT}")
    return places


def released_queries(
    lm: LanguageModel, items: dict[str, list], *, padded: bool = False
) -> tuple[list[Query], list[int]]:
    """The token of the sentence at the first mask is asked for in both released masked sentences."""
    mask, token = mask_id(lm), lm.tokenizer.mask_token
    names = ("sentence", "person_masked", "both_masked")
    texts = [[text.replace(MASK, token) for text in items[name]] for name in names]
    ids = encode(lm.tokenizer, (text for column in texts for text in column), special=True)
    asked: list[Query] = []
    if padded:
        filling = [mask] * RELEASED_TOKENS
        ids = {text: [*row, *filling][:RELEASED_TOKENS] for text, row in ids.items()}
    for sentence, *both in zip(*texts, strict=True):
        place = ids[both[1]].index(mask)
        asked += [(ids[text], place, ids[sentence][place]) for text in both]
    return asked, list(range(len(asked)))


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a profession: sums of the association and of its size, and number of sentences, by
    the person's gender.
    """
    rows = rows.dropna(subset=["score_a", "score_b"])
    association, female = rows["score_a"] - rows["score_b"], rows["score_c"] > 0
    columns = {"unit": rows["unit"]}
    for gender, of in (("female", female), ("male", ~female)):
        columns |= {
            gender: association * of,
            f"abs_{gender}": association.abs() * of,
            f"n_{gender}": of.astype(float),
        }
    return pd.DataFrame(columns).groupby("unit", sort=True).sum()


def _gap(
    female: np.ndarray, n_female: np.ndarray, male: np.ndarray, n_male: np.ndarray, axis: int
) -> np.ndarray:
    return ratio(female, n_female, axis) - ratio(male, n_male, axis)


def extras(rows: pd.DataFrame, *, released: bool = False) -> dict[str, Estimate]:
    """Wilcoxon's p and r (corrected: female against male persons; released: female against male
    professions, and the script's W / √N); ``left_out``.
    """
    association = (rows["score_a"] - rows["score_b"]).to_numpy()
    if released:
        first, second = (association[rows["axis"] == group] for group in ("female", "male"))
    else:
        pair = rows["item_id"].str.partition(":")[0]
        by_gender = [
            pd.Series(association, pair)[(rows["score_c"] == sign).to_numpy()] for sign in (1, -1)
        ]
        first, second = (x.to_numpy() for x in by_gender[0].align(by_gender[1], join="inner"))
    estimates = {
        "left_out": Estimate(float(np.isnan(association).sum()), np.nan, np.nan, len(rows))
    }
    # the released test needs both groups: it has no meaning for one
    if not len(first) or len(first) != len(second):
        return estimates
    return signed_rank(first - second, released=released) | estimates


def signed_rank(differences: np.ndarray, *, released: bool = False) -> dict[str, Estimate]:
    """Wilcoxon's signed-rank test of paired differences: two-sided p, and r = z / √N, positive
    where most are; ``released``: also W / √N, W the smaller of the two sums of ranks.
    """
    differences = differences[~np.isnan(differences)]
    p, r, w, n = 1.0, 0.0, 0.0, len(differences)
    if differences.any():
        test = partial(scipy.stats.wilcoxon, differences, method="asymptotic")
        w, p = map(float, test())
        r = float(test(alternative="greater").zstatistic / np.sqrt(n))
    values = {"wilcoxon_p": p, "wilcoxon_r": r}
    if released:
        values["w_per_root_n"] = w / float(np.sqrt(n))
    return {name: Estimate(value, np.nan, np.nan, n) for name, value in values.items()}


PROFESSIONS = partial(
    Benchmark,
    splits=("english",),
    axes=AXES,
    load=load,
    units=units,
    statistics={
        "association_female": (("female", "n_female"), ratio),
        "association_male": (("male", "n_male"), ratio),
        "abs_association_female": (("abs_female", "n_female"), ratio),
        "abs_association_male": (("abs_male", "n_male"), ratio),
        "gap": (("female", "n_female", "male", "n_male"), _gap),
    },
    measures="How much naming a profession changes the log-probability of a female or a male person word in the same sentence.",
    source="bartl2020unmasking",
)
LIMITS = (
    "Five templates, sixty professions of U.S. statistics and two genders: little variety behind many sentences. Masking a "
    "profession shows its number of pieces. The test takes sentences as independent, which those of one profession are not."
)

BEC_PRO = PROFESSIONS(name="bec_pro", score=score, extras=extras, limits=LIMITS)
RELEASED = partial(
    PROFESSIONS,
    extras=partial(extras, released=True),
    limits=f"{LIMITS} Its test pairs sentences about unlike professions, whose order in the file is arbitrary.",
    variant="as_released",
)
BEC_PRO_AS_RELEASED = RELEASED(
    name="bec_pro_as_released", score=partial(score, released=True, padded=True)
)
BEC_PRO_RELEASED_MASKS = RELEASED(
    name="bec_pro_released_masks", score=partial(score, released=True)
)
