"""Counterfactual effect of gender on a classifier of professions: the same text, once of a woman and
once of a man.

Each text stands beside its gender-swapped copy (words and first names, see ``cooccurrence.swapped``).
The effect of a profession p is Δ_p = 100 · mean(P(p | woman's version) − P(p | man's version)) over p's
texts, in points. ``cf_slope`` is the least-squares slope of Δ_p on ℓ_p, the log-odds of a woman's text
of p in the task's training data as they came (ideal 0; points a unit of log-odds): above 0 the
classifier uses a pronoun as those data have it, below 0 the other way round. ``cf_rms`` is
√ mean_p(Δ_p² − se_p²), the size of the effects without what the noise of few texts adds (ideal 0), and
``flip_rate`` the share of texts, in percent, whose predicted profession changes with the gender (ideal
0). Of texts that differ in nothing but gender no gap of the data is left, as there is in a TPR gap.

The sampled unit is the profession. Its row keeps the men's and the women's texts apart. The split
``scrubbed`` has the test texts without any word that tells a gender, and is a control: both versions
are one text.

``bug_counterfactual`` takes classifiers of BUG's professions, ``bios_counterfactual`` those of Bias in
Bios (De-Arteaga et al. 2019). Counterfactual token fairness is of Garg et al. (2019).
"""

from collections.abc import Callable
from functools import lru_cache, partial

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import cooccurrence
from fairnc_utils.benchmarks.base import Benchmark, ratio
from fairnc_utils.benchmarks.occupations import slope
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks.base import Task
from fairnc_utils.tasks.biographies import BIAS_IN_BIOS, BUG_PROFESSION, GENDERS

#: Split of the control.
SCRUBBED = "scrubbed"

#: Texts that a profession needs for its effect to have an error.
MIN_TEXTS = 2

LIMITS = (
    "Two genders. The swap knows a list of words and first names, leaves other names, and makes an odd sentence now and then. "
    "A classifier that makes rational use of a pronoun has an effect as well: the slope tells how far gender is used, not "
    "whether it should be."
)


def load(split: str, *, task: Task) -> datasets.Dataset:
    """The task's items; of ``scrubbed`` the test items without what tells a gender."""
    if split != SCRUBBED:
        return task.load(split)
    return cooccurrence.Cooccurrence("scrub").apply(task.load("test"))


def score(classifier: Classifier, items: datasets.Dataset, *, task: Task) -> pd.DataFrame:
    """``score_a`` P(p | woman's version), ``score_b`` P(p | man's version) for a text's own profession
    p, ``score_c`` 1 if the two are labelled differently, else 0.
    """
    original, female = items["text"][:], np.array(items["gender"]) == GENDERS[1]
    versions = (original, list(map(cooccurrence.swapped, original)))
    label = np.array(items["label"])
    rows = np.arange(len(label))
    both = np.stack([_probabilities(classifier, task, items, texts) for texts in versions])
    right, predicted = both[:, rows, label], both.argmax(2)
    return pd.DataFrame(
        {
            "axis": "gender",
            "item_id": items["item_id"][:],
            "unit": [f"{p}|{g}" for p, g in zip(items["profession"], items["gender"], strict=True)],
            "score_a": np.where(female, right[0], right[1]),
            "score_b": np.where(female, right[1], right[0]),
            "score_c": (predicted[0] != predicted[1]).astype(float),
        }
    )


def _probabilities(
    classifier: Classifier, task: Task, items: datasets.Dataset, texts: list[str]
) -> np.ndarray:
    changed = cooccurrence.with_columns(items, {"text": texts})
    return classifier.probabilities(
        task.inputs(classifier.tokenizer, changed, classifier.max_length)
    )


@lru_cache(maxsize=2)
def training_log_odds(load: Callable[[str], datasets.Dataset]) -> dict[str, float]:
    """Profession → ℓ_p of a task's training data as they came; ``load``: the task's."""
    counts = cooccurrence.counts(load("train"))
    return {name: cooccurrence.log_odds(of_class) for name, of_class in counts.items()}


