"""What the reviewers of the paper asked: the recorded rows that answer, by the number of the question."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from fairnc_book import ablations, tables
from fairnc_book.numbers import (
    MEASURES,
    METHODS,
    METRICS,
    UNTRAINED,
    Contrast,
    Measure,
    Numbers,
    Setting,
    estimate,
)
from fairnc_utils import corpora, stats
from fairnc_utils.runs.rows import Run, make, metric_rows, select

UNC3 = MEASURES["collapse/test/gender/unc3"]
SLOPE = MEASURES["occupation_slope/bls/gender/slope"]


def _collapse(name: str, words: str = "gender") -> Measure:
    return Measure(name, f"{words} words", UNC3.where | {"words": words})


def _like(key: str, *names: str, **where: str) -> tuple[Measure, ...]:
    """Measures beside one of the book's: other metrics, or another place."""
    measure = MEASURES[key]
    return tuple(
        replace(measure, name=name, where=measure.where | where) for name in names or [measure.name]
    )


ASSOCIATIONS = _like("bec_pro/english/all/gap", "abs_association_female", "abs_association_male")
PRONOUNS = _like(
    "winogender/all/gender/gotcha_gap",
    "accuracy_feminine",
    "accuracy_masculine",
    "accuracy_neutral",
)
#: StereoSet's axes, the one that the paper is about first.
AXES = ("gender", "profession", "race", "religion")
PERPLEXITY = MEASURES["perplexity/gap/masked_perplexity"]


@dataclass(frozen=True)
class Answer:
    """Rows that answer a ``question``: measures of every method in ``regularizer``, seed by seed
    minus, or as a ratio to, the same of ``reference`` (``base``, or ``none``: the same method
    without NC3).
    """

    question: int
    measures: tuple[Measure, ...]
    reference: str
    regularizer: str = "none"
    ratio: bool = False

    @property
    def variant(self) -> str:
        """As rows name it: ``minus base``, ``ratio to none``."""
        return f"{'ratio to' if self.ratio else 'minus'} {self.reference}"

    def contrasts(self, numbers: Numbers, measure: Measure) -> Iterator[tuple[Setting, Contrast]]:
        """The contrast of every method, with the setting that is compared."""
        for method in METHODS:
            first = UNTRAINED if self.reference == UNTRAINED.method else Setting(method)
            second = numbers.setting(method, self.regularizer)
            yield second, numbers.contrast(measure, first, second)


ANSWERS = (
    Answer(
        5,
        tuple(
            m for axis in AXES for m in _like("stereoset_intra/test/gender/log_ratio", axis=axis)
        ),
        "none",
        "corrected",
    ),
    Answer(7, (UNC3, _collapse("nc1w"), *ASSOCIATIONS, PERPLEXITY), "base", ratio=True),
    Answer(
        7, (UNC3, _collapse("nc1w"), *ASSOCIATIONS, PERPLEXITY), "none", "corrected", ratio=True
    ),
    Answer(8, ASSOCIATIONS, "base"),
    Answer(8, ASSOCIATIONS, "none", "corrected"),
    Answer(
        9, tuple(_collapse("nc1w", words) for words in ("gender", "random")), "base", ratio=True
    ),
    Answer(10, (_collapse("nc3"), UNC3, SLOPE), "none", "corrected"),
    Answer(
        12, tuple(map(_collapse, ("nc1", "nc2_equinorm", "nc2_equiangular", "nc3", "unc3"))), "base"
    ),
)

#: Measures of the untrained model that answer a question by themselves.
OF_BASE = {2: PRONOUNS, 5: ANSWERS[0].measures, 8: ASSOCIATIONS}

#: Question 1: what a run's distance from fair is set beside, within methods.
PREDICTORS = (UNC3, _collapse("nc1w"))

#: Question 6: the lists of words that NC3 is trained on.
LISTS = {
    "corrected": "gender words",
    "corrected,words=random": "random words",
    "corrected,words=matched": "words as frequent",
    "corrected,words=profession": "professions",
    "corrected,words=vocabulary": "the whole vocabulary",
}


def answer(
    numbers: Numbers,
    *,
    decoder: Numbers | None = None,
    method: str = "bec",
    profile: str = "adhoc",
    resamples: int = 2000,
) -> Run:
    """The rows of every question that the recorded runs of a model answer; ``decoder``: those of a
    decoder-only model, for question 3.

    ``split`` names the question (``question 7``), ``axis`` the word list or the axis; ``variant``
    what is shown: ``mean`` of the untrained model, ``minus`` or ``ratio to`` a reference (see
    ``Answer``), ``spearman`` of a run's distance from fair with UNC3 or NC1w (question 1, the
    metric) within methods, ``minus words`` of NC3 on several lists (question 6, on ``method``).
    Intervals are t intervals over seeds, of correlations bootstrap intervals over settings.
    """
    rows = [
        *_correlations(numbers, resamples),
        *_of_base(numbers),
        *(_of_decoder(decoder) if decoder else ()),
        *_lists(numbers, method),
        *(row for each in ANSWERS for row in _changes(numbers, each)),
    ]
    config = {"model": numbers.model, "profile": profile, "method": method}
    studies = [numbers, decoder] if decoder else [numbers]
    evidence = {"study": corpora.fingerprint(i for study in studies for i in study.run_ids)}
    common = {"benchmark": "reviewers", "origin": "recorded", "seed": np.nan}
    return make(config, [common | row for row in rows], None, device="cpu", evidence=evidence)


