"""Runs that train: a debiasing method, a task."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pandas as pd

from fairnc_utils import corpora, finetuning, models, tasks, training
from fairnc_utils.debias import Method
from fairnc_utils.debias import get as get_method
from fairnc_utils.debias import run as debiasing
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.regularizer import NC3Options
from fairnc_utils.runs import checkout
from fairnc_utils.runs import rows as records
from fairnc_utils.runs.measure import collapse_of
from fairnc_utils.runs.options import Debiasing, FinetuneConfig, TrainConfig, configured
from fairnc_utils.runs.rows import Run
from fairnc_utils.runs.score import gap_perplexity, requested, scored

#: Precision as a configuration names it → as accelerate does.
PRECISIONS = {"fp32": "no", "bf16": "bf16"}


@dataclass(frozen=True)
class Treatment:
    """What a configuration does to a model. ``method`` None: nothing; ``columns``: what result rows call it."""

    method: Method | None
    options: Debiasing
    nc3: NC3Options | None
    nc3_words: str
    columns: dict

    @classmethod
    def of(cls, options: Debiasing) -> "Treatment":
        if options.method == "base":
            return cls(None, options, None, "", {"method": "base", "regularizer": "none", "lam": 0.0})
        method = get_method(options.method)
        nc3, lam, label = debiasing.nc3_options(method, options.regularizer, options.lam)
        usual = debiasing.usual_words(label)
        nc3_words = options.nc3_words or usual
        label += f",words={nc3_words}" if nc3 and nc3_words != usual else ""
        label += f",frozen={options.frozen}" if options.frozen != "none" else ""
        return cls(method, options, nc3, nc3_words, {"method": method.name, "regularizer": label, "lam": lam})

    @property
    def evidence(self) -> dict:
        return {"text": self.method.corpus, "recipe": asdict(self.method.recipe)} if self.method else {}

    def apply(self, lm: LanguageModel, *, seed: int, **options) -> pd.DataFrame:
        """Train the model in place; the learning curve, empty for ``base``. ``options``: further ones of ``training.fit``."""
        if self.method is None:
            return pd.DataFrame()
        return debiasing.train(
            lm, self.method, nc3=self.nc3, lam=self.columns["lam"], nc3_words=self.nc3_words, seed=seed,
            precision=PRECISIONS[self.options.precision],
            **self.options.model_dump(include={"steps", "epochs", "batch_size", "texts", "frozen"}), **options,
        )  # fmt: skip


def train(**options) -> Run:
    """One debiasing run: collapse of gender words and masked perplexity before and after, items with the learning curve.

    Options: see ``TrainConfig``. Rows of the untrained model have the method ``base``. Those two are measured on GAP
    validation; benchmarks, the collapse of more lists and perplexity on GAP test after training alone. The method ``base``
    trains nothing. Raises ``FairNCError`` on a bad option, a method that cannot take NC3, a loss that is not finite.
    """
    config = configured(TrainConfig, options)
    treatment = Treatment.of(config)
    if config.output and treatment.method and (why := treatment.method.without_folder):
        raise FairNCError(f"option output: a model of {config.method} cannot be saved: {why}; leave it out")
    lm = models.load(checkout.located(config.model), device=config.device)
    asked = [requested(name, lm.kind) for name in config.benchmarks]
    recorded = config.model_dump(mode="json", exclude={"checkpoint", "output"})
    evidence = {"model": lm.fingerprint} | treatment.evidence
    checkpoints = config.checkpoint and training.Checkpoints(
        config.checkpoint / "checkpoint.pt", config.checkpoint_every, str([recorded, evidence])
    )
    evaluate = debiasing.evaluation(lm, texts=config.evaluation_texts, min_count=config.min_count)
    before = evaluate()
    curve = treatment.apply(
        lm, seed=config.seed, log_every=config.log_every, evaluate=evaluate, evaluate_every=config.evaluate_every,
        checkpoints=checkpoints,
    )  # fmt: skip
    if config.output:
        debiasing.save(lm, config.output)
    rows = debiasing.result_rows(before, curve, {"space": "head", "min_count": config.min_count}, treatment.columns)
    tables = [debiasing.curve_items(before, curve)]
    trained = models.wrap(lm.model, lm.tokenizer, name=lm.name)  # not the same weights: not the same fingerprint
    for own, items in _measured(trained, config, asked):
        rows, tables = rows + [treatment.columns | row for row in own], [*tables, items]
    return records.make(recorded, rows, pd.concat(tables), device=lm.device, evidence=evidence)


def _measured(lm: LanguageModel, config: TrainConfig, asked: list) -> Iterator[tuple[list[dict], pd.DataFrame]]:
    """Rows and items of everything that is asked for after training."""
    for benchmark, split, axis in asked:
        yield scored(benchmark, benchmark.run(lm, split=split, axis=axis), split=split, axis=axis)
    if config.collapse:
        yield collapse_of(
            lm, config.collapse, min_count=config.min_count, seed=0, texts=config.evaluation_texts,  # one class set for all
            by_layer=config.by_layer,
        )
    if config.perplexity:
        yield [gap_perplexity(lm, texts=config.evaluation_texts)], pd.DataFrame()


def finetune(**options) -> Run:
    """Fine-tune a copy of a model on a task: its metrics on the held-out splits, then the fairness benchmarks of that kind.

    Options: see ``FinetuneConfig``. Items: the task's (``score_a`` label, ``score_b`` prediction, ``score_c`` probability of
    the label), those of each benchmark, and the learning curve as benchmark ``training``. Raises ``FairNCError`` on a bad
    option, a benchmark that does not take this kind of model, data that are missing.
    """
    config = configured(FinetuneConfig, options)
    task = tasks.get(config.task)
    asked = [requested(name, task.kind) for name in config.benchmarks]
    treatment = Treatment.of(config.debiasing) if config.debiasing else None
    lm = models.load(checkout.located(config.model), device=config.device)
    evidence = {"model": lm.fingerprint}
    if treatment:
        evidence |= {"debiasing": treatment.evidence}
        lm = _debiased(config, treatment, lm)
    classifier = finetuning.fit(
        lm, task, precision=PRECISIONS[config.precision],
        **config.model_dump(include=finetuning.FIT_OPTIONS),
    )  # fmt: skip
    columns = treatment.columns if treatment else {"method": config.method, "regularizer": config.regularizer}
    rows, tables = finetuning.evaluate(classifier, task, number=config.evaluation_texts)
    for benchmark, split, axis in asked:
        items = benchmark.score(classifier, finetuning.sample_units(benchmark.items(split, axis), config.items))
        own, items = scored(benchmark, items, split=split, axis=axis, corpus=task.corpus)
        rows, tables = rows + own, [*tables, items]
    tables.append(debiasing.curve_items({}, classifier.curve).assign(axis=""))
    evidence |= {"text": classifier.text, "recipe": asdict(task.recipe),
                 "items": [corpora.fingerprint(table["item_id"]) for table in tables[:-1]]}  # fmt: skip
    return records.make(
        config.model_dump(mode="json"), [columns | row for row in rows], pd.concat(tables), device=lm.device, evidence=evidence
    )


_TRAINED: dict[str, LanguageModel] = {}


def _debiased(config: FinetuneConfig, treatment: Treatment, lm: LanguageModel) -> LanguageModel:
    """The model after its debiasing; the last one is kept, because a model is fine-tuned for one task after another."""
    key = str([lm.fingerprint, str(lm.device), config.seed, config.debiasing])
    if key not in _TRAINED:
        _TRAINED.clear()
        treatment.apply(lm, seed=config.seed)
        _TRAINED[key] = models.wrap(lm.model, lm.tokenizer, name=lm.name)
    return _TRAINED[key]
