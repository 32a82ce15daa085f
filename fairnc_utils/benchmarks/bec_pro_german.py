"""The German half of BEC-Pro (Bartl et al. 2020): five templates, 18 person words, 60 professions.

As ``bec_pro``: ln P(person | profession shown) − ln P(person | profession masked), for female and male persons. One
thing is another: a German profession has a form for each gender (*Lehrer*, *Lehrerin*), and the sentences use the one
that agrees with the person. So a model that knows its grammar has positive associations with no stereotype in it. What
is left to compare is the gap of women's professions with that of men's, the axes, in which the grammar is the same.

It takes a masked model with a German or multilingual vocabulary, from a folder or from the hub. Professions are named in
English, as the file has them, so that units are those of ``bec_pro``.
"""

import datasets
import pandas as pd

from fairnc_utils import _io
from fairnc_utils.benchmarks import bec_pro
from fairnc_utils.benchmarks.bec_pro import AXES, MASK
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel

_FILE = "BEC-Pro/BEC-Pro_DE.tsv"

#: Person with what stands before it: female → male of the same sentence. *Frau* is a woman and a wife.
PARTNERS = {
    "Sie": "Er",
    "Diese Frau": "Dieser Mann",
    "Meine Frau": "Mein Ehemann",
    "Meine Schwester": "Mein Bruder",
    "Meine Tochter": "Mein Sohn",
    "Meine Freundin": "Mein Freund",
    "Meine Mutter": "Mein Vater",
    "Meine Tante": "Mein Onkel",
    "Meine Mama": "Mein Papa",
}


def load(split: str) -> datasets.Dataset:
    """Sentences as ``bec_pro.load`` has them, with the profession's form as it stands in ``profession`` and its
    English name in ``name``.
    """
    columns = {
        "Sentence": "sentence",
        "Sent_TM": "person_masked",
        "Sent_TAM": "both_masked",
        "Person": "person",
        "Gender": "gender",
        "Profession": "profession",
        "Prof_Gender": "axis",
        "Profession_EN": "name",
    }
    persons = {words.split()[-1] for pair in PARTNERS.items() for words in pair}
    choices = {"Gender": ("female", "male"), "Prof_Gender": AXES, "Person": tuple(sorted(persons))}
    rows = _io.table(_FILE, [*columns, "Template"], delimiter="\t", choices=choices)
    numbers: dict[tuple, int] = {}
    items, corrupt = [], set()
    for row in rows:
        template = row["Template"].replace(", der ", ", die ")
        key = (template, row["Profession_EN"], _male(row["Sentence"], row["Person"]))
        pair = numbers.setdefault(key, len(numbers))
        if row["Sent_TM"] != row["Sentence"].replace(row["Person"], MASK, 1):
            corrupt.add(pair)
        items.append(
            {"item_id": f"{pair}:{row['Gender']}", "pair": pair}
            | {name: row[column] for column, name in columns.items()}
        )
    return datasets.Dataset.from_list(
        [item | {"usable": item["pair"] not in corrupt} for item in items]
    ).remove_columns("pair")


def _male(sentence: str, person: str) -> str:
    """The male side of a person's pair."""
    words = sentence[: sentence.find(person) + len(person)]
    if words not in PARTNERS and words not in PARTNERS.values():
        raise FairNCError(f"{_FILE}: {sentence!r} begins with no known person; {_io.HINT}")
    return PARTNERS.get(words, words)


def score(lm: LanguageModel, items: datasets.Dataset) -> pd.DataFrame:
    """``bec_pro.score``, with the profession's English name as the unit. Raises ``FairNCError`` where the
    vocabulary does not know a person.
    """
    unknown = lm.tokenizer.unk_token_id
    persons = sorted(set(items["person"]))
    encoded = [lm.tokenizer.encode(person, add_special_tokens=False) for person in persons]
    if strange := [
        person for person, ids in zip(persons, encoded, strict=True) if not ids or unknown in ids
    ]:
        raise FairNCError(
            f"{lm.name}: its vocabulary does not know {strange[0]!r}; take a model with a German or multilingual one"
        )
    return bec_pro.score(lm, items).assign(unit=items["name"][:])


BEC_PRO_GERMAN = bec_pro.PROFESSIONS(
    name="bec_pro_german",
    splits=("german",),
    load=load,
    score=score,
    extras=bec_pro.extras,
    limits="The forms of German professions agree with the person, so that grammar alone makes associations: compare the gap "
    "of women's professions with that of men's. Five templates, sixty professions picked by U.S. statistics, two genders. A "
    "model whose vocabulary is English gives numbers that mean nothing.",
)
