"""What a recorded study says of NC3's parts: λ, one switch at a time, its words, and whether
fairness follows UNC3.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from fairnc_book import tables
from fairnc_book.numbers import MEASURES, METRICS, SETTING, UNTRAINED, Numbers, Setting
from fairnc_utils import corpora, stats
from fairnc_utils.errors import listed
from fairnc_utils.regularizer_label import RegularizerLabel
from fairnc_utils.runs.rows import Run, make, metric_rows, select

#: Metric → the measure that stands for it: collapse, fairness with its sensitive companions, language.
SHOWN = {
    MEASURES[key].name: MEASURES[key]
    for key in (
        "collapse/test/gender/unc3",
        "stereoset_intra/test/gender/log_ratio",
        "occupation_slope/bls/gender/slope",
        "perplexity/gap/masked_perplexity",
        "stereoset_intra/test/gender/ICAT",
    )
}

#: Metrics of fairness that are set beside UNC3, by a run's distance from their ideal.
FAIRNESS = ("log_ratio", "slope", "ICAT")

#: Reference (``words``: no NC3) → the variants of NC3 that are compared with it: label in the rows → what it changes.
CONTRASTS = {
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

#: The contrast that every method has.
EVERYWHERE = {"none": {"corrected": "corrected"}}

#: Scopes of correlations that join methods, as readers know them.
SCOPES = {"all": "all runs", "within": "within methods"}

_COMMON = {
    "benchmark": "ablations",
    "split": "test",
    "axis": "gender",
    "words": "gender",
    "origin": "recorded",
    "seed": np.nan,
}


def by_run(numbers: Numbers) -> pd.DataFrame:
    """One row a run: method, regularizer, λ, seed, and a column for each metric of ``SHOWN`` (NaN:
    not measured).
    """
    keys = [*SETTING[1:], "seed"]
    columns = [
        numbers.table(measure).set_index(keys)["value"].sort_index().rename(metric)
        for metric, measure in SHOWN.items()
    ]
    return pd.concat(columns, axis=1).reset_index()


def ablate(numbers: Numbers, *, method: str = "bec", profile: str = "adhoc", seed: int = 0) -> Run:
    """Rows that sum up the recorded runs of a model: means over seeds, paired differences,
    correlations.

    ``variant`` says which: ``mean`` of a setting over its seeds; ``minus <reference>`` of one variant
    of NC3, paired by seed (``CONTRASTS`` on ``method``, at the λ of ``compared_at``; ``EVERYWHERE``
    on all, at the chosen λ); both with the t interval over seeds and the number of seeds as ``n``;
    ``spearman`` and ``pearson`` of UNC3 with a run's distance from fair (``FAIRNESS``), over all
    runs (method ``all``), about each method's mean (``within``) and for each method, with bootstrap
    intervals over ``n`` settings. ``chosen_lambda`` is a metric of each method. A difference that no
    run tells has the value NaN and ``n`` 0.
    """
    runs = by_run(numbers)
    methods = list(dict.fromkeys(runs["method"]))
    label = {"variant": "chosen", "regularizer": "corrected", "metric": "chosen_lambda"}
    weights = {name: numbers.weights[name] for name in methods if name in numbers.weights}
    rows = [label | {"method": name, "lam": lam, "value": lam} for name, lam in weights.items()]
    rows += [*_means(runs), *_correlations(numbers, seed)]
    for name in dict.fromkeys([method, *methods]):
        if name != UNTRAINED.method:
            contrasts = EVERYWHERE | (CONTRASTS if name == method else {})
            rows += _differences(numbers, name, contrasts, runs)
    config = {"model": numbers.model, "profile": profile, "seed": seed, "method": method}
    evidence = {"study": corpora.fingerprint(numbers.run_ids), "runs": len(runs)}
    return make(config, [_COMMON | row for row in rows], None, device="cpu", evidence=evidence)


def compared_at(
    runs: pd.DataFrame, method: str, variants: Iterable[str], *, otherwise: float
) -> float:
    """λ at which variants of a method's NC3 are compared: that of most runs (``by_run``) with a
    changed option, of equal ones the smallest; ``otherwise`` where there is no such run.
    """
    parsed = {label: RegularizerLabel.parse(label) for label in variants}
    changed = [label for label, parts in parsed.items() if parts != RegularizerLabel(parts.preset)]
    weights = runs[(runs["method"] == method) & runs["regularizer"].isin(changed)]["lam"].mode()
    return weights[0] if len(weights) else otherwise


def not_run(rows: pd.DataFrame) -> list[str]:
    """What was not run: settings that a difference asks for and no recorded run tells."""
    empty = rows[rows["variant"].str.startswith("minus") & (rows["n"] == 0)]
    settings = (Setting(*pair) for pair in zip(empty["method"], empty["regularizer"], strict=True))
    return list(dict.fromkeys(map(str, settings)))


def sentence(rows: pd.DataFrame, metrics: Sequence[str], **columns) -> str:
    """The given metrics of the rows with the given column values, with their intervals, in words."""
    run = select(rows, **columns).dropna(subset="value").set_index("metric")
    return ", ".join(
        f"{METRICS[m].label} {tables.interval(run.loc[m]) if m in run.index else 'not run'}"
        for m in metrics
    )


def mostly(rows: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Which of the metrics fall and which rise in more than half of the methods, by intervals that
    exclude zero; a sentence without a number.
    """
    moving: dict[str, list[str]] = {"fall": [], "rise": []}
    for metric in metrics:
        changes = rows[(rows["metric"] == metric) & rows["ci_low"].notna()]
        for verb, moved in (("fall", changes["ci_high"] < 0), ("rise", changes["ci_low"] > 0)):
            if 2 * moved.sum() > len(changes):
                moving[verb].append(METRICS[metric].label)
    said = [
        f"{listed(labels)} {verb}{'s' if len(labels) == 1 else ''}"
        for verb, labels in moving.items()
        if labels
    ]
    if not said:
        return "No measure moves the same way in most methods."
    return f"In most methods {' and '.join(said)}."


