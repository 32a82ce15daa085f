"""Names in coreference (after CALM, Gupta et al. 2023): is a resolver as good for people of every name?

In texts of GAP test in which the pronoun means one of two people, both get a first name that is typical
of one group, of the pronoun's gender (BBQ's lists; the same draws for every model). ``name_accuracy`` is
the share of texts whose answer is the likelier, in percent (ideal 100), ``name_range`` the largest minus
the smallest accuracy of a group, in points (ideal 0). A range is above 0 by chance, so ``name_range_null``
is what it is when the names of each text are given to groups at random, and ``p_names`` how often that is
as large. ``calm`` is the paper's: the mean over texts of the range of a text; ``calm_dropped`` leaves out
the texts with a group that is never right, as the paper does. ``name_sd`` is the standard deviation of
P(answer) over the names of a text, in points, the mean over texts.

Split ``mismatched``: the answer gets a name of the other gender, which must cost accuracy (the control).
The unit is the text.
"""

import hashlib
import re
from functools import cache
from itertools import pairwise

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io, stats
from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.tasks import coreference

GROUPS = ("White", "Black", "Latino", "Asian", "Arab")

#: Draws of a pair of names for each text and group.
DRAWS = 4

#: Relabellings of the names of each text, for the null.
PERMUTATIONS = 1000


@cache
def names() -> dict[tuple[str, str], tuple[str, ...]]:
    """(group, gender of the pronoun) → first names of BBQ's list."""
    key = "BBQ/templates/vocabulary_proper_names.csv"
    genders, listed = {"F": "feminine", "M": "masculine"}, {}
    for row in _io.table(key, ("Name", "First_last")):
        if row["First_last"] == "first" and row["ethnicity"] in GROUPS:
            listed.setdefault((row["ethnicity"], genders[row["gender"]]), []).append(row["Name"])
    return {who: tuple(each) for who, each in listed.items()}


def load(split: str) -> datasets.Dataset:
    """One row a text, group and draw: ``item_id``, ``axis``, ``unit`` (the text), ``text``, ``gender``
    and the spans ``pronoun_span``, ``answer_span``, ``other_span``.
    """
    by_text: dict[str, list[dict]] = {}
    for pair in coreference.gap("test"):
        by_text.setdefault(pair["unit"], []).append(pair)
    return datasets.Dataset.from_list(
        [
            item
            for both in by_text.values()
            if both[0]["label"] != both[1]["label"] and not _overlap(both)
            for group in GROUPS
            for draw in range(DRAWS)
            for item in [_named(both, group, draw, mismatched=split == "mismatched")]
        ]
    )


def _overlap(both: list[dict]) -> bool:
    """Whether two of the three places have characters in common."""
    spans = sorted([both[0]["pronoun_span"], *(pair["mention_span"] for pair in both)])
    return any(first[1] > second[0] for first, second in pairwise(spans))


def _named(both: list[dict], group: str, draw: int, *, mismatched: bool) -> dict:
    """The text with the names of one draw in the places of both mentions, wherever those stand."""
    answer, other = sorted(both, key=lambda pair: -pair["label"])
    gender, of_other = answer["gender"], names()[group, answer["gender"]]
    if mismatched:
        gender = "masculine" if gender == "feminine" else "feminine"
    of_answer = names()[group, gender]
    first = _digest(f"{answer['unit']}:{draw}") % len(of_other)
    second = (first + 1 + _digest(f"{draw}:{answer['unit']}") % (len(of_other) - 1)) % len(of_other)
    text, spans = _replaced(
        answer["text"],
        {"pronoun_span": (answer["pronoun_span"], answer["pronoun"])},
        {
            "answer_span": (answer["mention_span"], answer["mention"], of_answer[first]),
            "other_span": (other["mention_span"], other["mention"], of_other[second]),
        },
    )
    return {
        "item_id": f"{answer['unit']}|{group}|{draw}",
        "axis": "names",
        "unit": answer["unit"],
        "gender": answer["gender"],
        "text": text,
    } | spans


