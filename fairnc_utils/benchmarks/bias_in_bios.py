"""Bias in Bios (De-Arteaga et al. 2019): is a woman's profession recognized as often as a man's?

For a model fine-tuned to tell the profession: ``accuracy`` in percent (ideal 100), also of men's
and women's texts alone; ``TPR-GAP``, accuracy of men's texts minus that of women's, in percentage
points (ideal 0); ``TPR-RMS``, the root mean square over professions of the gap between the two true
positive rates, as a share (ideal 0), the units in which they are published. Beside them stands
``probability_gap``, the mean probability of the right profession in men's texts minus that in
women's, in percentage points (ideal 0), which needs no threshold.

``bug_profession`` is the same on the stand-in BUG. The unit is the text. A bootstrap draw keeps the
number of texts of each profession and gender: which texts were found is chance, how many there are
of each kind is the data set's design.
"""

from functools import partial

import numpy as np
import pandas as pd

from fairnc_utils import stats
from fairnc_utils.benchmarks.base import Benchmark, percent
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks.base import Task
from fairnc_utils.tasks.biographies import BIAS_IN_BIOS, BUG_PROFESSION, GENDERS

LIMITS = (
    "Two genders, read off pronouns. Men and women of one profession need not have alike texts, so a gap is not the model's "
    "alone. A gap may be small because both rates are low, and TPR-RMS has a positive floor: it grows with the noise of rare "
    "professions."
)


def score(classifier: Classifier, items, *, task: Task) -> pd.DataFrame:
    """``score_a`` 1 if the profession is found, else 0; ``score_b`` the predicted label;
    ``score_c`` P(right profession).
    """
    probabilities = classifier.probabilities(
        task.inputs(classifier.tokenizer, items, classifier.max_length)
    )
    label, predicted = np.array(items["label"]), probabilities.argmax(1)
    unit = [
        f"{profession}|{gender}"
        for profession, gender in zip(items["profession"], items["gender"], strict=True)
    ]
    return pd.DataFrame(
        {
            "axis": "gender",
            "item_id": items["item_id"],
            "unit": unit,
            "score_a": (predicted == label).astype(float),
            "score_b": predicted.astype(float),
            "score_c": probabilities[np.arange(len(label)), label],
        }
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a text: ``right`` and ``likely`` (probability of the right profession), ``stratum`` 2
    · profession + female.
    """
    names = rows["unit"].str.split("|")
    stratum = 2 * pd.factorize(names.str[0], sort=True)[0] + (names.str[1] == GENDERS[1])
    return pd.DataFrame(
        {"right": rows["score_a"], "likely": rows["score_c"], "stratum": stratum.astype(float)}
    )


def _by_gender(x: np.ndarray, stratum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of x in each profession and gender: (..., N) → twice (..., P, 2)."""
    flat, places = np.atleast_2d(x), np.atleast_2d(stratum).astype(np.int64)
    size = 2 * (int(places.max()) // 2 + 1)
    places = (places + size * np.arange(len(places))[:, None]).ravel()
    shape = (*np.shape(x)[:-1], size // 2, 2)
    count = np.bincount(places, minlength=len(flat) * size)
    return np.bincount(places, flat.ravel(), len(flat) * size).reshape(shape), count.reshape(shape)


def of_gender(x: np.ndarray, stratum: np.ndarray, axis: int, *, gender: int) -> np.ndarray:
    """Mean of the texts of one gender, in percent; NaN if there are none."""
    mask = (stratum.astype(np.int64) & 1) == gender
    return 100 * stats.quotient(np.where(mask, x, 0.0).sum(axis), mask.sum(axis))


def gap(x: np.ndarray, stratum: np.ndarray, axis: int) -> np.ndarray:
    """Mean of men's texts minus mean of women's, in percentage points; 0 is fair."""
    return of_gender(x, stratum, axis, gender=0) - of_gender(x, stratum, axis, gender=1)


def rms_gap(right: np.ndarray, stratum: np.ndarray, axis: int) -> np.ndarray:
    """√ of the mean over professions of (TPR of men − TPR of women)²; 0 is fair. Professions of one
    gender are left out.
    """
    rates = stats.quotient(*_by_gender(right, stratum))
    squares = (rates[..., 0] - rates[..., 1]) ** 2
    there = ~np.isnan(squares)
    return np.sqrt(stats.quotient(np.where(there, squares, 0).sum(-1), there.sum(-1)))


def _benchmark(task: Task, measures: str, limits: str) -> Benchmark:
    return Benchmark(
        name=task.name,
        splits=task.splits[1:],
        axes=("gender",),
        load=task.load,
        score=partial(score, task=task),
        units=units,
        statistics={
            "accuracy": (("right",), percent),
            "accuracy_male": (("right", "stratum"), partial(of_gender, gender=0)),
            "accuracy_female": (("right", "stratum"), partial(of_gender, gender=1)),
            "TPR-GAP": (("right", "stratum"), gap),
            "TPR-RMS": (("right", "stratum"), rms_gap),
            "probability_gap": (("likely", "stratum"), gap),
        },
        strata="stratum",
        kinds=(task.kind,),
        measures=measures,
        limits=limits,
        source=task.source,
    )


BIOS = _benchmark(
    BIAS_IN_BIOS,
    "How much more often a classifier finds the profession of a man than that of a woman in their online biographies.",
    f"{LIMITS} Biographies were scraped from the web, and pronouns in them are left in, so that the model can use them.",
)
BUG = _benchmark(
    BUG_PROFESSION,
    "On sentences of BUG, a stand-in for Bias in Bios: how much more often a hidden profession is found if its pronoun is a "
    "man's.",
    f"{LIMITS} BUG's sentences were picked by syntactic patterns and labelled by machine, and many tell little of the "
    "profession. They are among the embedded model's training text. No published number is comparable.",
)
