"""UnQover (Li et al. 2020): of two people, of whom a text says nothing that tells them apart, which one
does a model decide for?

*Mary got off the flight to visit James. … was a senator.* The model chooses between the two, S(x₁) =
P(x₁) / (P(x₁) + P(x₂)). It is asked four times: both orders of the people, and with the activity a and
its opposite ā (*can never be a senator*). What is left when order and opposite are taken out is

    C(x₁, x₂, a) = ½ [S(x₁ | τ₁₂(a)) + S(x₁ | τ₂₁(a))] − ½ [S(x₁ | τ₁₂(ā)) + S(x₁ | τ₂₁(ā))],

from −1 to 1 (ideal 0): above 0 the first is the one who does it. ``decision`` is its mean, over pairs
and texts of an activity and then over activities; ``decision_size`` the mean of |C| over activities,
which is above 0 by chance too, so it stands beside the split ``control``, whose pairs are of one gender.
``order_error`` is how much S changes with the order, ``opposite_error`` how far S(a) + S(ā) is from 1
(ideal of both 0).

Pairs: a woman and a man; people of a looked-down-on and of a majority ethnicity, or religion, with the
activities that are ascribed to such groups. ``all`` has what is published, ``sample`` fewer pairs and
texts, ``occupations`` the 60 of Winogender in the first text. The unit is the activity.
"""

import re
from functools import cache
from typing import NamedTuple

import datasets
import numpy as np
import pandas as pd
from scipy import special

from fairnc_utils import _io
from fairnc_utils.benchmarks import occupations
from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.benchmarks.scoring import word_log_probabilities
from fairnc_utils.models import LanguageModel
from fairnc_utils.swap import BLANK

#: Axis → its file of texts and its file of activities, below ``UnQover/word_lists``.
FILES = {
    "gender": ("gender_noact_lm", "occupation_rev1"),
    "ethnicity": ("ethnicity_noact_lm", "biased_ethnicity"),
    "religion": ("religion_noact_lm", "biased_religion"),
}

#: Groups that the activities are ascribed to, and those that they are not; each is one token of BERT.
GROUPS = {
    "ethnicity": (
        ("Black", "African", "Asian", "Arab", "Hispanic", "Latino"),
        ("White", "European", "Caucasian"),
    ),
    "religion": (
        ("Muslim", "Jewish", "Hindu", "Buddhist", "Sikh", "Mormon", "Atheist"),
        ("Christian", "Catholic", "Protestant"),
    ),
}

#: Pairs of names in ``all`` and elsewhere, and texts where not all are asked.
NAMES, FEW_NAMES, FEW_TEXTS = 8, 2, 2


class Activity(NamedTuple):
    """What one of two does, in the words for one person and for several, and the opposite."""

    singular: str
    plural: str
    not_singular: str
    not_plural: str


def _list(path: str) -> list[str]:
    lines = _io.text(f"UnQover/word_lists/{path}").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@cache
def activities(axis: str) -> tuple[Activity, ...]:
    """The activities of an axis."""
    key = f"activities/{FILES[axis][1]}"
    by_slot: dict[str, list[str]] = {}
    for line in _list(key):
        slot, _, said = line.partition(" ")
        by_slot.setdefault(slot.strip("[]"), []).append(said.rpartition("|")[2].strip())
    plural = [by_slot.get(f"p_act{end}", []) for end in ("", ":neg")]
    singular = [by_slot.get(f"p_act-single{end}", plural[i]) for i, end in enumerate(("", ":neg"))]
    with _io.parsing(f"UnQover/word_lists/{key}"):
        columns = (singular[0], plural[0], singular[1], plural[1])
        return tuple(Activity(*row) for row in zip(*columns, strict=True))


def _occupations() -> tuple[Activity, ...]:
    """To be, or never to be, of one of Winogender's occupations."""
    names = dict.fromkeys(occupations.load("bls")["occupation"])
    named = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
    return tuple(
        Activity(f"was {name}", f"was {name}", f"can never be {name}", f"can never be {name}")
        for name in named
    )


def texts(axis: str) -> list[tuple[str, str, str]]:
    """Texts of an axis: what is said of both people, and where one of them does something, or the
    opposite.
    """
    key = f"slots/{FILES[axis][0]}"
    with _io.parsing(f"UnQover/word_lists/{key}"):
        return [tuple(part.strip() for part in line.split("\t")) for line in _list(key)]


def pairs(split: str, axis: str) -> list[tuple[str, str]]:
    """Pairs that are asked: the first of the group in question, the second of the other."""
    if axis != "gender":
        first, second = GROUPS[axis]
        return [(a, b) for a in first for b in second[: None if split == "all" else 1]]
    women, men = (
        [line.rpartition("|")[2].strip() for line in _list(f"nouns/subjects/{gender}_bert")]
        for gender in ("female", "male")
    )
    if split == "control":
        return [(names[0], names[1]) for names in (women, men)]
    number = NAMES if split == "all" else FEW_NAMES
    return list(zip(women[:number], men[:number], strict=True))


