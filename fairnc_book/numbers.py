"""Every number of the book: its label, its ideal, where its result rows are, and what several runs
say of it.

A *metric* has a name and an ideal. A *measure* is a metric of one benchmark on one split, group or
word list: it knows where its result rows are. A *setting* is a way of training. ``Numbers`` finds the
runs of a setting on a measure and sets two settings against each other, seed by seed and unit by unit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairnc_utils import stats
from fairnc_utils.benchmarks import BENCHMARKS
from fairnc_utils.debias import CONTROLS, DEBIASING
from fairnc_utils.errors import FairNCError
from fairnc_utils.metrics import METRICS, Metric
from fairnc_utils.regularizer import RELEASED_WEIGHTS
from fairnc_utils.runs.rows import load, recorded, recorded_units, select
from fairnc_utils.runs.weight import choose_lambdas
from fairnc_utils.tasks import TASKS

#: Methods that are trained, in the order of tables and colours.
METHODS = (*CONTROLS, *DEBIASING)

#: Edition of the recorded study that chapters show unless they say another one: the profile that its runs were made with.
EDITION = "full"

#: Columns that tell one way of training from another; one run from another; one number of a run from another.
SETTING = ("model", "method", "regularizer", "lam")
RUN = (*SETTING, "seed")
WAY = ("origin", *SETTING)  # as the interactive pages offer it: live and recorded runs apart
NUMBER = (
    "benchmark",
    "split",
    "axis",
    "words",
    "corpus",
    "variant",
    "min_count",
    "space",
    "layer",
    "metric",
)

# ---------------------------------------------------------------- measures


@dataclass(frozen=True)
class Measure:
    """A metric ``on`` something (for people), and the columns ``where`` its result rows are found.

    A tuple in ``where`` names values of which the first that has rows counts. ``quoted``: what
    published values are filed under where that is not the same.
    """

    name: str
    on: str
    where: Mapping[str, Any]
    quoted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """Label and ideal."""
        return METRICS[self.name]

    @property
    def label(self) -> str:
        """As tables name it, with the ideal."""
        return f"{self.metric.label} ({self.metric.target}), {self.on}"

    @property
    def benchmark(self) -> str:
        """Name of the benchmark, of the task, or ``collapse``."""
        return self.where["benchmark"]

    @property
    def group(self) -> str:
        """The word list or the axis."""
        return self.where.get("words") or self.where.get("axis", "")

    @property
    def key(self) -> str:
        """Name in ``MEASURES``: ``stereoset_intra/test/gender/SS``."""
        split = self.where.get("split", "")
        parts = (
            self.benchmark,
            "|".join(split) if isinstance(split, tuple) else split,
            self.group or self.where.get("corpus", ""),
            self.name,
        )
        return "/".join(filter(None, parts))

    @property
    def fine_tuned(self) -> bool:
        """Whether models are fine-tuned before they are measured, so that the untrained model has
        seeds as well.
        """
        entry = BENCHMARKS.entries.get(self.benchmark)
        return self.benchmark in TASKS or bool(
            entry and not {"masked", "causal"} & set(entry.kinds)
        )

    def rows(self, results: pd.DataFrame, **columns: Any) -> pd.DataFrame:
        """The result rows of this number, computed by this code, that have the given values as
        well.
        """
        where = {"metric": self.name, **self.where, **columns}
        several = {column: values for column, values in where.items() if isinstance(values, tuple)}
        there = np.ones(len(results), bool)
        for column, value in where.items():
            if column not in several:
                there &= (results[column] == value).to_numpy(bool)
        results = results[there]
        for column, values in several.items():
            value = next((value for value in values if (results[column] == value).any()), values[0])
            results = results[results[column] == value]
        return results

    def quotes(self, results: pd.DataFrame, **columns: Any) -> pd.DataFrame:
        """The published rows of this number, which know no variant, space or cutoff."""
        filed = {
            key: self.where[key] for key in ("benchmark", "split", "axis") if key in self.where
        }
        return select(
            results, origin="published", metric=self.name, **filed | self.quoted, **columns
        )


#: Where published values of a benchmark are filed, if not under its own split.
_QUOTED_SPLITS = {"bias_nli": "test"}


def _measures(
    benchmark: str, split: str | tuple[str, ...], axis: str, on: str, names: str
) -> tuple[Measure, ...]:
    """Metrics of a benchmark on a split and an axis; of collapse, on a word list; of perplexity, on
    a corpus.
    """
    where = {"benchmark": benchmark, "split": split, "axis": axis, "variant": "corrected"}
    quoted = {"split": _QUOTED_SPLITS[benchmark]} if benchmark in _QUOTED_SPLITS else {}
    if benchmark == "collapse":
        where |= {"words": where.pop("axis"), "space": "head", "layer": "last", "min_count": 10}
        quoted = {"axis": axis}
    elif benchmark == "perplexity":
        where = {"benchmark": benchmark, "corpus": axis, "variant": ""}
    return tuple(Measure(name, on, where, quoted) for name in names.split())


_NC = "nc3 unc3 nc1 nc2_equinorm nc2_equiangular gnc2_sd"
_STEREOSET, _CROWS = "SS LM ICAT log_ratio", "stereotype_pct log_ratio"
_BEC = "gap abs_association_female abs_association_male"
_BIOS, _PROBABILITY = "TPR-GAP TPR-RMS accuracy", "probability_gap"
_WINOBIAS, _WINOGENDER = "TPR answer_probability_gap", "gotcha_gap answer_probability_gap"
_ZERO_SHOT = "log_ratio preference"

#: Table of the book → benchmark, split, axis (word list, corpus), the same for people, and metrics, in the order shown.
_TABLES = {
    "collapse": (
        ("collapse", "test", "gender", "gender words", _NC),
        ("collapse", "test", "random", "random words", _NC),
        ("collapse", "test", "vocabulary", "vocabulary", _NC),
    ),
    "stereoset": (
        ("stereoset_intra", "test", "gender", "gender, test", _STEREOSET),
        ("stereoset_intra", "dev", "gender", "gender, dev", _STEREOSET),
        ("stereoset_intra", "test", "all", "all types, test", _STEREOSET),
        (
            "stereoset_inter_likelihood",
            "test",
            "gender",
            "gender, test, next sentence",
            "SS log_ratio",
        ),
    ),
    "crows": (
        ("crows_bias_bench", "all", "gender", "gender, bias-bench", _CROWS),
        ("crows_official", "all", "gender", "gender, official", _CROWS),
    ),
    "bec_pro": (
        ("bec_pro", "english", "female", "women's professions", _BEC),
        ("bec_pro", "english", "male", "men's professions", _BEC),
        ("bec_pro", "english", "balanced", "balanced professions", _BEC),
    ),
    "companions": (
        ("occupation_slope", "bls", "gender", "60 occupations", "slope lean"),
        ("seat", "gender", "all", "SEAT, gender tests", "abs_effect_size"),
    ),
    "professions": (
        ("bias_in_bios", "test", "gender", "Bias in Bios", _BIOS),
        ("bug_profession", "test", "gender", "BUG (stand-in)", f"{_BIOS} {_PROBABILITY}"),
    ),
    "inference": (
        ("bias_nli", ("all", "sample"), "gender", "occupation pairs", "NN FN T:0.5 T:0.7"),
    ),
    "coreference": (
        ("winobias", "dev", "type1", "WinoBias type1, dev", _WINOBIAS),
        ("winobias", "dev", "type2", "WinoBias type2, dev", _WINOBIAS),
        ("winobias", "test", "type1", "WinoBias type1, test", _WINOBIAS),
        ("winobias", "test", "type2", "WinoBias type2, test", _WINOBIAS),
        ("winogender", "all", "gender", "Winogender", _WINOGENDER),
        ("gap", "test", "gender", "GAP test", "f1 f1_ratio"),
    ),
    "understanding": (
        ("perplexity", "test", "gap", "GAP test", "masked_perplexity"),
        ("cola", "validation", "", "CoLA dev", "matthews"),
        ("sst2", "validation", "", "SST-2 dev", "accuracy"),
        ("mrpc", "validation", "", "MRPC dev", "f1"),
        ("stsb", "validation", "", "STS-B dev", "spearman"),
        ("qqp", "validation", "", "QQP dev", "f1"),
        ("mnli", "validation", "", "MNLI dev", "accuracy"),
        ("qnli", "validation", "", "QNLI dev", "accuracy"),
        ("rte", "validation", "", "RTE dev", "accuracy"),
        ("wnli", "validation", "", "WNLI dev", "accuracy"),
        ("sick", "test", "", "SICK test (beside GLUE)", "accuracy"),
    ),
}

#: Numbers that claims are about and no table shows.
_UNTABLED = (
    ("collapse", "test", "matched", "words as frequent", "nc3 unc3"),
    ("bec_pro", "english", "all", "all professions", _BEC),
    ("winobias", ("test", "dev"), "type1", "WinoBias type1", _WINOBIAS),
    ("winobias", ("test", "dev"), "type2", "WinoBias type2", _WINOBIAS),
    ("collapse", "test", "gender", "gender words", "nc1w"),
    ("gender_agreement", "test", "all", "GAP test", "log_loss accuracy right_log_odds"),
    ("gender_agreement", "test", "names", "GAP test, only names tell", "log_loss accuracy"),
    ("definitional", "nouns", "all", "26 pairs of nouns", "definitional"),
    ("selectivity", "bls", "gender", "60 occupations, 26 pairs of nouns", "selectivity"),
    (
        "swap_collapse",
        "gap",
        "all",
        "GAP test pairs",
        "swap_collapse neutral_part even_rms odd_mean",
    ),
    ("winobias_zero_shot", "test", "type1", "WinoBias type1, no resolver", _ZERO_SHOT),
    ("winobias_zero_shot", "test", "type2", "WinoBias type2, no resolver", _ZERO_SHOT),
    ("perplexity", "test", "gap", "GAP test", "log_perplexity"),
    ("bug_counterfactual", "test", "gender", "BUG (stand-in)", "cf_slope cf_rms flip_rate"),
    ("bios_counterfactual", "test", "gender", "Bias in Bios", "cf_slope cf_rms flip_rate"),
)

#: Table of the book → its numbers, in the order in which they are offered.
TABLES = {
    name: tuple(measure for row in rows for measure in _measures(*row))
    for name, rows in _TABLES.items()
}

#: ``Measure.key`` → measure: every number of the book.
MEASURES = {
    measure.key: measure
    for row in (*chain.from_iterable(_TABLES.values()), *_UNTABLED)
    for measure in _measures(*row)
}


def at_least(measure: Measure, count: int) -> Measure:
    """A measure of collapse over the words that are seen at least ``count`` times."""
    return replace(
        measure, on=f"{measure.on}, n ≥ {count}", where={**measure.where, "min_count": count}
    )


# ---------------------------------------------------------------- runs of a setting


@dataclass(frozen=True)
class Setting:
    """A way of training: method, label of its regularizer, and λ; None: the only one that it was
    trained with.
    """

    method: str
    regularizer: str = "none"
    lam: float | None = None

    def __str__(self) -> str:
        weight = "" if self.lam is None else f", λ = {self.lam:g}"
        return f"{self.method}, NC3 {self.regularizer}{weight}"


UNTRAINED = Setting("base")

#: Metrics of collapse as functions of the NC3 cosine of each word; the global mean stays as it is.
_OF_COSINES = {"nc3": np.mean, "unc3": partial(np.std, ddof=1)}


@dataclass(frozen=True)
class Contrast:
    """Second minus first setting on one measure: rows of their runs by seed, the same seeds on both
    sides.

    An untrained first model has one row, which stands beside each of the second. ``missing``: the
    setting without a run, if one has none.
    """

    measure: Measure
    first: pd.DataFrame
    second: pd.DataFrame
    missing: Setting | None = None

    @property
    def difference(self) -> np.ndarray:
        """Second minus first value, one a seed (S,); 0 is no change."""
        return self.second["value"].to_numpy(float) - self.first["value"].to_numpy(float)

    @property
    def ratio(self) -> np.ndarray:
        """Second over first value, one a seed (S,); none where a first value is 0. 1 is no change."""
        first = self.first["value"].to_numpy(float)
        return self.second["value"].to_numpy(float) / first if (first != 0).all() else first[:0]


@dataclass(frozen=True)
class _Scores:
    """Unit scores of one run: column → (U,); ``present``: which units of the benchmark these are."""

    run_id: str
    columns: dict[str, np.ndarray]
    present: bytes

    @classmethod
    def of(cls, run_id: str, table: pd.DataFrame) -> "_Scores":
        """Of a table with the benchmark's units in rows."""
        there = table.notna()
        columns = {name: table[name][there[name]].to_numpy(float) for name in table}
        return cls(run_id, columns, there.to_numpy().tobytes())