def _row(question: int, measure: Measure, variant: str, outcome: stats.Estimate, **columns) -> dict:
    place = {"split": f"question {question}", "axis": measure.group, "variant": variant}
    return place | columns | metric_rows({measure.name: outcome})[0]


def _correlations(numbers: Numbers, resamples: int) -> Iterator[dict]:
    for measure in PREDICTORS:
        outcome = numbers.correlations(
            measure, SLOPE, of=SLOPE.metric.distance, resamples=resamples
        ).get("within")
        if outcome:
            value = stats.Estimate(outcome.value, outcome.ci_low, outcome.ci_high, outcome.units)
            yield _row(1, measure, "spearman", value, method="within", regularizer="all")


def _of_base(numbers: Numbers) -> Iterator[dict]:
    for question, measures in OF_BASE.items():
        for measure in measures:
            runs = numbers.runs(measure, UNTRAINED)
            if len(runs):
                yield _row(question, measure, "mean", estimate(runs), method=UNTRAINED.method)


def _of_decoder(numbers: Numbers) -> Iterator[dict]:
    """The slope of a decoder-only model, and its change by every method without a regularizer."""
    model = {"model": numbers.model}
    if len(runs := numbers.runs(SLOPE, UNTRAINED)):
        yield model | _row(3, SLOPE, "mean", estimate(runs), method=UNTRAINED.method)
    for method in sorted(set(numbers.results["method"]) - {UNTRAINED.method}):
        difference = numbers.contrast(SLOPE, UNTRAINED, Setting(method)).difference
        if len(difference):
            outcome = stats.over_seeds(difference)
            yield model | _row(3, SLOPE, "minus base", outcome, method=method, regularizer="none")


def _lists(numbers: Numbers, method: str) -> Iterator[dict]:
    weight = ablations.compared_at(ablations.by_run(numbers), method, LISTS, otherwise=np.nan)
    for label in LISTS:
        setting = Setting(method, label, weight)
        for measure in (UNC3, SLOPE):
            difference = numbers.contrast(measure, Setting(method), setting).difference
            if len(difference):
                columns = {"method": method, "regularizer": label, "lam": weight}
                yield _row(6, measure, "minus words", stats.over_seeds(difference), **columns)


def _changes(numbers: Numbers, each: Answer) -> Iterator[dict]:
    for measure in each.measures:
        for setting, contrast in each.contrasts(numbers, measure):
            values = contrast.ratio if each.ratio else contrast.difference
            if len(values):
                columns = {
                    "method": setting.method,
                    "regularizer": setting.regularizer,
                    "lam": setting.lam or 0.0,
                }
                outcome = stats.over_seeds(values)
                yield _row(each.question, measure, each.variant, outcome, **columns)


# ---------------------------------------------------------------- what a reader sees


def rows(results: pd.DataFrame, question: int, variant: str, **columns) -> pd.DataFrame:
    """The rows of a question in one variant."""
    return select(results, split=f"question {question}", variant=variant, **columns)


def table(answers: pd.DataFrame, *, caption: str, by: str = "method") -> Styler:
    """One row for each value of ``by`` that has every metric, one column a metric, with the number
    of seeds or units.
    """
    metrics = [metric for metric in METRICS if metric in set(answers["metric"])]
    whole = answers.groupby(by, sort=False)["metric"].transform("nunique") == len(metrics)
    return tables.by_axis(answers[whole], rows=by, metrics=metrics, caption=caption)


def span(answers: pd.DataFrame, metric: str) -> str:
    """The least and the greatest value of a metric over methods, in words."""
    values = answers[answers["metric"] == metric]["value"]
    if values.empty:
        return f"{METRICS[metric].label} not run"
    least, most = tables.number(values.min()), tables.number(values.max())
    return f"{METRICS[metric].label} from {least} to {most}"


def by_min_count(results: pd.DataFrame, model: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Rows of a model's gender words on GAP test by least number of samples; of several runs that
    with the most words.
    """
    answers = select(
        results,
        model=model,
        method=UNTRAINED.method,
        metric=list(metrics),
        **UNC3.where | {"min_count": sorted(set(results["min_count"].dropna()))},
    ).sort_values(["min_count", "n"])
    return answers.drop_duplicates(["min_count", "metric"], keep="last")