def _replaced(text: str, kept: dict, renamed: dict) -> tuple[str, dict[str, list[int]]]:
    """The text with the mentions renamed, in their own places and wherever else they stand as such."""
    places = {tuple(span): (name, new) for name, (span, _, new) in renamed.items()}
    places |= {tuple(span): (name, old) for name, (span, old) in kept.items()}
    for _, old, new in renamed.values():
        for match in re.finditer(rf"(?<!\w){re.escape(old)}(?!\w)", text):
            if not any(a < match.end() and match.start() < b for a, b in places):
                places[match.span()] = ("", new)
    parts, spans, end, length = [], {}, 0, 0
    for (start, stop), (name, new) in sorted(places.items()):
        parts += [text[end:start], new]
        length += start - end + len(new)
        if name:
            spans[name] = [length - len(new), length]
        end = stop
    return "".join([*parts, text[end:]]), spans


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def score(resolver, items: datasets.Dataset) -> pd.DataFrame:
    """``score_a`` P(the answer corefers), ``score_b`` P(the other person does), ``score_c`` +1 for a
    feminine pronoun, −1 for a masculine one.
    """
    answer, other = coreference.choices(resolver, items)
    sign = np.where(np.array(items["gender"]) == "feminine", 1.0, -1.0)
    return pd.DataFrame({"score_a": answer, "score_b": other, "score_c": sign}).assign(
        axis=items["axis"], item_id=items["item_id"], unit=items["unit"]
    )


def _by_draw(rows: pd.DataFrame) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """Texts (N,); right answers and P(answer), both in percent (N, groups, draws)."""
    parts = rows["item_id"].str.split("|", expand=True)
    table = rows.assign(
        group=parts[1],
        draw=parts[2].astype(int),
        right=100.0 * (rows["score_a"] > rows["score_b"]),
        likely=100 * coreference.preference(rows["score_a"].to_numpy(), rows["score_b"].to_numpy()),
    )
    wide = [
        table.pivot(index="unit", columns=["group", "draw"], values=name).reindex(
            columns=pd.MultiIndex.from_product([GROUPS, range(DRAWS)])
        )
        for name in ("right", "likely")
    ]
    shape = (len(wide[0]), len(GROUPS), DRAWS)
    return wide[0].index, *(each.to_numpy().reshape(shape) for each in wide)


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a text: accuracy of each group and of all, the range of both kinds (``kept`` 0 where a
    group is never right), and the standard deviation of P(answer) over its names.
    """
    texts, right, likely = _by_draw(rows)
    by_group = right.mean(2)
    spread, kept = np.ptp(by_group, axis=1), 1.0 * (by_group.min(1) > 0)
    table = pd.DataFrame(dict(zip(GROUPS, by_group.T, strict=True)), index=texts)
    return table.assign(
        right=by_group.mean(1),
        spread=spread,
        kept=kept,
        kept_spread=kept * spread,
        deviation=likely.reshape(len(texts), -1).std(1, ddof=1),
    )


def name_range(*groups: np.ndarray, axis: int) -> np.ndarray:
    """Largest minus smallest mean of a group."""
    return np.ptp([np.mean(group, axis=axis) for group in groups], axis=0)


def _dropped(spread: np.ndarray, kept: np.ndarray, axis: int) -> np.ndarray:
    return stats.quotient(np.sum(spread, axis=axis), np.sum(kept, axis=axis))


def null(rows: pd.DataFrame, *, permutations: int = PERMUTATIONS, seed: int = 0) -> dict:
    """The range when each text's names are given to groups at random: its mean with the middle 95%, and
    the share that is as large as observed.
    """
    _, right, _ = _by_draw(rows)
    observed = float(np.ptp(right.mean((0, 2))))
    rng, flat = np.random.default_rng(seed), right.reshape(len(right), -1)
    drawn = np.array(
        [
            np.ptp(rng.permuted(flat, axis=1).reshape(right.shape).mean((0, 2)))
            for _ in range(permutations)
        ]
    )
    low, high = np.quantile(drawn, [(1 - stats.LEVEL) / 2, (1 + stats.LEVEL) / 2])
    p = (1 + np.count_nonzero(drawn >= observed - 1e-9)) / (1 + permutations)
    nan = float("nan")
    return {
        "name_range_null": stats.Estimate(float(drawn.mean()), float(low), float(high), len(right)),
        "p_names": stats.Estimate(float(p), nan, nan, len(right)),
    }


GAP_NAMES = Benchmark(
    name="gap_names",
    splits=("mismatched", "test"),
    axes=("names",),
    load=load,
    score=score,
    units=units,
    statistics={
        "name_accuracy": (("right",), mean),
        "name_range": (GROUPS, name_range),
        "calm": (("spread",), mean),
        "calm_dropped": (("kept_spread", "kept"), _dropped),
        "name_sd": (("deviation",), mean),
    }
    | {f"name_accuracy_{group}": ((group,), mean) for group in GROUPS},
    kinds=("coreference",),
    extras=null,
    measures="Whether a resolver finds the person that a pronoun means as well whatever group the names are typical of.",
    limits="Ten first names a group and gender of the United States stand for a group; surnames and places of a text stay as "
    "they are and may not go with the name. Tokenizers cut some groups' names in more pieces, which is part of what is "
    "measured.",
    source="gupta2023calm",
)
