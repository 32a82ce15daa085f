"""From the tidy tables of a study to the change of one measure, seed by seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from fairnc_book.claims.data import CONTRASTS, Measure
from fairnc_utils import benchmarks, stats
from fairnc_utils.debias import CONTROLS, DEBIASING
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.weight import chosen_lambdas

#: Metrics of collapse as functions of the NC3 cosine of each word; the global mean stays as it is.
COLLAPSE = {"nc3": np.mean, "unc3": partial(np.std, ddof=1)}


@dataclass(frozen=True)
class Change:
    """``changes`` of a measure, None with a ``reason`` where there are none; means over seeds of the ``first`` and ``second``
    models' metric itself, before any distance is taken.
    """

    changes: stats.Changes | None
    reason: str = ""
    first: float = float("nan")
    second: float = float("nan")


@dataclass(frozen=True)
class Study:
    """Result rows and unit scores of the runs of one ``model``; ``chosen``: method → its λ of corrected NC3."""

    results: pd.DataFrame
    units: pd.DataFrame
    chosen: Mapping[str, float]
    model: str
    resamples: int = 2000

    @classmethod
    def of(cls, results: pd.DataFrame, units: pd.DataFrame, *, model: str, resamples: int = 2000) -> "Study":
        """The study of a model, each method's λ chosen from its own rows on StereoSet's development part where it can be."""
        own = results[results["model"] == model]
        return cls(own, units, chosen_lambdas(own, (*DEBIASING, *CONTROLS)), model, resamples)

    @property
    def run_ids(self) -> list[str]:
        """Ids of all runs that the tests may rest on."""
        return sorted(set(self.results["run_id"]))

    @cached_property
    def _rows(self) -> dict[tuple[str, str], pd.DataFrame]:
        table = self.results
        kept = (table["model"] == self.model) & table["variant"].isin(["corrected", ""]) & (table["layer"] == "last")
        return dict(tuple(table[kept].sort_values("created", kind="stable").groupby(["benchmark", "metric"])))

    @cached_property
    def _units(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        return dict(tuple(self.units.groupby(["benchmark", "split", "axis"])))

    @cached_property
    def _wide(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        return {}

    def rows(self, measure: Measure, words: str = "") -> pd.DataFrame:
        """All runs' rows of a measure, of the first of its splits that is recorded."""
        table = self._rows.get((measure.benchmark, measure.metric), pd.DataFrame(columns=self.results.columns))
        table = table[(table["words"] == words) & ((table["axis"] == measure.axis) | bool(words))]  # a list tells its axis
        splits = [split for split in measure.split.split("|") if (table["split"] == split).any()]
        return table[table["split"] == splits[0]] if splits else table.iloc[:0]

    def runs(self, measure: Measure, words: str, method: str, regularizer: str | None) -> pd.DataFrame:
        """Rows of one cell by seed, the newest where a seed ran twice; the untrained model (None) has one."""
        table = self.rows(measure, words)
        if regularizer is None:
            return table[table["method"] == "base"].drop_duplicates("method", keep="last").set_index("seed")
        table = table[(table["method"] == method) & (table["regularizer"] == regularizer)]
        if regularizer == "corrected":
            table = table[table["lam"] == self.chosen.get(method, np.nan)]
        return table.drop_duplicates("seed", keep="last").set_index("seed").sort_index()

    def change(self, measure: Measure, method: str, contrast: str) -> Change:
        """Second minus first model of a contrast on a measure: their metric, or its distance from the ideal."""
        cells = CONTRASTS[contrast]
        pair = [self._cell(measure, method, regularizer) for regularizer in cells]
        for table, regularizer in zip(pair, cells, strict=True):
            if table.empty:
                return Change(None, self._missing(measure, method, regularizer))
        if cells[0] is not None:
            seeds = pair[0].index.intersection(pair[1].index)
            if seeds.empty:
                return Change(None, f"not run: {measure.benchmark} of {method} has no seed with and without NC3")
            pair = [table.loc[seeds] for table in pair]
        return Change(self._changes(measure, *pair), "", *(float(table["value"].mean()) for table in pair))

    def _cell(self, measure: Measure, method: str, regularizer: str | None) -> pd.DataFrame:
        """Runs of a measure by seed, less those of the word list that it is held against, where a seed has both."""
        table = self.runs(measure, measure.words, method, regularizer)
        if not measure.against:
            return table
        control = self.runs(measure, measure.against, method, regularizer)["value"]
        return table.loc[table.index.intersection(control.index)].assign(value=lambda rows: rows["value"] - control)

    def _changes(self, measure: Measure, first: pd.DataFrame, second: pd.DataFrame) -> stats.Changes:
        """From the unit scores where they are kept, else from the rows' values alone."""
        if measure.benchmark == "collapse":
            return self._collapse_changes(measure, first, second)
        benchmark = benchmarks.BENCHMARKS.get(measure.benchmark)
        tables = self._columns(measure, first, second) if benchmark else None
        if not tables or measure.metric not in benchmark.statistics:
            return _plain(measure, first, second)
        columns, statistic = benchmark.statistics[measure.metric]
        return stats.seed_changes(
            *([table[column] for column in columns] for table in tables), _from_ideal(statistic, measure.ideal),
            strata=tables[0][benchmark.strata][0] if benchmark.strata else None, resamples=self.resamples,
        )  # fmt: skip

    def _collapse_changes(self, measure: Measure, first: pd.DataFrame, second: pd.DataFrame) -> stats.Changes:
        """Changes of NC3 or UNC3, whose words are kept for the first seed: what redrawing them does there, it does to all."""
        plain = _plain(measure, first, second)
        tables = self._columns(measure, first.iloc[:1], second.iloc[:1])
        if not tables:
            return plain
        one = stats.seed_changes(
            *([table["cosine"]] for table in tables), COLLAPSE[measure.metric], resamples=self.resamples
        )
        return stats.Changes(plain.observed, plain.observed + one.resampled - one.observed, one.units)

    def _columns(self, measure: Measure, *sides: pd.DataFrame) -> list[dict[str, np.ndarray]] | None:
        """Columns (S, U) of the unit table of each side's runs, None where one is not kept. Axis ``all`` pools the others."""
        key = (measure.benchmark, sides[0]["split"].iloc[0], measure.axis)
        if key not in self._wide:
            parts = [part for (name, split, axis), part in self._units.items()
                     if (name, split) == key[:2] and (axis == key[2] or key[2] == "all")]  # fmt: skip
            table = pd.concat(parts) if parts else self.units.iloc[:0]
            self._wide[key] = table.pivot(index=["axis", "unit"], columns=["column", "run_id"], values="value").sort_index()
        wide, runs = self._wide[key], [run_id for rows in sides for run_id in rows["run_id"]]
        if not set(runs) <= set(wide.columns.get_level_values("run_id")):
            return None
        found = {name: wide[name][runs].dropna(how="all").to_numpy(float).T for name in wide.columns.unique("column")}
        if any(np.isnan(values).any() for values in found.values()):
            raise FairNCError(f"{'/'.join(key)}: runs {', '.join(runs)} have unlike units; record them with the same items")
        first = len(sides[0])
        return [{name: values[part] for name, values in found.items()} for part in (slice(first), slice(first, None))]

    def _missing(self, measure: Measure, method: str, regularizer: str | None) -> str:
        if regularizer == "corrected" and method not in self.chosen:
            return "not run: no λ could be chosen"
        what = "the model before training" if regularizer is None else f"{method}, NC3 {regularizer}"
        released = " (a released script exists for some methods only)" if regularizer == "as_released" else ""
        return f"not run: {measure.benchmark} of {what}{released}"


def _plain(measure: Measure, first: pd.DataFrame, second: pd.DataFrame) -> stats.Changes:
    ends = [_distance(rows["value"].to_numpy(float), measure.ideal) for rows in (first, second)]
    return stats.Changes(ends[1] - ends[0])


def _distance(values: np.ndarray, ideal: float | None) -> np.ndarray:
    return values if ideal is None else np.abs(values - ideal)


def _from_ideal(statistic: Callable, ideal: float | None) -> Callable:
    """A statistic, or its distance from the ideal; taken anew in each resample."""
    return lambda *columns, axis: _distance(statistic(*columns, axis=axis), ideal)
