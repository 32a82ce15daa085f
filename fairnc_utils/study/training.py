"""Runs that train: a debiasing method, a task."""

from dataclasses import asdict

import pandas as pd

from fairnc_utils import corpora, finetuning, models, records, tasks, training
from fairnc_utils.debias import get as get_method
from fairnc_utils.debias import run as debiasing
from fairnc_utils.errors import FairNCError
from fairnc_utils.options import FinetuneConfig, TrainConfig, configured
from fairnc_utils.records import Run
from fairnc_utils.study.scoring import requested, scored

#: Precision as a configuration names it → as accelerate does.
PRECISIONS = {"fp32": "no", "bf16": "bf16"}


def train(**options) -> Run:
    """One debiasing run: collapse of gender words and masked perplexity before and after, items with the learning curve.

    Options: see ``TrainConfig``. Rows of the untrained model have the method ``base``. Collapse and perplexity are measured on
    GAP validation, benchmarks after training alone. Raises ``FairNCError`` on a bad option, a method that cannot take NC3, a
    loss that is not finite.
    """
    config = configured(TrainConfig, options)
    method = get_method(config.method)
    nc3, lam, label = debiasing.nc3_options(method, config.regularizer, config.lam)
    if config.output and method.without_folder:
        raise FairNCError(f"option output: a model of {method.name} cannot be saved: {method.without_folder}; leave it out")
    usual = "released" if config.regularizer == "as_released" else "gender"
    nc3_words = config.nc3_words or usual
    label += f",words={nc3_words}" if nc3 and nc3_words != usual else ""
    lm = models.load(config.model, device=config.device)
    asked = [requested(name, lm.kind) for name in config.benchmarks]
    recorded = config.model_dump(mode="json", exclude={"checkpoint", "output"})
    evidence = {"model": lm.fingerprint, "text": method.corpus, "recipe": asdict(method.recipe)}
    checkpoints = config.checkpoint and training.Checkpoints(
        config.checkpoint / "checkpoint.pt", config.checkpoint_every, str([recorded, evidence])
    )
    evaluate = debiasing.evaluation(lm, texts=config.evaluation_texts, min_count=config.min_count)
    before = evaluate()
    curve = debiasing.train(
        lm, method, nc3=nc3, lam=lam, steps=config.steps, epochs=config.epochs, batch_size=config.batch_size,
        texts=config.texts, seed=config.seed, nc3_words=nc3_words,
        precision=PRECISIONS[config.precision],
        log_every=config.log_every, evaluate=evaluate, evaluate_every=config.evaluate_every, checkpoints=checkpoints,
    )  # fmt: skip
    if config.output:
        debiasing.save(lm, config.output)
    trained = {"method": method.name, "regularizer": label, "lam": lam}
    rows = debiasing.result_rows(before, curve, {"space": "head", "min_count": config.min_count}, trained)
    tables = [debiasing.curve_items(before, curve)]
    for benchmark, split, axis in asked:
        own, items = scored(benchmark, benchmark.run(lm, split=split, axis=axis), split=split, axis=axis, **trained)
        rows, tables = rows + own, [*tables, items]
    return records.make(recorded, rows, pd.concat(tables), device=lm.device, evidence=evidence)


def finetune(**options) -> Run:
    """Fine-tune a copy of a model on a task: its metrics on the held-out splits, then the fairness benchmarks of that kind.

    Options: see ``FinetuneConfig``. Items: the task's (``score_a`` label, ``score_b`` prediction, ``score_c`` probability of
    the label), those of each benchmark, and the learning curve as benchmark ``training``. Raises ``FairNCError`` on a bad
    option, a benchmark that does not take this kind of model, data that are missing.
    """
    config = configured(FinetuneConfig, options)
    task = tasks.get(config.task)
    asked = [requested(name, task.kind) for name in config.benchmarks]
    lm = models.load(config.model, device=config.device)
    classifier = finetuning.fit(
        lm, task, precision=PRECISIONS[config.precision],
        **config.model_dump(include=finetuning.FIT_OPTIONS),
    )  # fmt: skip
    columns = {"method": config.method, "regularizer": config.regularizer}
    rows, tables = finetuning.evaluate(classifier, task, number=config.evaluation_texts)
    for benchmark, split, axis in asked:
        items = benchmark.score(classifier, finetuning.sample_units(benchmark.items(split, axis), config.items))
        own, items = scored(benchmark, items, split=split, axis=axis, corpus=task.corpus)
        rows, tables = rows + own, [*tables, items]
    tables.append(debiasing.curve_items({}, classifier.curve).assign(axis=""))
    evidence = {"model": lm.fingerprint, "text": classifier.text, "recipe": asdict(task.recipe),
                "items": [corpora.fingerprint(table["item_id"]) for table in tables[:-1]]}  # fmt: skip
    return records.make(
        config.model_dump(mode="json"), [columns | row for row in rows], pd.concat(tables), device=lm.device, evidence=evidence
    )
