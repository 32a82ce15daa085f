"""Co-occurrence of gender and class in the training texts of a task, changed by a dose.

For a class p with n texts, n_f of them of women, ℓ = ln((n_f + ½) / (n_m + ½)) is the log-odds that a
text of p is of a woman. At dose α the share of women's texts is aimed at σ(α·ℓ): 1 leaves it as it
is, 0 balances every class, −1 inverts it, 2 amplifies it. How the texts get there:

- ``swap``: texts of the gender that is too many are replaced by their gender-swapped copies. Every
  text stays, only its gender moves. Which ones is decided by an order that the seed and the class
  draw, so that a further dose changes all texts that a nearer one does, and some more.
- ``placebo``: as many texts are swapped as ``swap`` would, half of either gender: no share moves. What
  the edit itself does. Where a class has too few texts of a gender for its half, all of them are
  swapped, and as many of the other.
- ``resample``: the same share by drawing texts with replacement; no text is edited.
- ``scrub``: every word that tells a gender is taken out; the dose has no say.

The names that are swapped or taken out are those of the people of GAP development. Sources: the dose
is this book's; swapping is that of Zmigrod et al. (2019), scrubbing that of De-Arteaga et al. (2019),
and re-balancing before fine-tuning that of Steed et al. (2022).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import datasets
import numpy as np
from scipy.special import expit

from fairnc_utils import first_names, swap
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.biographies import GENDERS, HIDDEN

#: Ways to change the texts.
HOWS = ("swap", "placebo", "resample", "scrub")

#: Columns that a task's items need.
COLUMNS = ("text", "profession", "gender")

#: Stands for a hidden profession while the swap looks at a text: a plain noun, before which *her* is a
#: determiner.
_NOUN = "hiddenprofession"


@dataclass(frozen=True)
class Cooccurrence:
    """``how``: one of ``HOWS``; ``alpha``: the dose, 1 as is."""

    how: str = "swap"
    alpha: float = 1.0

    def __post_init__(self):
        if self.how not in HOWS:
            raise FairNCError(f"option how = {self.how!r}: choose {', '.join(HOWS)}")
        if not np.isfinite(self.alpha):
            raise FairNCError(
                f"option alpha = {self.alpha}: give a number; 1 leaves texts as they are"
            )

    def __str__(self) -> str:
        """What rows call it: ``swap@0.9``, ``scrub``."""
        return self.how if self.how == "scrub" else f"{self.how}@{self.alpha:g}"

    def apply(self, items: datasets.Dataset, *, seed: int = 0) -> datasets.Dataset:
        """The items, as many, in their order and with their labels, after the change.

        ``items`` have the columns ``COLUMNS``. Raises ``FairNCError`` where one is missing, and where
        texts of a gender are to be drawn that has none.
        """
        require(items)
        if self.how == "scrub":
            return with_columns(items, {"text": list(map(scrubbed, items["text"][:]))})
        professions, genders = items["profession"][:], np.array(items["gender"][:])
        if self.how == "resample":
            return items.select(self._redrawn(professions, genders, seed))
        text = items["text"][:]
        for place in list(self._swapped(professions, genders, seed)):
            text[place], genders[place] = swapped(text[place]), other(genders[place])
        return with_columns(items, {"text": text, "gender": genders.tolist()})

    def shift(self, counts: tuple[int, int]) -> int:
        """By how many women's texts a class of (men's, women's) texts is short of its target."""
        total = sum(counts)
        return round(total * float(expit(self.alpha * log_odds(counts)))) - counts[1]

    def _swapped(self, professions: Sequence[str], genders: np.ndarray, seed: int) -> Iterator[int]:
        """Places of the texts to be swapped."""
        for places in _by_class(professions, genders, seed):
            sizes = len(places[0]), len(places[1])
            number = self.shift(sizes)
            if self.how == "placebo":
                half = min(abs(number) // 2, *sizes)
                yield from (*places[0][:half], *places[1][:half])
            else:
                yield from places[0 if number > 0 else 1][: abs(number)]

    def _redrawn(self, professions: Sequence[str], genders: np.ndarray, seed: int) -> np.ndarray:
        """For each place, that of the text which takes it."""
        taken = np.arange(len(genders))
        for number, places in enumerate(_by_class(professions, genders, seed)):
            sizes = len(places[0]), len(places[1])
            if not (short := self.shift(sizes)):
                continue
            wanted = sizes[0] - short, sizes[1] + short
            rng, drawn = np.random.default_rng([seed, number]), []
            for of_gender, size in zip(places, wanted, strict=True):
                if size and not len(of_gender):
                    raise FairNCError(
                        f"resample: a class of {sum(sizes)} texts has none of one gender to draw: "
                        "take more texts, or swap"
                    )
                drawn.append(rng.choice(of_gender, size) if size else of_gender[:0])
            taken[np.sort(np.concatenate(places))] = np.concatenate(drawn)
        return taken


def require(items: datasets.Dataset) -> None:
    """Raise ``FairNCError`` for items of a task that does not say of whom a text is, and for none."""
    if not items.column_names:
        raise FairNCError(
            "co-occurrence needs items, and there is none: take the whole file of the data"
        )
    if missing := [column for column in COLUMNS if column not in items.column_names]:
        raise FairNCError(
            f"co-occurrence needs items with {', '.join(COLUMNS)}; these have no {missing[0]}: "
            "choose a task such as bug_profession or bias_in_bios"
        )


def _by_class(
    professions: Sequence[str], genders: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of the men's and of the women's texts of each class, in the order that the seed and the
    class draw.
    """
    professions = np.array(professions)
    for number, profession in enumerate(np.unique(professions)):
        rng = np.random.default_rng([seed, number])
        places = rng.permutation(np.flatnonzero(professions == profession))
        female = genders[places] == GENDERS[1]
        yield places[~female], places[female]


def with_columns(items: datasets.Dataset, columns: dict[str, list]) -> datasets.Dataset:
    """The items with these columns instead of, or beside, their own."""
    return datasets.Dataset.from_dict(
        {name: items[name][:] for name in items.column_names} | columns
    )


# ------------------------------------------------------------------------------- texts and genders


def other(gender: str) -> str:
    """The other of the two genders."""
    return GENDERS[gender == GENDERS[0]]


def swapped(text: str) -> str:
    """The text with the gender of its words and first names exchanged; a hidden profession stays."""
    return swap.gender(text.replace(HIDDEN, _NOUN), names=first_names.paired()).replace(
        _NOUN, HIDDEN
    )


def scrubbed(text: str) -> str:
    """The text without the words and first names that tell a gender."""
    return swap.scrubbed(text.replace(HIDDEN, _NOUN), names=first_names.paired()).replace(
        _NOUN, HIDDEN
    )


# ----------------------------------------------------------------------------------------- numbers


def counts(items: datasets.Dataset) -> dict[str, tuple[int, int]]:
    """Profession → numbers of men's and of women's texts, professions in alphabetical order. Raises
    ``FairNCError`` where a column is missing.
    """
    require(items)
    numbers = Counter(zip(items["profession"][:], items["gender"][:], strict=True))
    names = sorted({profession for profession, _ in numbers})
    return {name: (numbers[name, GENDERS[0]], numbers[name, GENDERS[1]]) for name in names}


def log_odds(of_class: Iterable[int]) -> float:
    """ln((n_f + ½) / (n_m + ½)) of (men's, women's) texts; 0 where both are equally many."""
    male, female = of_class
    return float(np.log((female + 0.5) / (male + 0.5)))


def bayes_effects(of_classes: dict[str, tuple[int, int]]) -> dict[str, float]:
    """Profession → 100 · (P(p | woman) − P(p | man)) by Bayes' rule from counts alone.

    What a reader who sees nothing but the gender would rightly believe: the reference for how much a
    classifier makes of a pronoun. In points; 0 where the genders are spread alike over classes.
    """
    table = np.array(list(of_classes.values()), float)
    shares = table / np.maximum(table.sum(0), 1)
    return dict(zip(of_classes, (100 * (shares[:, 1] - shares[:, 0])).tolist(), strict=True))