class Numbers:
    """The numbers of one model in one edition.

    ``results``: result rows, of which those of ``model`` and of profile ``edition`` count.
    ``units``: unit scores of the runs (``rows.UNIT_COLUMNS``). ``weights``: method → λ at which its
    corrected NC3 is shown; None: chosen from the rows.
    """

    def __init__(
        self,
        results: pd.DataFrame,
        units: pd.DataFrame | None = None,
        *,
        model: str,
        edition: str = EDITION,
        weights: Mapping[str, float] | None = None,
    ):
        self.model, self._units = model, units
        self.results = select(results, model=model, profile=edition)
        self._tables: dict[tuple, pd.DataFrame] = {}
        self._settings: dict[tuple, pd.DataFrame] = {}
        self._unit_tables: dict[tuple[str, str, str], pd.DataFrame] = {}
        self._of_runs: dict[tuple[str, str, str], dict[str, _Scores | None]] = {}
        self._resamples: dict[tuple, stats.Changes] = {}
        if weights is not None:
            self.weights = dict(weights)

    @classmethod
    def recorded(cls, model: str, *, edition: str = EDITION, units: bool = False) -> "Numbers":
        """Those of the study that comes with the book; ``units``: with its unit scores, millions of
        them.
        """
        scores = recorded_units() if units else None
        return cls(recorded(), scores, model=model, edition=edition)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Method → its λ of the corrected NC3, chosen on StereoSet dev, if it was run with NC3 and
        without.
        """
        return choose_lambdas(
            self.results, dict.fromkeys([*METHODS, *self.results["method"].unique()])
        )

    @property
    def run_ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        return sorted(set(self.results["run_id"]))

    @cached_property
    def _parts(self) -> dict[tuple[str, str], pd.DataFrame]:
        return dict(tuple(self.results.groupby(["benchmark", "metric"], sort=False)))

    def setting(self, method: str, regularizer: str) -> Setting:
        """The setting that stands for a method with that regularizer: corrected at the chosen λ, as
        released at the script's.
        """
        weights = {"corrected": self.weights, "as_released": RELEASED_WEIGHTS}.get(regularizer)
        return Setting(
            method, regularizer, None if weights is None else weights.get(method, np.nan)
        )

    def table(self, measure: Measure) -> pd.DataFrame:
        """The result rows of a measure, one a run (``RUN``): the newest where a setting and seed ran
        twice.

        An untrained model that nothing was tuned on is one run, however often it was measured.
        """
        where = (measure.name, *measure.where.items())
        if where not in self._tables:
            part = self._parts.get((measure.benchmark, measure.name), self.results.iloc[:0])
            rows = newest(measure.rows(part), RUN)
            again = rows.duplicated(list(SETTING), keep="last") & (
                rows["method"] == UNTRAINED.method
            )
            self._tables[where] = rows if measure.fine_tuned else rows[~again]
        return self._tables[where]

    def runs(
        self,
        measure: Measure,
        setting: Setting,
        *,
        seeds: Iterable[int] | None = None,
        less: Measure | None = None,
    ) -> pd.DataFrame:
        """The runs of a setting by seed: their result rows of a measure; no rows if it was not run.

        ``seeds``: these alone; ``less``: a measure whose value is taken off each run's, where a run
        has both. Raises ``FairNCError`` where the setting leaves open which of several λ is meant.
        """
        table = self._by_seed(measure, setting)
        if seeds is not None:
            table = table[table.index.isin(list(seeds))]
        if less is None:
            return table
        control = self.runs(less, setting)["value"]
        both = table.loc[table.index.intersection(control.index)]
        return both.assign(value=both["value"] - control)

    def _by_seed(self, measure: Measure, setting: Setting) -> pd.DataFrame:
        """The runs of a setting, as ``runs`` has them all; it is asked for each of them many times."""
        key = (measure.name, *measure.where.items(), setting)
        if key not in self._settings:
            table = self.table(measure)
            there = (table["method"] == setting.method) & (
                table["regularizer"] == setting.regularizer
            )
            if setting.lam is not None:
                there &= table["lam"] == setting.lam
            table = table[there]
            if table["lam"].nunique() > 1:
                weights = ", ".join(f"{lam:g}" for lam in sorted(table["lam"].unique()))
                raise FairNCError(f"{setting} was run with λ = {weights}: choose one of them")
            self._settings[key] = table.set_index("seed", drop=False).sort_index()
        return self._settings[key]

    def contrast(
        self, measure: Measure, first: Setting, second: Setting, *, less: Measure | None = None
    ) -> Contrast:
        """Second minus first setting on a measure, at the seeds that both have; ``less`` as in
        ``runs``.
        """
        sides = [self.runs(measure, setting, less=less) for setting in (first, second)]
        for setting, runs in zip((first, second), sides, strict=True):
            if runs.empty:
                return Contrast(measure, *(side.iloc[:0] for side in sides), missing=setting)
        if first.method != UNTRAINED.method or measure.fine_tuned:
            seeds = sides[0].index.intersection(sides[1].index)
            sides = [runs.loc[seeds] for runs in sides]
        return Contrast(measure, *sides)

    # ------------------------------------------------------------ units

    def changes(
        self, contrast: Contrast, *, folded: bool = False, resamples: int = 2000
    ) -> stats.Changes:
        """The changes of a contrast seed by seed, with its units redrawn where both sides' unit
        scores are kept.

        ``folded``: of the distance from the ideal, taken anew in each resample, if the metric can
        be missed on both sides. Of collapse, words are kept for the first seed: what redrawing them
        does there, it does to all.
        """
        measure = contrast.measure
        fold = measure.metric.folded if folded else np.asarray
        ends = [fold(rows["value"].to_numpy(float)) for rows in (contrast.first, contrast.second)]
        plain = stats.Changes(ends[1] - ends[0])
        if measure.benchmark == "collapse":
            sides = self.units(measure, contrast.first.iloc[:1], contrast.second.iloc[:1])
            if not sides:
                return plain
            cosines = ([side["cosine"]] for side in sides)
            one = stats.seed_changes(*cosines, _OF_COSINES[measure.name], resamples=resamples)
            return stats.Changes(
                plain.observed, plain.observed + one.resampled - one.observed, one.units
            )
        by_unit = self._redrawn(
            measure, contrast.first, contrast.second, folded=folded, resamples=resamples
        )
        if by_unit is None or folded:
            return by_unit or plain
        # The units only say how the change varies: what was recorded of "all" pools by other weights.
        shift = plain.observed - by_unit.observed
        return stats.Changes(plain.observed, by_unit.resampled + shift, by_unit.units)

    def levels(
        self, measure: Measure, runs: pd.DataFrame, *, resamples: int = 2000
    ) -> stats.Changes:
        """A measure itself seed by seed, as ``changes`` has its change: what is asked of the treated
        models' own mean.
        """
        plain = stats.Changes(runs["value"].to_numpy(float))
        by_unit = self._redrawn(measure, runs, resamples=resamples)
        if by_unit is None:
            return plain
        shift = plain.observed - by_unit.observed
        return stats.Changes(plain.observed, by_unit.resampled + shift, by_unit.units)

    def _redrawn(
        self, measure: Measure, *sides: pd.DataFrame, folded: bool = False, resamples: int
    ) -> stats.Changes | None:
        """The change between two sides, or one side's values, with the benchmark's units redrawn;
        None where they are not kept. ``folded``: of the distance from the ideal.
        """
        benchmark = BENCHMARKS.get(measure.benchmark)
        scores = self._scores(measure, *sides) if benchmark else None
        if not scores or measure.name not in benchmark.statistics:
            return None
        if not set(benchmark.statistics[measure.name][0]) <= set(scores[0].columns):
            return None
        by_run = [self._resampled(measure, score, folded, resamples) for score in scores]
        observed = np.concatenate([each.observed for each in by_run])
        resampled = np.concatenate([each.resampled for each in by_run], axis=1)
        if len(sides) > 1:
            split = len(sides[0])
            observed = observed[split:] - observed[:split]
            resampled = resampled[:, split:] - resampled[:, :split]
        return stats.Changes(observed, resampled, by_run[0].units)

    def _resampled(
        self, measure: Measure, scores: _Scores, folded: bool, resamples: int
    ) -> stats.Changes:
        """A measure of one run, with its units redrawn: the same places for every run with these
        units, so that differences between runs are paired. It is computed once.
        """
        key = (measure.name, *measure.where.items(), scores.run_id, folded, resamples)
        if key not in self._resamples:
            benchmark = BENCHMARKS[measure.benchmark]
            columns, statistic = benchmark.statistics[measure.name]
            fold = measure.metric.folded if folded else np.asarray
            self._resamples[key] = stats.seed_changes(
                None,
                [scores.columns[column][None] for column in columns],
                lambda *drawn, axis: fold(statistic(*drawn, axis=axis)),
                strata=scores.columns[benchmark.strata] if benchmark.strata else None,
                resamples=resamples,
            )
        return self._resamples[key]

    def units(self, measure: Measure, *sides: pd.DataFrame) -> list[dict[str, np.ndarray]] | None:
        """Column → unit scores (S, U) of each side's runs, the same units in the same order; None
        where one is not kept.

        Axis ``all`` pools the others. Raises ``FairNCError`` where runs have unlike units.
        """
        scores = self._scores(measure, *sides)
        if scores is None:
            return None
        ends = np.cumsum([0, *map(len, sides)])
        return [
            {
                name: np.stack([score.columns[name] for score in scores[start:end]])
                for name in scores[0].columns
            }
            for start, end in pairwise(ends)
        ]

    def _scores(self, measure: Measure, *sides: pd.DataFrame) -> list[_Scores] | None:
        """Unit scores of the runs of all sides, one after the other, as ``units`` has them."""
        key = (measure.benchmark, sides[0]["split"].iloc[0], measure.group)
        wide, runs = self._unit_table(key), [run_id for rows in sides for run_id in rows["run_id"]]
        if key not in self._of_runs:
            self._of_runs[key] = dict.fromkeys(wide.columns.unique("run_id"))
        of_runs = self._of_runs[key]
        if not set(runs) <= set(of_runs):
            return None
        for run_id in runs:
            if of_runs[run_id] is None:
                of_runs[run_id] = _Scores.of(run_id, wide.xs(run_id, axis=1, level="run_id"))
        scores = [of_runs[run_id] for run_id in runs]
        if len({score.present for score in scores}) > 1:
            raise FairNCError(
                f"{'/'.join(key)}: runs {', '.join(runs)} have unlike units; record them with the same items"
            )
        return scores

    @cached_property
    def _unit_parts(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        if self._units is None:
            return {}
        units = self._units[self._units["run_id"].isin(self.run_ids)]
        return dict(tuple(units.groupby(["benchmark", "split", "axis"])))

    def _unit_table(self, key: tuple[str, str, str]) -> pd.DataFrame:
        """Units of a benchmark, split and axis in rows, unit scores of each run in columns."""
        if key not in self._unit_tables:
            parts = [
                part
                for where, part in self._unit_parts.items()
                if where[:2] == key[:2] and (where[2] == key[2] or key[2] == "all")
            ]
            table = (
                pd.concat(parts)
                if parts
                else pd.DataFrame(columns=["axis", "unit", "column", "run_id", "value"])
            )
            wide = table.pivot(index=["axis", "unit"], columns=["column", "run_id"], values="value")
            self._unit_tables[key] = wide.sort_index()
        return self._unit_tables[key]

    # ------------------------------------------------------------ over runs

    def joined(self, x: Measure, y: Measure, *, of: Callable = np.asarray) -> pd.DataFrame:
        """One row a run (``RUN``) that has both measures: ``x`` of the first, ``y`` what ``of``
        makes of the second.
        """
        values = [self.table(measure)[[*RUN, "value"]].dropna(subset="value") for measure in (x, y)]
        both = values[0].merge(values[1], on=list(RUN), suffixes=("_x", "_y"))
        return both[list(RUN)].assign(x=both["value_x"], y=of(both["value_y"]))

    def correlations(
        self,
        x: Measure,
        y: Measure,
        *,
        of: Callable,
        ranked: bool = True,
        resamples: int = 2000,
        seed: int = 0,
    ) -> dict[str, stats.Effect]:
        """Scope → correlation over runs of one measure with ``of`` the other, by bootstrap over
        settings.

        Scopes: ``all`` runs; ``within``: about each method's mean; each method. The untrained model
        is in ``all`` alone.
        """
        pairs = self.joined(x, y, of=of)
        trained = pairs[pairs["method"] != UNTRAINED.method]
        means = trained.groupby("method")[["x", "y"]].transform("mean")
        scopes = {"all": pairs, "within": trained.assign(**(trained[["x", "y"]] - means))}
        scopes |= dict(list(trained.groupby("method")))
        return {
            scope: stats.clustered_correlation(
                part["x"],
                part["y"],
                part[list(SETTING[1:])].astype(str).agg("|".join, axis=1),
                ranked=ranked,
                resamples=resamples,
                seed=seed,
            )
            for scope, part in scopes.items()
            if len(part)
        }


def live_and_recorded(live: str | Path, *, edition: str = EDITION) -> pd.DataFrame:
    """Result rows of the runs below the folder ``live`` and of one edition of the recorded ones."""
    return pd.concat([load(live), select(recorded(), profile=edition)], ignore_index=True)


def newest(rows: pd.DataFrame, by: Iterable[str]) -> pd.DataFrame:
    """Of rows that differ in nothing of ``by`` the one that was made last, in order of making."""
    return rows.sort_values("created", kind="stable").drop_duplicates(list(by), keep="last")


def estimate(runs: pd.DataFrame) -> stats.Estimate:
    """Mean over runs that differ by seed, with its t interval; of a single run its value with its
    own interval.
    """
    if len(runs) == 1:
        value, low, high, n = runs[["value", "ci_low", "ci_high", "n"]].iloc[0]
        return stats.Estimate(value, low, high, n)
    return stats.over_seeds(runs["value"])


def estimates(rows: pd.DataFrame, by: Iterable[str]) -> pd.DataFrame:
    """``estimate`` of the runs of each group of ``by``: its columns, ``value``, ``ci_low``,
    ``ci_high`` and ``seeds``.
    """
    groups = rows.groupby(list(by), sort=False, dropna=False)
    table = groups.agg(
        value=("value", "mean"),
        deviation=("value", "std"),
        seeds=("value", "size"),
        ci_low=("ci_low", "first"),
        ci_high=("ci_high", "first"),
    ).reset_index()
    several, reach = table["seeds"] > 1, stats.t_reach(table.pop("deviation"), table["seeds"])
    table["ci_low"] = table["ci_low"].where(~several, table["value"] - reach)
    table["ci_high"] = table["ci_high"].where(~several, table["value"] + reach)
    return table


def minutes(results: pd.DataFrame) -> dict[str, float]:
    """Kind of device → minutes that runs took on it, by the times at which each was made; a pause of more
    than five minutes is none of theirs.
    """
    taken, runs = {}, results.drop_duplicates("run_id")
    for device, part in runs.groupby(runs["device"].str.split(":").str[0]):
        gaps = pd.to_datetime(part["created"]).sort_values().diff().dt.total_seconds().dropna()
        taken[device] = float(gaps[gaps < 300].sum() / 60)
    return taken


def significant(values: Iterable[float], digits: int = 4) -> list[float]:
    """Values with so many significant digits: what a page needs, in as few characters."""
    return [float(f"{value:.{digits}g}") for value in values]
