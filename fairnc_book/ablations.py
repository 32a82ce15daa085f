"""What a recorded study says of NC3's parts: λ, one switch at a time, its words, and whether fairness follows UNC3."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from fairnc_book import tables
from fairnc_utils import corpora, stats
from fairnc_utils.runs import rows as records
from fairnc_utils.runs.rows import Run, select
from fairnc_utils.runs.weight import chosen_lambdas

#: Metric → the rows of a run that hold it: collapse, fairness with its sensitive companions, language.
MEASURES = {
    "unc3": {"benchmark": "collapse", "words": "gender", "split": "test", "variant": "corrected", "space": "head",
             "layer": "last", "min_count": 10},
    "log_ratio": {"benchmark": "stereoset_intra", "split": "test", "axis": "gender"},
    "slope": {"benchmark": "occupation_slope", "split": "bls", "axis": "gender"},
    "masked_perplexity": {"benchmark": "perplexity", "corpus": "gap", "split": "test"},
    "ICAT": {"benchmark": "stereoset_intra", "split": "test", "axis": "gender"},
}  # fmt: skip

#: What fairness is measured by, beside UNC3 → how far a value is from fair, as a number (ICAT: from 100).
UNFAIRNESS = {"log_ratio": np.abs, "slope": np.abs, "ICAT": lambda icat: 100 - icat}

#: Reference (``words``: no NC3) → the variants of NC3 that are compared with it: regularizer as rows name it → what it changes.
COMPARISONS = {
    "as_released": {
        "as_released,labels=aligned": "labels of their own position",
        "as_released,masked_labels=False": "labels from the unmasked text",
        "as_released,labels=aligned,masked_labels=False": "both label repairs",
        "as_released,features=attached": "gradient reaches the encoder",
        "as_released,memory=ema": "moving means",
        "as_released,space=head": "the classifier's true input",
        "as_released,words=gender": "whole words only",
        "as_released,kind=align": "alignment, not uniformity",
        "as_released,kind=both": "alignment and uniformity",
        "none": "no NC3 at all",
    },
    "corrected": {
        "corrected,labels=shifted": "labels shifted by one",
        "corrected,features=detached": "only embeddings get a gradient",
        "corrected,memory=cumulative": "means since the first step",
        "corrected,space=encoder": "the raw last layer",
        "corrected,kind=align": "alignment, not uniformity",
        "corrected,kind=both": "alignment and uniformity",
    },
    "words": {
        "corrected": "gender words",
        "corrected,words=released": "the released list",
        "corrected,words=random": "random words",
        "corrected,words=matched": "words as frequent",
        "corrected,words=profession": "professions",
        "corrected,words=vocabulary": "the whole vocabulary",
        "corrected,frozen=embeddings": "gender words, embeddings frozen",
    },
}

#: Scopes of correlations that join methods, as readers know them.
SCOPES = {"all": "all runs", "within": "within methods"}

#: The comparison that every method has.
EVERYWHERE = {"none": {"corrected": "corrected"}}

_KEYS = ["method", "regularizer", "lam", "seed"]
_COMMON = {"benchmark": "ablations", "split": "test", "axis": "gender", "words": "gender", "origin": "recorded",
           "seed": np.nan}  # fmt: skip


def by_run(results: pd.DataFrame, *, model: str = "models/minilm-mlm") -> pd.DataFrame:
    """One row a run of ``model``: method, regularizer, λ, seed, and a column for each of ``MEASURES`` (NaN: not measured).

    Of runs of the same cell and seed the latest counts.
    """
    columns = []
    for metric, where in MEASURES.items():
        rows = select(results, model=model, metric=metric, **where).sort_values("created", kind="stable")
        columns.append(rows.groupby(_KEYS)["value"].last().rename(metric))
    return pd.concat(columns, axis=1).reset_index()


def ablate(results: pd.DataFrame, *, method: str = "bec", model: str = "models/minilm-mlm", profile: str = "adhoc",
           seed: int = 0) -> Run:  # fmt: skip
    """Rows that sum up recorded runs (``records.recorded``): means over seeds, paired differences, correlations.

    ``variant`` says which: ``mean`` of a cell over its seeds; ``minus <reference>`` of one variant of NC3 (``COMPARISONS``
    on ``method``, at the λ of those variants; ``EVERYWHERE`` on all, at the chosen one), paired by seed; both with the t
    interval over seeds and the number of seeds as ``n``;
    ``spearman`` and ``pearson`` of UNC3 with a run's distance from fair (``UNFAIRNESS``), over all runs (method ``all``),
    about each method's mean (``within``) and for each method, with bootstrap intervals over ``n`` cells. ``chosen_lambda`` is
    a metric of each method. A difference that no run tells has the value NaN and ``n`` 0.
    """
    runs = by_run(results, model=model)
    chosen = chosen_lambdas(select(results, model=model), dict.fromkeys(runs["method"]))
    label = {"variant": "chosen", "regularizer": "corrected", "metric": "chosen_lambda"}
    rows = [label | {"method": name, "lam": lam, "value": lam} for name, lam in chosen.items()]
    rows += [*_means(runs), *_correlations(runs, seed)]
    for name in dict.fromkeys([method, *runs["method"]]):
        compared = EVERYWHERE | (COMPARISONS if name == method else {})
        rows += _differences(runs[runs["method"] == name], name, chosen.get(name), compared) if name != "base" else []
    told = {"study": corpora.fingerprint(sorted(set(results["run_id"]))), "runs": len(runs)}
    config = {"model": model, "profile": profile, "seed": seed, "method": method}
    return records.make(config, [_COMMON | row for row in rows], None, device="cpu", evidence=told)


def missing(rows: pd.DataFrame) -> list[str]:
    """What was not run: cells (method, regularizer) that a difference asks for and no recorded run tells."""
    found = rows[rows["variant"].str.startswith("minus") & (rows["n"] == 0)]
    return list(dict.fromkeys(found["method"] + ", NC3 " + found["regularizer"]))


def sentence(rows: pd.DataFrame, metrics: Sequence[str], **columns) -> str:
    """The given metrics of the rows with the given column values, with their intervals, in words."""
    own = select(rows, **columns).dropna(subset="value").set_index("metric")
    told = [f"{tables.METRICS[m][0]} {tables.interval(own.loc[m]) if m in own.index else 'not run'}" for m in metrics]
    return ", ".join(told)


def counted(rows: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Of the given differences, how many fall and rise by intervals without 0, metric by metric, in words."""
    told = []
    for metric in metrics:
        own = rows[(rows["metric"] == metric) & rows["ci_low"].notna()]
        falls, rises = (own["ci_high"] < 0).sum(), (own["ci_low"] > 0).sum()
        told.append(f"{tables.METRICS[metric][0]} falls in {falls} and rises in {rises} of {len(own)}")
    return ", ".join(told)


