"""Is a text of a woman or of a man? Sentences of BUG, each beside its gender-swapped copy (after GECO, Wilming
et al. 2024).

Both versions of a sentence are items, so nothing tells them apart but the words that were swapped, and those are
known: they are what an explanation of the answer has to point at. A task for explanations and for nothing else;
anybody could solve it with a list of words.
"""

import hashlib
import re
from functools import cache, partial

import datasets

from fairnc_utils import _io, swap
from fairnc_utils.tasks.base import RECIPE, Task, accuracy, encode
from fairnc_utils.tasks.biographies import GENDERS, part_of

#: Split → pairs of sentences; those of training and test are as many as GECO has.
PAIRS = {"train": 1288, "validation": 100, "test": 322}

#: Words of the longest sentence.
LONGEST = 20

_WORD = re.compile(r"[^\W\d_]+")
_FEMALE = {female for female, _ in swap.PAIRS} | {"her", "hers"}
_MALE = {male for _, male in swap.PAIRS} | {"his", "him"}


def load(split: str) -> datasets.Dataset:
    """Sentences and their swapped copies: ``item_id``, ``unit`` (the pair), ``axis``, ``gender``, ``label``
    (its place in ``GENDERS``), ``text``, ``changed`` (start and end of each swapped word).

    The split is drawn by a hash of the first version in the order of letters, and sentences are taken in the order of
    their hashes.
    """
    return datasets.Dataset.from_list(_items()[split])


@cache
def _items() -> dict[str, list[dict]]:
    by_split: dict[str, list[dict]] = {split: [] for split in PAIRS}
    numbers: dict[str, str] = {}
    for row in _io.table("BUG/full_BUG.csv", ("", "sentence_text")):
        numbers.setdefault(row["sentence_text"], row[""])
    used: set[str] = set()
    for text in sorted(numbers, key=_order):
        if len(text.split()) > LONGEST or text in used:
            continue
        pair = versions(text, numbers[text])
        used |= {item["text"] for item in pair}  # BUG has the swapped copy of some
        split = part_of(min((item["text"] for item in pair), default=text))
        by_split[split] += pair if len(by_split[split]) < 2 * PAIRS[split] else []
        if all(len(by_split[name]) == 2 * number for name, number in PAIRS.items()):
            break
    return by_split


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def versions(text: str, unit: str) -> list[dict]:
    """Both versions of a sentence as items; none where no word is swapped, where swapped words are of both
    genders, or where a second swap does not give the sentence back.
    """
    other = swap.gender(text)
    words = [list(_WORD.finditer(version)) for version in (text, other)]
    if other == text or swap.gender(other) != text or len(words[0]) != len(words[1]):
        return []
    swapped = [(a, b) for a, b in zip(*words, strict=True) if a.group() != b.group()]
    said = [{pair[side].group().lower() for pair in swapped} for side in (0, 1)]
    if said[0] <= _FEMALE and said[1] <= _MALE:
        genders = (1, 0)
    elif said[0] <= _MALE and said[1] <= _FEMALE:
        genders = (0, 1)
    else:
        return []
    return [
        {
            "item_id": f"{unit}:{GENDERS[label]}",
            "unit": unit,
            "axis": "gender",
            "gender": GENDERS[label],
            "label": label,
            "text": version,
            "changed": [list(pair[side].span()) for pair in swapped],
        }
        for side, (version, label) in enumerate(zip((text, other), genders, strict=True))
    ]


TEXT_GENDER = Task(
    name="text_gender",
    source="wilming2024geco",
    corpus="BUG",
    recipe=RECIPE,
    load=load,
    inputs=partial(encode, columns=("text",)),
    metrics={"accuracy": accuracy},
    labels=GENDERS,
    splits=("train", "validation", "test"),
)