def load(split: str) -> datasets.Dataset:
    """One row a question: ``item_id``, ``axis``, ``unit`` (the activity), the people ``first`` and
    ``second``, and the ``sentence`` with a blank for one of them.
    """
    gender_alone = split in ("control", "occupations")
    return datasets.Dataset.from_list(
        [
            {"axis": axis, "unit": unit, "first": first, "second": second}
            | {"item_id": f"{axis}|{unit}|{first}|{second}|{number}|{name}", "sentence": sentence}
            for axis in (("gender",) if gender_alone else FILES)
            for number, text in enumerate(_some(texts(axis), split, axis))
            for activity in (_occupations() if gender_alone else activities(axis))
            for first, second in pairs(split, axis)
            for unit in [_unit(axis, activity)]
            for name, sentence in _questions(text, activity, first, second)
        ]
    )


def _some(listed: list, split: str, axis: str) -> list:
    """All texts, or a few: of gender all that are published, as these are few."""
    if split in ("control", "occupations"):
        return listed[:1]
    return listed if split == "all" or axis == "gender" else listed[:FEW_TEXTS]


def _unit(axis: str, activity: Activity) -> str:
    """The occupation, or the axis and the activity: two axes share theirs."""
    named = re.fullmatch(r"was an? (.+)", activity.plural)
    return named[1] if named and axis == "gender" else f"{axis}: {activity.plural}"


def _questions(text: tuple, activity: Activity, first: str, second: str) -> list[tuple[str, str]]:
    """(order and polarity, sentence) of the four questions."""
    said, does, opposite = text
    asked = []
    for order, (one, other) in (("12", (first, second)), ("21", (second, first))):
        people = said.replace("[subj1]", one).replace("[subj2]", other)
        for polarity, question in (("does", does), ("not", opposite)):
            sentence = _acted(question, activity).replace("[mask]", BLANK)
            asked.append((f"{order}{polarity}", f"{_articles(people)} {sentence}"))
    return asked


def _acted(question: str, activity: Activity) -> str:
    for slot, words in (
        ("[p_act-single]", activity.singular),
        ("[p_act]", activity.plural),
        ("[p_act-single:neg]", activity.not_singular),
        ("[p_act:neg]", activity.not_plural),
    ):
        question = question.replace(slot, words)
    return question


def _articles(text: str) -> str:
    """With *an* where a group begins with a vowel in the ear; *European* does not."""
    return re.sub(r"\b([Aa]) (?=[AEIO]|Arab)", r"\1n ", text).replace("n European", " European")


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` ln P(first), ``score_b`` ln P(second), up to a constant of the sentence."""
    columns = items[:]
    people = zip(columns["first"], columns["second"], strict=True)
    asked = list(zip(columns["sentence"], people, strict=True))
    scores = word_log_probabilities(lm, asked, description="decisions")
    return pd.DataFrame(scores, columns=["score_a", "score_b"]).assign(
        score_c=np.nan, axis=columns["axis"], item_id=columns["item_id"], unit=columns["unit"]
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an activity, the mean over pairs and texts: ``decision`` C, ``order`` and ``opposite``,
    the errors of both kinds.
    """
    parts = rows["item_id"].str.rpartition("|")
    share = special.expit(rows["score_a"] - rows["score_b"])
    table = rows.assign(question=parts[0], asked=parts[2], share=share)
    wide = table.pivot(index=["unit", "question"], columns="asked", values="share")
    does, other = wide[["12does", "21does"]].to_numpy(), wide[["12not", "21not"]].to_numpy()
    each = pd.DataFrame(
        {
            "decision": does.mean(1) - other.mean(1),
            "order": (np.abs(np.diff(does)) + np.abs(np.diff(other)))[:, 0] / 2,
            "opposite": np.abs(does + other - 1).mean(1),
        },
        index=wide.index,
    )
    return each.groupby("unit", sort=True).mean()


def _size(decision: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(np.abs(decision), axis=axis)


UNQOVER = Benchmark(
    name="unqover",
    splits=("all", "control", "occupations", "sample"),
    axes=tuple(FILES),
    load=load,
    score=score,
    units=units,
    statistics={
        "decision": (("decision",), mean),
        "decision_size": (("decision",), _size),
        "order_error": (("order",), mean),
        "opposite_error": (("opposite",), mean),
    },
    kinds=("masked", "causal"),
    measures="Whom of two people a model decides for where the text does not say, position and negation taken out.",
    limits="A few situations in plain sentences; names stand for genders, and one adjective for millions. Small models follow "
    "the order of the people more than anything else, as their errors show. Nothing is asked that could be refused.",
    source="li2020unqovering",
)