def largest(rows: pd.DataFrame, reference: str, metric: str, *, method: str) -> str:
    """The largest difference from a reference, in words, and how many of them have intervals without 0."""
    labels = {label: name for label, name in COMPARISONS[reference].items() if label != "none"}
    own = select(rows, variant=f"minus {reference}", method=method, metric=metric, regularizer=list(labels))
    own = own.dropna(subset="value")
    if own.empty:
        return f"{tables.METRICS[metric][0]} not run"
    row, apart = own.loc[own["value"].abs().idxmax()], (own["ci_low"] > 0) | (own["ci_high"] < 0)
    told = f"{tables.METRICS[metric][0]} {tables.interval(row)} with {labels[row['regularizer']]}"
    return f"{told} ({apart.sum()} of {len(own)} intervals leave out 0)"


def layers(results: pd.DataFrame, *, words: Sequence[str] = ("gender",)) -> pd.DataFrame:
    """NC3 and UNC3 of word lists by hidden layer, of the latest run of each method and regularizer; ``run`` names it."""
    rows = select(results, benchmark="collapse", words=list(words), variant="corrected", metric=["nc3", "unc3"])
    rows = rows[rows["layer"] != "last"].sort_values("created", kind="stable")
    rows = rows.drop_duplicates(["method", "regularizer", "words", "metric", "layer"], keep="last")
    with_nc3 = rows["method"] + ", NC3 " + rows["regularizer"] + ", λ = " + rows["lam"].map("{:g}".format).astype(str)
    return rows.assign(run=with_nc3.where(rows["regularizer"] != "none", rows["method"]))


def _over_seeds(values: pd.Series, metric: str) -> dict:
    """Mean over seeds with its t interval, as the end of a row."""
    values = values.dropna()
    if values.empty:
        return {"metric": metric, "value": np.nan, "n": 0}
    return records.metric_rows({metric: stats.over_seeds(values)})[0]


def _means(runs: pd.DataFrame) -> Iterator[dict]:
    for (method, regularizer, lam), own in runs.groupby(_KEYS[:3], sort=False):
        cell = {"variant": "mean", "method": method, "regularizer": regularizer, "lam": lam}
        yield from (cell | _over_seeds(own[metric], metric) for metric in MEASURES if own[metric].notna().any())


def _differences(
    runs: pd.DataFrame, method: str, chosen: float | None, compared: dict[str, dict[str, str]]
) -> Iterator[dict]:
    """Each variant of one method's NC3 minus its reference, seed by seed."""
    cells = dict(list(runs.groupby("regularizer")))

    def cell(label: str, lam: float | None) -> pd.DataFrame:
        own = cells.get(label, runs[:0])
        if own["lam"].nunique() > 1:  # a sweep: at the λ of what it is compared with
            own = own[own["lam"] == lam]
        return own.set_index("seed")

    for reference, variants in compared.items():
        # What was swept is taken at the weight of the variants beside it, and alone at the chosen one.
        weights = [*(cells[label]["lam"].iloc[0] for label in variants if label in cells and "," in label), chosen]
        for label in variants:
            one = cell(label, weights[0])
            lam = one["lam"].iloc[0] if len(one) else np.nan
            other = cell({"words": "none"}.get(reference, reference), weights[0])
            for metric in MEASURES:
                row = {"variant": f"minus {reference}", "method": method, "regularizer": label, "lam": lam}
                yield row | _over_seeds(one[metric] - other[metric], metric)


def _correlations(runs: pd.DataFrame, seed: int) -> Iterator[dict]:
    """UNC3 and the distance from fair: over all runs, about each method's means, for each method."""
    for metric, distance in UNFAIRNESS.items():
        pairs = runs.dropna(subset=["unc3", metric])
        pairs = pairs[_KEYS].assign(x=pairs["unc3"], y=distance(pairs[metric]))
        trained = pairs[pairs["method"] != "base"]
        within = trained.assign(**(trained[["x", "y"]] - trained.groupby("method")[["x", "y"]].transform("mean")))
        scopes = {"all": pairs, "within": within, **dict(list(trained.groupby("method")))}
        for scope, part in ((name, rows) for name, rows in scopes.items() if len(rows)):
            cells = part[_KEYS[:3]].astype(str).agg("|".join, axis=1)
            for kind, ranked in (("spearman", True), ("pearson", False)):
                found = stats.clustered_correlation(part["x"], part["y"], cells, ranked=ranked, seed=seed)
                yield {"variant": kind, "method": scope, "regularizer": "all", "lam": np.nan, "metric": metric,
                       "value": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high,
                       "n": found.units}  # fmt: skip