def units(rows: pd.DataFrame, *, task: Task) -> pd.DataFrame:
    """One row a profession of two texts or more.

    ``effect_male``, ``effect_female``: mean effect in points over its men's and its women's texts, 0
    where there is none; ``number_male``, ``number_female``: of texts; ``square``: se_p², of the mean
    over both; ``flipped``: texts that change their label; ``log_odds``: ℓ_p.
    """
    names = rows["unit"].str.split("|")
    table = pd.DataFrame(
        {
            "profession": names.str[0],
            "gender": names.str[1],
            "effect": 100 * (rows["score_a"] - rows["score_b"]),
            "flipped": rows["score_c"],
        }
    )
    of_profession = table.groupby("profession", sort=True)
    number = of_profession.size()
    kept = number.index[number >= MIN_TEXTS]
    by_gender = table.groupby(["profession", "gender"])["effect"].agg(["mean", "size"])
    by_gender = by_gender.unstack("gender").reindex(
        columns=pd.MultiIndex.from_product([["mean", "size"], GENDERS])
    )
    columns = {
        f"{shown}_{gender}": by_gender[statistic, gender].fillna(0.0)
        for statistic, shown in (("mean", "effect"), ("size", "number"))
        for gender in GENDERS
    }
    log_odds = training_log_odds(task.load)
    result = pd.DataFrame(columns).assign(
        square=of_profession["effect"].var(ddof=1) / number,
        flipped=of_profession["flipped"].sum(),
        log_odds=[log_odds.get(name, 0.0) for name in number.index],
    )
    return result.loc[kept].rename_axis("unit")


#: Columns that a profession's effect is made of.
_EFFECT = ("effect_male", "effect_female", "number_male", "number_female")


def effect(male: np.ndarray, female: np.ndarray, n: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Δ_p in points from the means over ``n`` men's and ``m`` women's texts."""
    return (n * male + m * female) / (n + m)


def cf_slope(*columns: np.ndarray, axis: int) -> np.ndarray:
    """Slope of Δ_p on ℓ_p, points a unit of log-odds; 0 is fair. Columns: ``_EFFECT``, ``log_odds``."""
    return slope(effect(*columns[:4]), columns[4], axis)


def cf_rms(*columns: np.ndarray, axis: int) -> np.ndarray:
    """√ of the mean over professions of Δ_p² − se_p², 0 where that is negative; 0 is fair."""
    squares = effect(*columns[:4]) ** 2 - columns[4]
    return np.sqrt(np.maximum(np.mean(squares, axis=axis), 0))


def flip_rate(flipped: np.ndarray, n: np.ndarray, m: np.ndarray, axis: int) -> np.ndarray:
    """Texts that change their label, in percent; 0 is fair."""
    return 100 * ratio(flipped, n + m, axis)


def _benchmark(name: str, task: Task, measures: str, limits: str = "") -> Benchmark:
    return Benchmark(
        name=name,
        splits=(*task.splits[1:-1], SCRUBBED, task.splits[-1]),
        axes=("gender",),
        load=partial(load, task=task),
        score=partial(score, task=task),
        units=partial(units, task=task),
        statistics={
            "cf_slope": ((*_EFFECT, "log_odds"), cf_slope),
            "cf_rms": ((*_EFFECT, "square"), cf_rms),
            "flip_rate": (("flipped", "number_male", "number_female"), flip_rate),
        },
        kinds=(task.kind,),
        measures=measures,
        limits=f"{LIMITS}{limits}",
        source="garg2019counterfactual",
    )


BUG_COUNTERFACTUAL = _benchmark(
    "bug_counterfactual",
    BUG_PROFESSION,
    "On sentences of BUG: what swapping the gender of a text does to the probability of its hidden profession, and whether it "
    "does so as the training data have it.",
    " BUG's sentences are among the embedded model's training text.",
)
BIOS_COUNTERFACTUAL = _benchmark(
    "bios_counterfactual",
    BIAS_IN_BIOS,
    "What swapping the gender of an online biography does to the probability of its profession.",
)
