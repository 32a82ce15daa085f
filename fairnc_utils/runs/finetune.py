"""Runs that fine-tune: a task, and the fairness benchmarks that take what comes of it."""

from dataclasses import asdict

import pandas as pd

from fairnc_utils import corpora, finetuning, models, stats, tasks
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
}


@stored
def finetune(**options) -> Run:
    """Fine-tune a copy of a model on a task: its metrics on the held-out splits, then the fairness
    benchmarks of that kind.

    Options: see ``FinetuneConfig``. Items: the task's (``score_a`` label, ``score_b`` prediction,
    ``score_c`` probability of the label), those of each benchmark, and the learning curve as
    benchmark ``training``. Raises ``FairNCError`` on a bad option, a benchmark that does not take
    this kind of model, data that are missing.
    """
    config = configured(FinetuneConfig, options)
    task = tasks.get(config.task)
    asked = [requested(name, task.kind) for name in config.benchmarks]
    treatment = Treatment.of(config.debiasing, model=config.model) if config.debiasing else None
    lm = models.load(checkout.located(config.model), device=config.device)
    evidence = {"model": lm.fingerprint}
    if treatment:
        evidence |= {"debiasing": treatment.evidence}
        lm = _debiased(config, treatment, lm)
    classifier = finetuning.fit(lm, task, **config.model_dump(include=FIT_OPTIONS))
    columns = {"method": config.method, "regularizer": config.regularizer}
    columns = treatment.columns if treatment else columns
    rows, tables = _evaluated(classifier, task, number=config.evaluation_texts)
    for benchmark, split, axis in asked:
        sample = finetuning.sample_units(benchmark.items(split, axis), config.items)
        items = benchmark.score(classifier, sample)
        measured, items = scored(benchmark, items, split=split, axis=axis, corpus=task.corpus)
        rows, tables = rows + measured, [*tables, items]
    evidence |= {
        "text": classifier.text,
        "recipe": asdict(task.recipe),
        "items": [corpora.fingerprint(table["item_id"]) for table in tables],
    }
    tables.append(curves.items({}, classifier.curve).assign(axis=""))
    rows = [columns | row for row in rows]
    return make(config, rows, pd.concat(tables), device=lm.device, evidence=evidence)


def _evaluated(
    classifier: Classifier, task: Task, *, number: int | None
) -> tuple[list[dict], list[pd.DataFrame]]:
    """Result rows and items of each split but ``train``: every metric with its bootstrap interval
    over the task's items, and ``majority_accuracy``, what the accuracy has to beat.

    ``number``: items of each split, None for all. Items: ``score_a`` label, ``score_b`` prediction,
    ``score_c`` probability of the label (none in a regression).
    """
    rows, tables = [], []
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
        rows += metric_rows(estimates, corpus=task.corpus, variant="corrected", **common)
        tables.append(items.assign(**common))
    return rows, tables


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