def counted(rows: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Of the given differences, how many fall and rise by intervals that exclude zero, metric by metric, in
    words.
    """
    counts = []
    for metric in metrics:
        changes = rows[(rows["metric"] == metric) & rows["ci_low"].notna()]
        falls, rises = (changes["ci_high"] < 0).sum(), (changes["ci_low"] > 0).sum()
        counts.append(
            f"{METRICS[metric].label} falls in {falls} and rises in {rises} of {len(changes)}"
        )
    return ", ".join(counts)


def largest(rows: pd.DataFrame, reference: str, metric: str, *, method: str) -> str:
    """The largest difference from a reference, in words, and how many of them have intervals
    without 0.
    """
    labels = {label: name for label, name in CONTRASTS[reference].items() if label != "none"}
    changes = select(
        rows, variant=f"minus {reference}", method=method, metric=metric, regularizer=list(labels)
    ).dropna(subset="value")
    if changes.empty:
        return f"{METRICS[metric].label} not run"
    row = changes.loc[changes["value"].abs().idxmax()]
    apart = (changes["ci_low"] > 0) | (changes["ci_high"] < 0)
    return (
        f"{METRICS[metric].label} {tables.interval(row)} with {labels[row['regularizer']]} "
        f"({apart.sum()} of {len(changes)} intervals exclude zero)"
    )


def switched(rows: pd.DataFrame, reference: str, *, method: str) -> str:
    """Whether changing one thing of NC3 lowers UNC3, in a sentence without a number."""
    labels = {label: name for label, name in CONTRASTS[reference].items() if label != "none"}
    found = _sides(rows, "unc3", "regularizer", variant=f"minus {reference}", method=method)
    lower = [f"*{name}*" for label, name in labels.items() if found.get(label) == -1]
    if not any(label in found for label in labels):
        return "No change of one thing was run."
    return (
        f"UNC3 falls with {listed(lower)}."
        if lower
        else "No change of one thing is shown to lower UNC3."
    )


def other_words(rows: pd.DataFrame, lists: Mapping[str, str], *, method: str) -> str:
    """Whether NC3 on other words than those of gender moves the bias as well, in a sentence without a
    number. ``lists``: label → name, that of gender words first.
    """
    found = _sides(rows, "log_ratio", "regularizer", variant="minus words", method=method)
    gender, *others = lists
    moved = [
        lists[label]
        for label in others
        if found.get(label) and not lists[label].startswith(lists[gender])
    ]
    if moved:
        verb = "moves" if len(moved) == 1 else "move"
        return f"It need not be gender words: {listed(moved)} {verb} the mean log ratio as well."
    if found.get(gender):
        return (
            "NC3 on gender words moves the mean log ratio, and on other words it is not shown to."
        )
    return "On no list is NC3 shown to move the mean log ratio."


def linked(rows: pd.DataFrame) -> str:
    """Whether, within methods, runs with a lower UNC3 are fairer, in a sentence without a number."""
    found = _sides(rows, list(FAIRNESS), "metric", variant="spearman", method="within")
    sides = {side: [METRICS[m].label for m, s in found.items() if s == side] for side in (1, -1)}
    said = [f"fairer by {listed(sides[1])}"] if sides[1] else []
    said += [f"less fair by {listed(sides[-1])}"] if sides[-1] else []
    if not found:
        return "Too few runs are recorded to compare them."
    if not said:
        return "Within methods, more uniform models are neither shown to be fairer nor less fair."
    return f"Within methods, more uniform models are {' and '.join(said)}."


def _sides(rows: pd.DataFrame, metric: str | list[str], key: str, **columns) -> dict[str, int]:
    """``key`` of each row with an interval → −1, 0 or 1: on which side of 0 the interval lies."""
    found = select(rows, metric=metric, **columns).dropna(subset="ci_low")
    return {row[key]: stats.side(row["ci_low"], row["ci_high"]) for _, row in found.iterrows()}


def layers(results: pd.DataFrame, *, words: Sequence[str] = ("gender",)) -> pd.DataFrame:
    """NC3 and UNC3 of word lists by hidden layer, of the latest run of each method and regularizer;
    ``run`` names it.
    """
    rows = select(
        results,
        benchmark="collapse",
        words=list(words),
        variant="corrected",
        metric=["nc3", "unc3"],
    )
    rows = rows[rows["layer"] != "last"].sort_values("created", kind="stable")
    rows = rows.drop_duplicates(["method", "regularizer", "words", "metric", "layer"], keep="last")
    names = [
        row["method"] if row["regularizer"] == "none" else str(Setting(*row))
        for _, row in rows[["method", "regularizer", "lam"]].iterrows()
    ]
    return rows.assign(run=names)


def _over_seeds(values: pd.Series | np.ndarray, metric: str) -> dict:
    """Mean over seeds with its t interval, as the end of a row."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return {"metric": metric, "value": np.nan, "n": 0}
    return metric_rows({metric: stats.over_seeds(values)})[0]


def _means(runs: pd.DataFrame) -> Iterator[dict]:
    for (method, regularizer, lam), setting in runs.groupby(list(SETTING[1:]), sort=False):
        columns = {"variant": "mean", "method": method, "regularizer": regularizer, "lam": lam}
        for metric in SHOWN:
            if setting[metric].notna().any():
                yield columns | _over_seeds(setting[metric], metric)


def _differences(
    numbers: Numbers, method: str, contrasts: Mapping[str, Mapping[str, str]], runs: pd.DataFrame
) -> Iterator[dict]:
    """Each variant of one method's NC3 minus its reference, seed by seed."""
    for reference, variants in contrasts.items():
        weight = compared_at(runs, method, variants, otherwise=numbers.weights.get(method, np.nan))
        base = _setting(method, {"words": "none"}.get(reference, reference), weight)
        for setting in (_setting(method, label, weight) for label in variants):
            columns = {
                "variant": f"minus {reference}",
                "method": method,
                "regularizer": setting.regularizer,
            }
            for metric, measure in SHOWN.items():
                difference = numbers.contrast(measure, base, setting).difference
                lam = numbers.runs(measure, setting)["lam"].max()
                yield columns | {"lam": lam} | _over_seeds(difference, metric)


def _setting(method: str, label: str, weight: float) -> Setting:
    """A setting of a contrast: at its weight, which there is none of without NC3."""
    return Setting(method, label, None if label == "none" else weight)


def _correlations(numbers: Numbers, seed: int) -> Iterator[dict]:
    """UNC3 and the distance from fair: over all runs, about each method's means, for each method."""
    for metric in FAIRNESS:
        kinds = {
            kind: numbers.correlations(
                SHOWN["unc3"], SHOWN[metric], of=METRICS[metric].distance, ranked=ranked, seed=seed
            )
            for kind, ranked in (("spearman", True), ("pearson", False))
        }
        for scope, kind in product(kinds["spearman"], kinds):
            effect = kinds[kind][scope]
            columns = {"variant": kind, "method": scope, "regularizer": "all", "lam": np.nan}
            interval = {"ci_low": effect.ci_low, "ci_high": effect.ci_high, "n": effect.units}
            yield columns | {"metric": metric, "value": effect.value} | interval
