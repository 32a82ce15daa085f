"""The recorded runs of the second edition, a ``Study`` for each base."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairnc_book.numbers import UNTRAINED, Numbers, estimate
from fairnc_book.planned.data import CAUSAL, EDITION, EMBEDDED, LONG_CONTROL, Outcome
from fairnc_utils import stats
from fairnc_utils.benchmarks.selectivity import OCCUPATIONS, OTHERS, SELECTIVITY, SWAPPED
from fairnc_utils.runs import recording
from fairnc_utils.runs.rows import recorded, recorded_units, select

#: Where selectivity is filed, in rows and units.
_SELECTIVITY = {"benchmark": "selectivity", "split": "bls", "axis": "gender"}

#: Steps of the runs that ``LONG_CONTROL`` names.
_LONG = int(LONG_CONTROL.rpartition(", ")[2].removesuffix(" steps").replace(",", ""))


@dataclass(frozen=True)
class Study:
    """One base: its numbers, and what its untrained model says."""

    model: str
    numbers: Numbers

    @property
    def masked(self) -> bool:
        """Whether it is one of the bases that the mean over bases is taken over."""
        return CAUSAL not in self.model

    def base(self, outcome: Outcome) -> stats.Estimate | None:
        """The untrained model on a measure, with its interval over units; None: not measured."""
        runs = self.numbers.runs(outcome.measure, UNTRAINED)
        return estimate(runs) if len(runs) else None


def recorded_studies() -> list[Study]:
    """Every base with recorded runs of the second edition, the embedded one first."""
    return studies(select(recorded(), profile=EDITION), recorded_units(), recording.runs())


def studies(results: pd.DataFrame, units: pd.DataFrame, runs: dict[str, dict]) -> list[Study]:
    """A study for each model of the result rows. ``runs``: provenance by run id, which tells runs of
    another length apart.
    """
    results = _by_length(results, runs)
    units = units[units["run_id"].isin(set(results["run_id"]))]
    spent = _selectivity_units(units)
    units = pd.concat([units, spent], ignore_index=True)
    results = pd.concat(
        [results, _selectivity(results, spent), _log_perplexity(results)], ignore_index=True
    )
    models = sorted(results["model"].unique(), key=lambda model: (model != EMBEDDED, model))
    return [
        Study(model, Numbers(results, units, model=model, edition=EDITION, weights={}))
        for model in models
    ]


def _by_length(results: pd.DataFrame, runs: dict[str, dict]) -> pd.DataFrame:
    """The rows with ``LONG_CONTROL`` as the method of plain training that lasted so long."""
    long = {
        run_id
        for run_id, run in runs.items()
        if (run["config"].get("method"), run["config"].get("steps")) == ("mlm", _LONG)
    }
    there = results["run_id"].isin(long) & (results["method"] == "mlm")
    return results.assign(method=results["method"].mask(there, LONG_CONTROL))


def _log_perplexity(results: pd.DataFrame) -> pd.DataFrame:
    """The natural logarithm of each masked perplexity, as rows; a causal model's likewise."""
    rows = select(results, benchmark="perplexity", metric=["masked_perplexity", "perplexity"])
    return rows.assign(metric="log_perplexity", value=np.log(rows["value"]))


def _selectivity_units(units: pd.DataFrame) -> pd.DataFrame:
    """Units of selectivity, made of those of the occupations and of the nouns; 0 where a column is
    none of theirs.
    """
    parts = {
        ("occupation_slope", "gender"): OCCUPATIONS,
        ("definitional", "swapped"): SWAPPED,
        ("definitional", "others"): OTHERS,
    }
    keys = ["run_id", "unit", "part"]
    tables = [
        select(units, benchmark=name, axis=axis).assign(part=float(part))
        for (name, axis), part in parts.items()
    ]
    table = pd.concat(tables)
    wide = table.pivot_table(index=keys, columns="column", values="value").fillna(0.0)
    wide = wide.reset_index("part").reset_index()
    long = wide.melt(["run_id", "unit"], var_name="column", value_name="value")
    return long.assign(**_SELECTIVITY)[list(units.columns)]


def _selectivity(results: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """The slope over definitional gender of each run, as rows; the interval over units is given for
    untrained models, whose only one it is.
    """
    slopes = select(results, benchmark="occupation_slope", axis="gender", metric="slope")
    columns, statistic = SELECTIVITY.statistics["selectivity"]
    rows, by_run = [], dict(tuple(units.groupby("run_id")))
    for row in slopes.to_dict("records"):
        if (part := by_run.get(row["run_id"])) is None:
            continue
        table = part.pivot(index="unit", columns="column", values="value").astype(float)
        scores = [table[column].to_numpy() for column in columns]
        value, low, high = float(statistic(*scores, axis=-1)), np.nan, np.nan
        if row["method"] == UNTRAINED.method:
            spread = stats.bootstrap(
                *scores, statistic=statistic, strata=table[SELECTIVITY.strata].to_numpy()
            )
            low, high = spread.ci_low, spread.ci_high
        rows.append(
            row
            | _SELECTIVITY
            | {"metric": "selectivity", "value": value, "ci_low": low, "ci_high": high}
        )
    return pd.DataFrame(rows, columns=list(results.columns))
