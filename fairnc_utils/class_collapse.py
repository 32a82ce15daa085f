"""Neural collapse of a fine-tuned classifier, and the part that gender has in what is not collapsed.

A class is a label of the task, its samples are texts, the feature h is what the last linear layer
multiplies. The spread v_p within a class has a part between its two genders,

    g_p = (n_f n_m / n²) · ‖μ_pf − μ_pm‖²,

and the rest within them, so g_p ≤ v_p. ``gender_eta2`` is the mean over classes of g_p / v_p,
``gender_nc`` the mean over pairs of classes of (g_p + g_q) / (2‖μ_p − μ_q‖²), which is NC1 with that part
alone. Hence ``gender_nc`` ≤ NC1: where NC1 goes to 0 on the training texts, ``gender_nc`` does, and the
true positive rates of both genders become equal there. Texts that were not trained on are not bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import torch
from torch import Tensor

from fairnc_utils import collapse, stats
from fairnc_utils.collapse import ClassStatistics
from fairnc_utils.errors import FairNCError
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks.base import Task
from fairnc_utils.tasks.biographies import GENDERS

#: Texts that a class needs, as words do.
MIN_COUNT = 10


@dataclass(frozen=True)
class Features:
    """Texts before the classifier: ``features`` (N, D), ``labels`` (N,), ``female`` (N,) 0 or 1."""

    features: Tensor
    labels: Tensor
    female: Tensor


def features_of(classifier: Classifier, task: Task, items: datasets.Dataset) -> Features:
    """Features of a task's items, which have the columns ``label`` and ``gender``."""
    inputs = task.inputs(classifier.tokenizer, items, classifier.max_length)
    return Features(
        torch.from_numpy(classifier.features(inputs)),
        torch.tensor(items["label"][:]),
        torch.tensor([gender == GENDERS[1] for gender in items["gender"]]).long(),
    )


def statistics(texts: Features, classes: int) -> tuple[ClassStatistics, ClassStatistics]:
    """Statistics of the classes, and of their men's and women's texts apart, at 2p and 2p + 1."""
    by_class, by_gender = (
        ClassStatistics(number, texts.features.shape[1]) for number in (classes, 2 * classes)
    )
    by_class.update(texts.features, texts.labels)
    by_gender.update(texts.features, 2 * texts.labels + texts.female)
    return by_class, by_gender


def gender_parts(by_gender: ClassStatistics, used: Tensor) -> Tensor:
    """g_p of the ``used`` classes, (K,): the spread between the genders; 0 where a class has one."""
    male, female = (by_gender.counts[2 * used + gender].double() for gender in (0, 1))
    means = [
        by_gender.sums[2 * used + gender] / number.clamp_min(1)[:, None]
        for gender, number in ((0, male), (1, female))
    ]
    share = male * female / (male + female).square()
    return share * (means[1] - means[0]).square().sum(1)


def measure(
    texts: Features, weight: Tensor, *, min_count: int = MIN_COUNT
) -> dict[str, stats.Estimate]:
    """Metric → value, with a jackknife interval over classes where there is one.

    ``weight`` (P, D): the classifier's rows. ``nc1``, ``nc3``: as of words (ideal 0; high);
    ``gender_nc``, ``gender_eta2``: see above (ideal 0); ``gender_eta2_chance``: what the latter would
    be if the gender were drawn by lot, the mean of 1 / (n_p − 1), its floor. Classes of fewer than
    ``min_count`` texts are left out; those with texts of one gender count in ``gender_nc`` alone.
    Raises ``FairNCError`` where fewer than two classes are left.
    """
    by_class, by_gender = statistics(texts, len(weight))
    whole = collapse.measure(by_class, weight, min_count=min_count)
    used = whole.classes
    part, spread = gender_parts(by_gender, used), by_class.variances(used)
    both = (by_gender.counts[2 * used] > 0) & (by_gender.counts[2 * used + 1] > 0)
    if not both.any():
        raise FairNCError("collapse of classes: none has texts of both genders; give more texts")
    ratios, counts = (part / spread)[both], by_class.counts[used][both].double()
    means = by_class.means(used)
    return {name: whole.estimates[name] for name in ("nc1", "nc3")} | {
        "gender_nc": _jackknifed(lambda kept: pair_mean(part[kept], means[kept]), len(used)),
        "gender_eta2": _jackknifed(lambda kept: ratios[kept].mean(), len(ratios)),
        "gender_eta2_chance": _plain((1 / (counts - 1)).mean(), len(counts)),
    }


def pair_mean(spread: Tensor, means: Tensor) -> Tensor:
    """Mean over pairs of (v_p + v_q) / (2‖μ_p − μ_q‖²): (K,), (K, D) → 0-d."""
    first, second = torch.triu_indices(len(means), len(means), 1)
    distance = (means[first] - means[second]).square().sum(1)
    return ((spread[first] + spread[second]) / (2 * distance)).mean()


def agreement(train: Features, test: Features, weight: Tensor, bias: Tensor) -> stats.Estimate:
    """NC4: share of ``test`` texts where the classifier and the nearest class mean of the ``train``
    texts agree; ideal 1.
    """
    by_class, _ = statistics(train, len(weight))
    share = collapse.nearest_class_agreement(
        [(test.features, test.labels)], by_class, weight, bias=bias, min_count=MIN_COUNT
    )
    return _plain(share, len(test.labels))


def measured(
    classifier: Classifier, task: Task, train: datasets.Dataset, test: datasets.Dataset
) -> dict[str, dict[str, stats.Estimate]]:
    """Split → metrics of the texts that were trained on, and of others; ``nc4`` is of the others."""
    layer = classifier.last_layer
    weight = layer.weight.detach().double().cpu()
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().cpu()
    seen, unseen = (features_of(classifier, task, items) for items in (train, test))
    return {
        "train": measure(seen, weight),
        "test": measure(unseen, weight) | {"nc4": agreement(seen, unseen, weight, bias)},
    }


def _jackknifed(statistic, number: int) -> stats.Estimate:
    every = np.arange(number)
    without: Sequence[float] = [float(statistic(np.delete(every, i))) for i in every]
    return stats.jackknife(float(statistic(every)), without if number > 2 else [], number)


def _plain(value: Tensor, number: int) -> stats.Estimate:
    return stats.Estimate(float(value), float("nan"), float("nan"), number)
