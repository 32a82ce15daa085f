"""Runs that fine-tune: a task, and the fairness benchmarks that take what comes of it."""

from collections.abc import Iterator
from dataclasses import asdict

import datasets
import numpy as np
import pandas as pd

from fairnc_utils import (
    benchmarks,
    class_collapse,
    cooccurrence,
    corpora,
    finetuning,
    models,
    stats,
    tasks,
)
from fairnc_utils.benchmarks.occupations import slope
from fairnc_utils.cooccurrence import Cooccurrence
from fairnc_utils.finetuning import Classifier
from fairnc_utils.models import LanguageModel
from fairnc_utils.runs import checkout
from fairnc_utils.runs import curve as curves
from fairnc_utils.runs.options import FinetuneConfig, configured
from fairnc_utils.runs.rows import Run, make, metric_rows
from fairnc_utils.runs.score import requested, scored
from fairnc_utils.runs.store import stored
from fairnc_utils.runs.treatment import Treatment
from fairnc_utils.tasks.base import Task

#: Options of ``finetuning.fit`` that a configuration names alike.
FIT_OPTIONS = {
    "seed",
    "steps",
    "epochs",
    "batch_size",
    "lr",
    "texts",
    "evaluation_texts",
    "log_every",
    "evaluate_every",
    "precision",
    "kept",
    "frozen",
}


@stored
def finetune(**options) -> Run:
    """Fine-tune a copy of a model on a task: its metrics on the held-out splits, then the fairness
    benchmarks of that kind.

    Options: see ``FinetuneConfig``. Where the training texts' co-occurrence is changed, the column
    ``method`` says so behind a plus, and rows of benchmark ``cooccurrence`` say what it did; with
    ``collapse``, rows of ``class_collapse`` and of the benchmarks on split ``train`` are of the texts
    that were trained on. Items: the task's (``score_a`` label, ``score_b`` prediction,
    ``score_c`` probability of the label), those of each benchmark, and the learning curve as
    benchmark ``training``. Raises ``FairNCError`` on a bad option, a benchmark that does not take
    this kind of model, data that are missing.
    """
    config = configured(FinetuneConfig, options)
    task = tasks.get(config.task)
    asked = [requested(name, task.kind) for name in config.benchmarks]
    before = [requested(name, "masked") for name in config.before]
    change = Cooccurrence(**config.cooccurrence.model_dump()) if config.cooccurrence else None
    training = _training_items(config, task, change)
    treatment = Treatment.of(config.debiasing, model=config.model) if config.debiasing else None
    lm = models.load(checkout.located(config.model), device=config.device)
    evidence = {"model": lm.fingerprint}
    if treatment:
        evidence |= {"debiasing": treatment.evidence}
        lm = _debiased(config, treatment, lm)
    classifier = finetuning.fit(lm, task, items=training, **config.model_dump(include=FIT_OPTIONS))
    parts = [
        scored(each, each.run(lm, split=split, axis=axis), split=split, axis=axis)
        for each, split, axis in before
    ]
    parts += _evaluated(classifier, task, number=config.evaluation_texts)
    for benchmark, split, axis in asked:
        sample = finetuning.sample_units(benchmark.items(split, axis), config.items)
        items = benchmark.score(classifier, sample)
        parts.append(scored(benchmark, items, split=split, axis=axis, corpus=task.corpus))
    if change:
        parts.append((_changed(task, training, config), pd.DataFrame()))
    if config.collapse:
        parts += _on_training_texts(classifier, task, training, config)
    rows = [_columns(config, treatment, change) | row for of_part, _ in parts for row in of_part]
    tables = [table for _, table in parts if len(table)]
    evidence |= {
        "text": classifier.text,
        "recipe": asdict(task.recipe),
        "items": [corpora.fingerprint(table["item_id"]) for table in tables],
    }
    tables.append(curves.items({}, classifier.curve).assign(axis=""))
    return make(config, rows, pd.concat(tables), device=lm.device, evidence=evidence)


def _columns(
    config: FinetuneConfig, treatment: Treatment | None, change: Cooccurrence | None
) -> dict:
    """What result rows call the run: how the model was treated, and behind a plus what was done to the
    training texts, ``bec+swap@0``.
    """
    columns = {"method": config.method, "regularizer": config.regularizer}
    columns = treatment.columns if treatment else columns
    return columns | {"method": f"{columns['method']}+{change}"} if change else columns


# --------------------------------------------------------------------------------------- training texts


