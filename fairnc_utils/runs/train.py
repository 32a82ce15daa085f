"""Runs that debias: a method, with or without a regularizer, and what is measured of the model
before and after.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from torch import nn

from fairnc_utils import (
    batching,
    collapse,
    compression,
    corpora,
    measurement,
    model_folder,
    models,
    training,
    words,
)
from fairnc_utils._atomic import require_folder
from fairnc_utils.compressor import Compressor, joined
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import LanguageModel
from fairnc_utils.perplexity import perplexity
from fairnc_utils.runs import checkout
from fairnc_utils.runs import curve as curves
from fairnc_utils.runs.measure import collapse_at_slots, collapse_of
from fairnc_utils.runs.options import Afterwards, TrainConfig, configured
from fairnc_utils.runs.rows import Run, make
from fairnc_utils.runs.score import gap_perplexity, requested, scored
from fairnc_utils.runs.store import stored
from fairnc_utils.runs.treatment import Treatment


@stored
def train(**options) -> Run:
    """One debiasing run: collapse of gender words and perplexity before and after, items with the
    learning curve.

    Options: see ``TrainConfig``. Rows of the untrained model have the method ``base``. Those two
    are measured on GAP validation; benchmarks, the collapse of more lists and perplexity on GAP
    test after training alone. The method ``base`` trains nothing. With a ``compression`` all that is
    measured afterwards is of the compressed model, as ``bec+rtn4``. Raises ``FairNCError`` on a bad
    option, folders that hold something else, a model that the method does not take, a method that
    cannot take NC3, a loss that is not finite.
    """
    config = configured(TrainConfig, options)
    treatment = Treatment.of(config, model=config.model)
    _require_folders(config, treatment)
    foreign = words.evidence([*treatment.word_lists, *config.collapse, *config.at_slots])
    lm = models.load(checkout.located(config.model), device=config.device)
    treatment.require(lm)
    asked = [requested(name, lm.kind) for name in config.benchmarks]
    settings = config.model_dump(mode="json", exclude={"checkpoint", "output"})
    evidence = {"model": lm.fingerprint} | treatment.evidence | foreign
    checkpoints = config.checkpoint and training.Checkpoints(
        config.checkpoint / "checkpoint.pt", config.checkpoint_every, str([settings, evidence])
    )
    evaluate = _evaluation(lm, texts=config.evaluation_texts, min_count=config.min_count)
    before = evaluate()
    model, curve = _treated(
        lm,
        config,
        treatment,
        evidence,
        log_every=config.log_every,
        evaluate=evaluate,
        evaluate_every=config.evaluate_every,
        checkpoints=checkpoints,
    )
    # not the same weights: not the same fingerprint
    trained, columns = models.wrap(model, lm.tokenizer, name=lm.name), treatment.columns
    place = {"space": "head", "min_count": config.min_count}
    rows = curves.result_rows(before, curve, place, columns)
    tables = [curves.items(before, curve)]
    if config.compression:
        compressor = Compressor.parse(config.compression)
        trained = compression.compress(trained, compressor, seed=config.seed)
        columns = columns | {"method": joined(columns["method"], compressor)}
        after = _evaluation(trained, texts=config.evaluation_texts, min_count=config.min_count)()
        rows += curves.result_rows(after, pd.DataFrame(), place | columns, {})
    if config.output:
        about = {"config": settings, "evidence": evidence}
        model_folder.save(trained.model, lm.tokenizer, config.output, about)
    for measured, items in _measured(trained, config, asked):
        rows += [columns | row for row in measured]
        tables.append(items)
    return make(config, rows, pd.concat(tables), device=lm.device, evidence=evidence)


def _require_folders(config: TrainConfig, treatment: Treatment) -> None:
    """Raise ``FairNCError`` before anything is trained whose result could not be saved, or would
    take something's place.
    """
    if config.checkpoint:
        require_folder(config.checkpoint, "checkpoint")
    if config.output:
        if Path(checkout.located(config.model)).resolve() == config.output.resolve():
            raise FairNCError(
                f"option output = {config.output}: the model that is trained lies there; choose another folder"
            )
        if treatment.method and (why := treatment.method.without_folder):
            raise FairNCError(
                f"option output: a model of {config.method} cannot be saved: {why}; leave it out"
            )
        if config.compression and not Compressor.parse(config.compression).keeps_inputs:
            raise FairNCError(
                f"option output: {config.compression} rounds the inputs of layers too, which no folder holds; leave it out"
            )
        model_folder.require(config.output)


#: Options that no training depends on.
_AFTERWARDS = {*Afterwards.model_fields, "profile"}

#: The last model that was trained to be compressed, and its curve: one compressor after another is asked of it.
_TREATED: dict[str, tuple[nn.Module, pd.DataFrame]] = {}


def _treated(
    lm: LanguageModel, config: TrainConfig, treatment: Treatment, evidence: dict, **options
) -> tuple[nn.Module, pd.DataFrame]:
    """The model after its treatment, which changes it in place, and the learning curve."""
    key = str([config.model_dump(mode="json", exclude=_AFTERWARDS), evidence, lm.device])
    if key in _TREATED:
        model, curve = _TREATED[key]
        return copy.deepcopy(model), curve
    _TREATED.clear()
    curve = treatment.apply(lm, seed=config.seed, **options)
    if config.compression and treatment.method and not treatment.method.without_folder:
        _TREATED[key] = copy.deepcopy(lm.model), curve
    return lm.model, curve


def _evaluation(
    lm: LanguageModel, *, texts: int | None, min_count: int
) -> Callable[[], dict[str, float]]:
    """Function that measures the model as it is: NC3 and UNC3 of the gender words and perplexity on
    GAP validation.
    """
    validation = corpora.load("gap", "validation")["text"][:texts]
    sequences = batching.tokenize(validation, lm.tokenizer, max_length=lm.max_length)
    classes = words.load("gender", lm.tokenizer).token_ids

    def evaluate() -> dict[str, float]:
        statistics = measurement.statistics_of(lm, sequences)
        measured = collapse.measure(
            statistics, lm.weight, classes=classes, min_count=min_count, groups=1
        )
        return {
            "nc3": float(measured.nc3),
            "unc3": float(measured.unc3),
        } | perplexity(lm, sequences)

    return evaluate


def _measured(
    lm: LanguageModel, config: TrainConfig, asked: list
) -> Iterator[tuple[list[dict], pd.DataFrame]]:
    """Rows and items of everything that is asked for after training."""
    for benchmark, split, axis in asked:
        items = benchmark.run(lm, split=split, axis=axis)
        yield scored(benchmark, items, split=split, axis=axis)
    min_counts = (config.min_count, *config.min_counts)
    if config.collapse:
        yield collapse_of(
            lm,
            config.collapse,
            min_counts=min_counts,
            seed=0,  # one class set for all
            texts=config.evaluation_texts,
            by_layer=config.by_layer,
        )
    if config.at_slots:
        rows = collapse_at_slots(
            lm, config.at_slots, min_counts=min_counts, seed=0, texts=config.evaluation_texts
        )
        yield rows, pd.DataFrame()
    if config.perplexity:
        yield [gap_perplexity(lm, texts=config.evaluation_texts)], pd.DataFrame()
