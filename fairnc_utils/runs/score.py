"""Runs that score a model: one benchmark, perplexity, and the difference of two runs."""

import warnings

import pandas as pd

from fairnc_utils import batching, benchmarks, compression, corpora, models, pretraining
from fairnc_utils.benchmarks import conventions
from fairnc_utils.compressor import Compressor, joined
from fairnc_utils.errors import FairNCError, FairNCWarning
from fairnc_utils.models import LanguageModel
from fairnc_utils.perplexity import perplexity as measured_perplexity
from fairnc_utils.runs import checkout
from fairnc_utils.runs.loading import loaded
from fairnc_utils.runs.options import PerplexityConfig, ScoreConfig, configured
from fairnc_utils.runs.rows import Run, make, metric_rows
from fairnc_utils.runs.store import stored


@stored
def score(**options) -> Run:
    """One benchmark on one model: metric rows by axis (``all`` pools them) and item scores.

    Options: see ``ScoreConfig``. ``all_variants``: the rows of every published convention that
    takes the model and has the axis (see ``benchmarks.conventions``), told apart by ``benchmark``;
    one that the model lacks something for costs a warning.
    """
    config = configured(ScoreConfig, options)
    benchmark = benchmarks.get(config.benchmark)
    benchmark.check(split=config.split or benchmark.splits[-1], axis=config.axis)
    if config.all_variants:
        conventions.of(config.benchmark)  # before anything is loaded
    lm, method = loaded(config), config.method
    if config.gender_scale is not None:
        lm, method = (
            lm.with_gender_direction(config.gender_scale),
            f"gender×{config.gender_scale:g}",
        )
    if config.compression:
        compressor = Compressor.parse(config.compression)
        lm = compression.compress(lm, compressor, seed=config.seed)
        method = joined(method, compressor)
    variants = [benchmark]
    if config.all_variants:
        wanted = {"split": config.split, "axis": config.axis}
        # none of them: the benchmark says so itself
        variants = conventions.that_take(config.benchmark, lm.kind, **wanted) or variants
    rows, tables = [], []
    for variant in variants:
        split = config.split or variant.splits[-1]
        try:
            scores = variant.run(lm, split=split, axis=config.axis)
        except FairNCError as error:  # such as a head that the model lacks
            if variant is benchmark:
                raise
            warnings.warn(f"{variant.name} is left out: {error}", FairNCWarning, stacklevel=2)
            continue
        columns = {"split": split, "axis": config.axis, "method": method}
        of_variant, table = scored(variant, scores, **columns, regularizer=config.regularizer)
        rows, tables = rows + of_variant, [*tables, table]
    items = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    evidence = {"model": lm.fingerprint, "items": corpora.fingerprint(items["item_id"])}
    return make(config, rows, items, device=lm.device, evidence=evidence)


def requested(wanted: str, kind: str) -> tuple[benchmarks.Benchmark, str, str]:
    """Benchmark, split (else its last) and axis (else all) of ``name:split:axis``, if it takes
    models of this kind.
    """
    name, split, axis = (*wanted.split(":", 2), "", "")[:3]
    benchmark = benchmarks.get(name)
    split, axis = split or benchmark.splits[-1], axis or "all"
    benchmark.check(split=split, axis=axis)
    if kind not in benchmark.kinds:
        raise FairNCError(
            f"benchmark {benchmark.name} takes {' and '.join(benchmark.kinds)} models; this one is {kind}"
        )
    return benchmark, split, axis


def scored(
    benchmark: benchmarks.Benchmark, items: pd.DataFrame, *, split: str, axis: str, **columns
) -> tuple[list[dict], pd.DataFrame]:
    """Result rows of an axis (of ``all``: of everything together, then of each axis), and the items
    with their columns.
    """
    rows = []
    for name in [axis] if axis != "all" else ["all", *sorted(set(items["axis"]))]:
        estimates = benchmark.estimates(items if name == "all" else items[items["axis"] == name])
        rows += metric_rows(
            estimates,
            benchmark=benchmark.name,
            split=split,
            axis=name,
            variant=benchmark.variant,
            **columns,
        )
    return rows, items.assign(benchmark=benchmark.name, split=split)


@stored
def perplexity(**options) -> Run:
    """Masked perplexity of a masked model on GAP test and on the embedded model's held-out text
    (low is good).
    """
    config = configured(PerplexityConfig, options)
    lm = models.load(checkout.located(config.model), device=config.device)
    measured = pretraining.evaluate(lm, sample=config.sample)
    rows = [
        {
            "benchmark": "perplexity",
            "corpus": name.removesuffix("_perplexity"),
            "metric": "masked_perplexity",
            "value": value,
        }
        for name, value in measured.items()
    ]
    return make(config, rows, None, device=lm.device, evidence={"model": lm.fingerprint})


# ---------------------------------------------------------------- training


def gap_perplexity(lm: LanguageModel, *, texts: int | None = None) -> dict:
    """Result row of the model's perplexity on (the first texts of) GAP test."""
    sequences = batching.tokenize(
        corpora.load("gap", "test")["text"][:texts], lm.tokenizer, max_length=lm.max_length
    )
    ((metric, value),) = measured_perplexity(lm, sequences).items()
    return {
        "benchmark": "perplexity",
        "corpus": "gap",
        "split": "test",
        "metric": metric,
        "value": value,
    }


@stored
def compare(first: Run, second: Run, *, axis: str = "all") -> Run:
    """Paired differences, second − first, of two runs of one benchmark on the same items, as rows
    of variant ``difference``.

    The rows carry the second run's model and method, and the number of shared units; the provenance
    names both runs.
    """
    benchmark = benchmarks.get(first.items["benchmark"].iloc[0])
    tables = [
        run.items if axis == "all" else run.items[run.items["axis"] == axis]
        for run in (first, second)
    ]
    differences = benchmark.differences(*(table.reset_index(drop=True) for table in tables))
    of = second.results.iloc[0]
    same = {
        key: of[key]
        for key in ("model", "method", "regularizer", "lam", "seed", "split", "profile")
    }
    rows = metric_rows(
        differences, benchmark=benchmark.name, axis=axis, variant="difference", **same
    )
    config = {"first": first.run_id, "second": second.run_id, "axis": axis}
    return make(config, rows, None, device=of["device"], evidence={})
