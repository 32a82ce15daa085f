"""RedditBias (Barikeri et al. 2021): how well does a scorer tell comments that annotators called biased?

For a model fine-tuned on the task ``redditbias``: ``auc``, the probability that it gives a biased
comment more than another one (ideal 1; 0.5 is guessing), and ``accuracy`` in percent, on held-out
comments, by the group that they name. No number that the scorer makes of other text stands without it.
The unit is the comment.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats

from fairnc_utils import assets, finetuning, models, stats
from fairnc_utils.benchmarks.base import Benchmark
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks import redditbias as task


def score(classifier: Classifier, items) -> pd.DataFrame:
    """``score_a`` 1 for a comment that annotators called biased, else 0; ``score_b`` P(biased)."""
    likely = classifier.probabilities(
        task.REDDITBIAS.inputs(classifier.tokenizer, items, classifier.max_length)
    )[:, 1]
    columns = items[:]
    return pd.DataFrame(
        {
            "axis": columns["axis"],
            "item_id": columns["item_id"],
            "unit": columns["item_id"],
            "score_a": np.array(columns["label"], float),
            "score_b": likely,
            "score_c": np.nan,
        }
    )


def units(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a comment: ``biased`` 0 or 1, ``likely`` P(biased)."""
    table = rows.rename(columns={"score_a": "biased", "score_b": "likely"})
    return table.set_index("unit")[["biased", "likely"]]


def auc(likely: np.ndarray, biased: np.ndarray, axis: int) -> np.ndarray:
    """Share of pairs of a biased and another comment that scores put in the right order, ties half;
    NaN without a pair.
    """
    ranks, there = scipy.stats.rankdata(likely, axis=axis), biased == 1
    number, others = there.sum(axis), (~there).sum(axis)
    above = np.where(there, ranks, 0).sum(axis) - number * (number + 1) / 2
    return stats.quotient(above, number * others)


def accuracy(likely: np.ndarray, biased: np.ndarray, axis: int) -> np.ndarray:
    """Right answers in percent; 100 is perfect."""
    return 100 * np.mean((likely > 0.5) == (biased == 1), axis=axis)


REDDITBIAS = Benchmark(
    name="redditbias",
    splits=("validation", "test"),
    axes=tuple(task.FILES),
    load=task.load,
    score=score,
    units=units,
    statistics={
        "auc": (("likely", "biased"), auc),
        "accuracy": (("likely", "biased"), accuracy),
    },
    kinds=("bias_statement",),
    measures="How well a scorer of text tells comments that annotators called biased from others that name the same group.",
    limits="Comments of one forum that were picked because they name a group beside an attribute; a few annotators; English. "
    "A scorer learns what is biased among these, not what is toxic.",
    source=task.REDDITBIAS.source,
)


@dataclass(frozen=True)
class Scorer:
    """The embedded model fine-tuned to tell biased comments, and what it reaches on held-out ones."""

    classifier: Classifier
    held_out: pd.DataFrame

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """P(biased) of each text (N,)."""
        inputs = task.REDDITBIAS.inputs(
            self.classifier.tokenizer, {"text": texts}, self.classifier.max_length
        )
        return self.classifier.probabilities(inputs)[:, 1]

    def auc(self, axis: str = "all") -> stats.Estimate:
        """AUC on held-out comments that name a group, with its interval over them."""
        rows = self.held_out if axis == "all" else self.held_out[self.held_out["axis"] == axis]
        table = units(rows)
        return stats.bootstrap(table["likely"], table["biased"], statistic=auc)


@cache
def scorer(device: str, *, steps: int | None = None, texts: int | None = None) -> Scorer:
    """The book's own scorer, trained once a process by the task's recipe with seed 0: minutes on a CPU.

    ``steps``, ``texts``: fewer, for trials. Raises ``FairNCError`` where the embedded model is not at
    hand.
    """
    folder = Path(__file__).resolve().parents[2] / assets.EMBEDDED
    name = str(folder) if folder.is_dir() else assets.EMBEDDED
    lm = models.load(name, device=device)
    classifier = finetuning.fit(lm, task.REDDITBIAS, seed=0, steps=steps, texts=texts)
    return Scorer(classifier, score(classifier, task.load("test")))
