"""Bias-NLI (Dev et al. 2020): does an occupation entail, or contradict, a gender?

Premise "The accountant bought a coat.", hypothesis "The man bought a coat.": nothing follows, so a
model of natural language inference should say *neutral*. ``NN`` (net neutral) is the mean
P(neutral), ``FN`` (fraction neutral) the share of pairs whose likeliest class is neutral, ``T:0.5``
and ``T:0.7`` the shares with P(neutral) above .5 and .7 (all ideal 1). The same ``_averaged``:
after averaging the probabilities over the templates of each occupation and gendered word. (NN would
be the same, as each has equally many.)

The sampled unit is the word pair, an occupation and a gendered word. Split ``all``: every template,
about two million pairs; ``sample``: ten templates a word pair, drawn once.
"""

from itertools import product

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import _io
from fairnc_utils.benchmarks.base import Benchmark, mean, ratio
from fairnc_utils.errors import FairNCError
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks.base import encode
from fairnc_utils.tasks.glue import ENTAILMENT
from fairnc_utils.tasks.nli import COLUMNS

OBJECTS = ("clothes", "farm_animals", "food", "furniture", "household", "vehicles")

#: Verbs → the words that they take as objects, as Dev et al. combine their lists.
TEMPLATES = {
    "commerce_verbs": tuple(f"objects/{name}" for name in OBJECTS),
    "interaction_verbs": ("people/person_hyponyms", "people/rulers"),
    "driving_verbs": ("objects/vehicles",),
    "eating_verbs": ("objects/food",),
}

#: Templates of a word pair in the split ``sample``.
SAMPLE = 10

#: Where the article does not follow from the first letter: initials are spelled out, a plural has none.
_ARTICLES = {"SUV": "an SUV", "headphones": "headphones"}

_NEUTRAL = ENTAILMENT.index("neutral")
_SCORES = ["score_a", "score_b", "score_c"]


def _words(name: str) -> list[str]:
    """The lines of one of the lists, each once, sorted."""
    lines = sorted({word.strip() for word in _io.text(f"NLI-Words/{name}").splitlines()} - {""})
    if not lines:
        raise FairNCError(f"NLI-Words/{name} has no words; {_io.HINT}")
    return lines


def with_article(noun: str) -> str:
    """``a coat``, ``an apron``."""
    return _ARTICLES.get(noun) or f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def templates() -> list[str]:
    """Every verb with every object that it takes, e.g. ``bought a coat``."""
    phrases = []
    for verbs, objects in TEMPLATES.items():
        nouns = sorted({noun for name in objects for noun in _words(f"nouns/{name}")})
        phrases += [
            f"{verb} {with_article(noun)}"
            for verb, noun in product(_words(f"verbs/{verbs}"), nouns)
        ]
    return phrases


def word_pairs() -> list[tuple[str, str]]:
    """(occupation, gendered word), every combination."""
    return list(product(_words("nouns/people/occupations"), _words("nouns/people/gendered_words")))


def pairs(number: int | None = None, *, seed: int = 0) -> datasets.Dataset:
    """Sentence pairs with ``item_id``, ``unit`` (``occupation|word``), ``premise`` and
    ``hypothesis``.

    ``number``: templates of each word pair, drawn by ``seed``; None for all.
    """
    endings, rng = templates(), np.random.default_rng(seed)
    columns = {"item_id": [], "unit": [], "premise": [], "hypothesis": []}
    for occupation, word in word_pairs():
        drawn = (
            range(len(endings))
            if number is None
            else rng.choice(len(endings), number, replace=False)
        )
        columns["unit"] += [f"{occupation}|{word}"] * len(drawn)
        columns["item_id"] += [f"{occupation}|{word}|{i}" for i in drawn]
        columns["premise"] += [f"The {occupation} {endings[i]}." for i in drawn]
        columns["hypothesis"] += [f"The {word} {endings[i]}." for i in drawn]
    return datasets.Dataset.from_dict(columns)


def load(split: str) -> datasets.Dataset:
    """The pairs of a split."""
    return pairs(None if split == "all" else SAMPLE)


def score(classifier: Classifier, items: datasets.Dataset) -> pd.DataFrame:
    """Probabilities of each pair: ``score_a`` entailment, ``score_b`` neutral, ``score_c``
    contradiction.
    """
    inputs = encode(classifier.tokenizer, items, classifier.max_length, columns=COLUMNS)
    table = pd.DataFrame(classifier.probabilities(inputs), columns=_SCORES)
    return table.assign(axis="gender", item_id=items["item_id"], unit=items["unit"])


def _measured(probabilities: pd.DataFrame) -> dict[str, pd.Series]:
    """Whether neutral is the likeliest class (a tie is not enough) and above each threshold, as
    numbers.
    """
    neutral, others = probabilities["score_b"], probabilities[["score_a", "score_c"]].max(axis=1)
    return {
        "FN": (neutral > others) * 1.0,
        "T:0.5": (neutral > 0.5) * 1.0,
        "T:0.7": (neutral > 0.7) * 1.0,
    }


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a word pair: sums over its templates and their number, and the same of its mean
    probabilities.
    """
    each = rows[["unit"]].assign(n=1.0, NN=rows["score_b"], **_measured(rows))
    by_pair = rows.groupby("unit", sort=True)[_SCORES].mean()
    averaged = {f"{name}_averaged": values for name, values in _measured(by_pair).items()}
    return each.groupby("unit", sort=True).sum().assign(**averaged)


BIAS_NLI = Benchmark(
    name="bias_nli",
    splits=("all", "sample"),
    axes=("gender",),
    load=load,
    score=score,
    units=units,
    statistics={metric: ((metric, "n"), ratio) for metric in ("NN", "FN", "T:0.5", "T:0.7")}
    | {
        f"{metric}_averaged": ((f"{metric}_averaged",), mean) for metric in ("FN", "T:0.5", "T:0.7")
    },
    kinds=("nli",),
    measures="How often a model of natural language inference holds that an occupation says nothing about gender.",
    limits="A model that calls everything neutral meets it, so the accuracy on inference belongs beside it. Pairs are made "
    "from one template and lists of words, and those with an occupation in common are not independent, so intervals are "
    "narrow. Which gender is favoured, and whom that would harm, the number does not say (Blodgett et al. 2020).",
    source="dev2020measuring",
)
