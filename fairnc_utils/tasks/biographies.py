"""Which profession? From a biography (Bias in Bios, De-Arteaga et al. 2019), or from a sentence of
BUG as its stand-in.

``bias_in_bios`` comes from the hub. ``bug_profession`` needs no hub: sentences of BUG (Levy et al.
2021) in which the profession is hidden wherever it stands, and the pronoun that refers to it tells
the gender. It is another task on other text: its numbers are BUG's and comparable with no published
one.
"""

import hashlib
import re
from functools import lru_cache, partial

import datasets

from fairnc_utils import _io, hub
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.base import RECIPE, Input, Task, accuracy, encode

#: Professions of Bias in Bios, in the order of its labels.
BIOS_PROFESSIONS = tuple(
    """
    accountant architect attorney chiropractor comedian composer dentist dietitian dj filmmaker interior_designer journalist
    model nurse painter paralegal pastor personal_trainer photographer physician poet professor psychologist rapper
    software_engineer surgeon teacher yoga_teacher
    """.split()
)

#: Occupations of the Bias-NLI list that BUG pairs with a pronoun of each gender a hundred times or more.
BUG_PROFESSIONS = tuple(
    """
    artist author captain coach dancer director doctor driver editor engineer journalist judge lawyer manager musician nurse
    painter photographer physician president producer professor reporter scientist secretary singer teacher writer
    """.split()
)

GENDERS = ("male", "female")
_FEMALE = {"she", "her", "hers", "herself"}
_BUG_FILE = "BUG/full_BUG.csv"

#: What stands in BUG's sentences for the profession; the model reads its own mask token there.
HIDDEN = "[PROFESSION]"


def load_bios(split: str) -> datasets.Dataset:
    """Biographies without their first sentence: ``text``, ``label``, ``profession``, ``gender``,
    ``item_id``.
    """
    table = hub.dataset("LabHC/bias_in_bios", {"validation": "dev"}.get(split, split))
    if missing := [
        column
        for column in ("hard_text", "profession", "gender")
        if column not in table.column_names
    ]:
        raise FairNCError(
            f"LabHC/bias_in_bios ({split}): there is no column {missing[0]!r} among {table.column_names}"
        )
    return datasets.Dataset.from_dict(
        {
            "text": table["hard_text"][:],
            "label": table["profession"][:],
            "profession": [BIOS_PROFESSIONS[label] for label in table["profession"]],
            "gender": [GENDERS[gender] for gender in table["gender"]],
            "item_id": [str(i) for i in range(len(table))],
        }
    )


def load_bug(split: str) -> datasets.Dataset:
    """Sentences of BUG with their profession hidden, columns as in ``load_bios``; equal sentences
    are one item.

    The split is drawn by a hash of the sentence: seven tenths train, one validation, two test.
    """
    return datasets.Dataset.from_list(_bug_items()[split])


@lru_cache(maxsize=1)
def _bug_items() -> dict[str, list[dict]]:
    by_split: dict[str, dict[str, dict]] = {"train": {}, "validation": {}, "test": {}}
    for row in _io.table(_BUG_FILE, ("", "sentence_text", "profession", "g")):
        text, profession, pronoun = (
            row["sentence_text"],
            row["profession"].lower(),
            row["g"].lower(),
        )
        if profession not in BUG_PROFESSIONS:
            continue
        item = {
            "text": hide(text, profession),
            "label": BUG_PROFESSIONS.index(profession),
            "profession": profession,
            "gender": GENDERS[pronoun in _FEMALE],
            "item_id": row[""],
        }
        by_split[part_of(text)].setdefault(text.casefold(), item)
    return {split: list(items.values()) for split, items in by_split.items()}


def hide(text: str, word: str) -> str:
    """The text with ``HIDDEN`` for the word, its plural and its capitalized forms, wherever they
    stand.
    """
    return re.sub(rf"\b{re.escape(word)}s?\b", HIDDEN, text, flags=re.IGNORECASE)


def part_of(text: str) -> str:
    """The split of a sentence, whatever its capitals."""
    tenth = int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:8], "big") % 10
    return "train" if tenth < 7 else "validation" if tenth < 8 else "test"


def bug_inputs(tokenizer, items: datasets.Dataset, max_length: int) -> list[Input]:
    """Inputs with one mask token at each hidden profession, so that their number of tokens tells
    nothing.

    ``positions``: the sentence's first token and its first mask (the first token twice where the
    mask was cut off).
    """
    masked = [text.replace(HIDDEN, tokenizer.mask_token) for text in items["text"]]
    rows = encode(tokenizer, {"text": masked}, max_length, columns=("text",))
    for row in rows:
        ids = row["input_ids"]
        row["positions"] = [
            0,
            ids.index(tokenizer.mask_token_id) if tokenizer.mask_token_id in ids else 0,
        ]
    return rows


BIAS_IN_BIOS = Task(
    name="bias_in_bios",
    source="dearteaga2019bias",
    corpus="Bias in Bios",
    recipe=RECIPE,
    load=load_bios,
    inputs=partial(encode, columns=("text",)),
    metrics={"accuracy": accuracy},
    labels=BIOS_PROFESSIONS,
    splits=("train", "validation", "test"),
)

BUG_PROFESSION = Task(
    name="bug_profession",
    source="levy2021collecting",
    corpus="BUG",
    recipe=RECIPE,
    load=load_bug,
    inputs=bug_inputs,
    metrics={"accuracy": accuracy},
    labels=BUG_PROFESSIONS,
    head="mention_pair",
    splits=("train", "validation", "test"),
)
