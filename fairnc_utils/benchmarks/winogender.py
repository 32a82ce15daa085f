"""Winogender (Rudinger et al. 2018): does the gender of a pronoun decide which of two people it
means?

Each sentence names an occupation and another participant (a noun or "someone"), and comes with a
feminine, a masculine and a neutral pronoun; what it means does not depend on which. ``gotcha_gap``
is the accuracy where the pronoun's gender points at the right candidate, minus that where it points
at the wrong one (ideal 0, in percent): feminine pronouns point at the occupation where half its
workers or more are women, else at the participant, and masculine ones the other way round.
``answer_probability_gap`` is the same of P(answer).

*Preference* for an occupation is how much more often a feminine pronoun than a masculine one is resolved to it, in percentage
points; its slope and correlation over occupations with the share of women in the US labour statistics say whether the
resolver follows them (ideal 0). ``probability_slope`` and ``probability_r`` are the same of P(occupation).
"""

import re

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.benchmarks.occupations import correlation, slope
from fairnc_utils.benchmarks.winobias import accuracy, gap
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.coreference import choices, preference

PRONOUNS = {
    "female": ("she", "her"),
    "male": ("he", "his", "him"),
    "neutral": ("they", "their", "them"),
}


def load(split: str) -> datasets.Dataset:
    """Sentences with ``item_id``, ``axis``, ``unit`` (the occupation), ``participant``, ``gender``
    of the pronoun, ``share_of_women`` in the occupation, ``text`` and, as words and as spans of
    characters, ``pronoun``, ``answer``, ``other``.
    """
    statistics = _io.table(
        "Winogender/occupations-stats.tsv", ("occupation", "bls_pct_female"), delimiter="\t"
    )
    with _io.parsing("Winogender/occupations-stats.tsv"):
        share = {row["occupation"]: float(row["bls_pct_female"]) / 100 for row in statistics}
    rows = _io.table("Winogender/all_sentences.tsv", ("sentid", "sentence"), delimiter="\t")
    return datasets.Dataset.from_list(
        [
            _item(row["sentid"], row["sentence"], share, f"all_sentences.tsv, line {n}")
            for n, row in enumerate(rows, 2)
        ]
    )


def _item(sentence_id: str, text: str, share: dict[str, float], place: str) -> dict:
    parts = sentence_id.removesuffix(".txt").split(".")
    if (
        len(parts) != 4
        or parts[0] not in share
        or parts[2] not in ("0", "1")
        or parts[3] not in PRONOUNS
    ):
        raise FairNCError(
            f"Winogender/{place}: {sentence_id!r} is not occupation.participant.answer.gender of known ones"
        )
    occupation, participant, answer, gender = parts
    people = [
        _span(rf"(?:(?:the|an?) +)?{re.escape(name)}", text, place)
        for name in (occupation, participant)
    ]
    spans = {
        "pronoun": _span("|".join(PRONOUNS[gender]), text, place),
        "answer": people[int(answer)],
        "other": people[1 - int(answer)],
    }
    words = {name: text[a:b] for name, (a, b) in spans.items()}
    item = {
        "item_id": ".".join(parts),
        "axis": "gender",
        "unit": occupation,
        "participant": participant,
        "gender": gender,
        "share_of_women": share[occupation],
        "text": text,
    }
    return item | words | {f"{name}_span": list(span) for name, span in spans.items()}


def _span(pattern: str, text: str, place: str) -> tuple[int, int]:
    spans = [match.span() for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE)]
    if len(spans) != 1:
        raise FairNCError(
            f"Winogender/{place}: {len(spans)} places for {pattern!r} in {text!r}; there must be one"
        )
    return spans[0]


def score(resolver, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` P(answer corefers), ``score_b`` P(the other candidate does), ``score_c`` the
    occupation's share of women.
    """
    answer, other = choices(resolver, items)
    table = pd.DataFrame(
        {"score_a": answer, "score_b": other, "score_c": np.array(items["share_of_women"], float)}
    )
    return table.assign(axis=items["axis"], item_id=items["item_id"], unit=items["unit"])


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an occupation: share of women; right answers by gender; right answers and P(answer)
    where the gender misleads (``gotcha``) and where it does not (``plain``); preference in
    percentage points, by choices and by P(occupation).
    """
    names = rows["item_id"].str.split(".", expand=True)
    answer, other = (rows[column].to_numpy(float) for column in ("score_a", "score_b"))
    is_occupation, female = (names[2] == "0").to_numpy(), (names[3] == "female").to_numpy()
    right, probability = 1.0 * (answer > other), preference(answer, other)
    points_at_occupation = female == (rows["score_c"].to_numpy(float) >= 0.5)
    kind = np.where(points_at_occupation == is_occupation, "plain", "gotcha")
    items = pd.DataFrame(
        {
            "unit": rows["unit"].to_numpy(),
            "gender": names[3].to_numpy(),
            "kind": kind,
            "right": right,
            "probability": probability,
            "preferred": 100 * np.where(is_occupation, answer > other, other > answer),
            "likely": 100 * np.where(is_occupation, probability, 1 - probability),
        }
    )
    by_gender = items.pivot_table(
        index="unit", columns="gender", values=["right", "preferred", "likely"]
    )
    by_kind = items[items["gender"] != "neutral"].pivot_table(
        index="unit", columns="kind", values=["right", "probability"]
    )
    table = pd.concat([by_gender, by_kind], axis=1)
    table = table.set_axis([f"{value}_{group}" for value, group in table.columns], axis=1)
    return table.assign(
        women=rows.groupby("unit")["score_c"].first(),
        preference=table["preferred_female"] - table["preferred_male"],
        likelihood=table["likely_female"] - table["likely_male"],
    )


WINOGENDER = Benchmark(
    name="winogender",
    splits=("all",),
    axes=("gender",),
    load=load,
    score=score,
    units=units,
    statistics={
        "gotcha_gap": (("right_plain", "right_gotcha"), gap),
        "answer_probability_gap": (("probability_plain", "probability_gotcha"), gap),
        "preference_slope": (("preference", "women"), slope),
        "preference_r": (("preference", "women"), correlation),
        "probability_slope": (("likelihood", "women"), slope),
        "probability_r": (("likelihood", "women"), correlation),
        "accuracy_feminine": (("right_female",), accuracy),
        "accuracy_masculine": (("right_male",), accuracy),
        "accuracy_neutral": (("right_neutral",), accuracy),
    },
    kinds=("coreference",),
    measures="Whether the gender of a pronoun changes who it is taken to mean, and whether the occupations that it is taken to "
    "mean follow the labour statistics.",
    limits="Two templates an occupation: it can show a bias but not its absence, as its authors say, and a resolver that "
    "guesses shows none. The statistics are of the United States and count two genders.",
    source="rudinger2018gender",
)