def _training_items(
    config: FinetuneConfig, task: Task, change: Cooccurrence | None
) -> datasets.Dataset | None:
    """What is trained on, where a run says something of it. Raises ``FairNCError`` for a task whose
    items do not say of whom a text is.
    """
    if not (change or config.collapse):
        return None  # ``finetuning.fit`` draws them
    items = finetuning.training_items(task, config.texts, change, seed=config.seed)
    cooccurrence.require(items)
    return items


def _changed(task: Task, training: datasets.Dataset, config: FinetuneConfig) -> list[dict]:
    """Rows of benchmark ``cooccurrence``: ``changed_pct``, texts that are others than they were;
    ``log_odds_slope``, the slope over professions of their log-odds after on those before; and
    ``bayes_slope``, the slope on the latter of the effects that Bayes' rule reads off gender and
    profession alone, in points.
    """
    came = finetuning.training_items(task, config.texts, None, seed=config.seed)
    pairs = list(zip(came["text"], training["text"], strict=True))
    before, after = cooccurrence.counts(came), cooccurrence.counts(training)
    odds = [
        np.array([cooccurrence.log_odds(each[name]) for name in before]) for each in (before, after)
    ]
    effects = cooccurrence.bayes_effects(after)
    values = {
        "changed_pct": 100 * float(np.mean([first != second for first, second in pairs])),
        "log_odds_slope": float(slope(odds[1], odds[0], axis=-1)),
        "bayes_slope": float(slope(np.array([effects[name] for name in before]), odds[0], axis=-1)),
    }
    common = {"benchmark": "cooccurrence", "split": "train", "axis": "gender"}
    common |= {"corpus": task.corpus, "variant": "corrected", "n": len(training)}
    return [common | {"metric": metric, "value": value} for metric, value in values.items()]


def _on_training_texts(
    classifier: Classifier, task: Task, training: datasets.Dataset, config: FinetuneConfig
) -> Iterator[tuple[list[dict], pd.DataFrame]]:
    """Collapse of the classes on training and test texts, and on the training texts, as they were
    trained on, each benchmark of the run that takes the task's items.
    """
    test = finetuning.sample(task.items("test"), config.items)
    for split, estimates in class_collapse.measured(classifier, task, training, test).items():
        common = {"benchmark": "class_collapse", "split": split, "axis": "gender"}
        common |= {"min_count": class_collapse.MIN_COUNT, "corpus": task.corpus}
        yield metric_rows(estimates, variant="corrected", **common), pd.DataFrame()
    names = dict.fromkeys(name.partition(":")[0] for name in config.benchmarks)
    for benchmark in map(benchmarks.get, names):
        items = benchmark.score(classifier, training)
        yield scored(benchmark, items, split="train", axis="all", corpus=task.corpus)


def _evaluated(
    classifier: Classifier, task: Task, *, number: int | None
) -> Iterator[tuple[list[dict], pd.DataFrame]]:
    """Result rows and items of each split but ``train``: every metric with its bootstrap interval
    over the task's items, and ``majority_accuracy``, what the accuracy has to beat.

    ``number``: items of each split, None for all. Items: ``score_a`` label, ``score_b`` prediction,
    ``score_c`` probability of the label (none in a regression).
    """
    for split in task.splits[1:]:
        items = finetuning.evaluate(classifier, task, split, number=number)
        label, predicted = items["score_a"].to_numpy(), items["score_b"].to_numpy()
        estimates = {
            name: stats.bootstrap(predicted, label, statistic=metric)
            for name, metric in task.metrics.items()
        }
        if task.labels:
            estimates["majority_accuracy"] = finetuning.majority_accuracy(label)
        common = {"benchmark": task.name, "split": split}
        rows = metric_rows(estimates, corpus=task.corpus, variant="corrected", **common)
        yield rows, items.assign(**common)


_DEBIASED: dict[str, LanguageModel] = {}


def _debiased(config: FinetuneConfig, treatment: Treatment, lm: LanguageModel) -> LanguageModel:
    """The model after its debiasing; the last one is kept, because a model is fine-tuned for one
    task after another.
    """
    key = str([lm.fingerprint, str(lm.device), config.seed, config.debiasing])
    if key not in _DEBIASED:
        _DEBIASED.clear()
        treatment.apply(lm, seed=config.seed)
        _DEBIASED[key] = models.wrap(lm.model, lm.tokenizer, name=lm.name)
    return _DEBIASED[key]
