"""The pairs that swap collapse is trained on: sentences of GAP development, and of BUG where that
is wanted.

BUG's gold part, which swap collapse is measured on, is in no pair. By default sentences that name
one of the 60 occupations of the occupation slope are left out: where nothing else tells the gender,
the even part of such a sentence is the log-odds that the slope itself is made of, and a treatment
would train on its test.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from fairnc_utils import _io, corpora, first_names
from fairnc_utils.debias.base import gap_sentences
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.swap_collapse import FORMS, PAIRS, SwapCollapse

TEXTS = ("gap", "gap+bug")

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class SwapOptions:
    """How swap collapse is trained.

    ``form`` and ``pairs``: see ``SwapCollapse``; ``texts``: ``gap`` (development) or ``gap+bug``;
    ``occupations``: whether sentences that name one of the 60 occupations take part; ``names``:
    first names are swapped too, see ``first_names.paired``.
    """

    form: str = "margin"
    pairs: str = "all"
    texts: str = "gap"
    occupations: bool = False
    names: bool = False

    def __post_init__(self):
        choices = {"form": FORMS, "pairs": PAIRS, "texts": TEXTS}
        choices |= dict.fromkeys(("occupations", "names"), (True, False))
        for name, valid in choices.items():
            value = getattr(self, name)
            if type(value) is not type(valid[0]) or value not in valid:
                shown = ", ".join(map(str, valid)).lower()
                raise FairNCError(f"swap collapse option {name} = {value!r}: choose {shown}")


def regularizer(
    lm: LanguageModel, options: SwapOptions, *, weight: float, seed: int = 0
) -> SwapCollapse:
    """Swap collapse on a model, its pairs drawn by ``seed``."""
    return SwapCollapse(
        lm.model,
        lm.tokenizer,
        sentences(options.texts, occupations=options.occupations),
        weight=weight,
        form=options.form,
        pairs=options.pairs,
        names=first_names.paired() if options.names else (),
        seed=seed,
    )


def sentences(texts: str, *, occupations: bool) -> list[str]:
    """Each sentence once; ``occupations``: with those that name one of the 60."""
    kept = gap_sentences()
    if texts == "gap+bug":
        gold = {
            row["sentence_text"].strip()
            for row in _io.table("BUG/gold_BUG.csv", ("sentence_text",))
        }
        kept += [text for text in corpora.load("bug")["text"][:] if text.strip() not in gold]
    kept = list(dict.fromkeys(kept))
    return kept if occupations else [text for text in kept if not _named(text)]


def times_named(texts: Iterable[str]) -> Counter[str]:
    """Occupation → texts that name it, in the singular or the plural."""
    return Counter(name for text in texts for name in _named(text))


def _named(text: str) -> set[str]:
    """Those of the 60 occupations, each one word, that a text names."""
    of = _forms()
    return {of[word] for word in _WORD.findall(text.lower()) if word in of}


@cache
def _forms() -> dict[str, str]:
    """Singular and plural → occupation."""
    names = slope_occupations()
    plurals = {f"{name[:-1]}ies" if name.endswith("y") else f"{name}s": name for name in names}
    return {name: name for name in names} | plurals


def slope_occupations() -> list[str]:
    """The 60 occupations of the occupation slope (Winogender's)."""
    rows = _io.table("Winogender/occupations-stats.tsv", ("occupation",), delimiter="\t")
    return [row["occupation"] for row in rows]
