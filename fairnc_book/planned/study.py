"""The recorded runs of the second edition, a ``Study`` for each base."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairnc_book.numbers import UNTRAINED, Numbers, Setting, estimate
from fairnc_book.planned.data import CAUSAL, EDITION, EMBEDDED, LONG_CONTROL, RARE, Outcome
from fairnc_utils import stats
from fairnc_utils.benchmarks import occupations
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

    def moves(self, outcome: Outcome) -> bool | None:
        """Whether runs with a planted bias and with its reverse come apart; None: not run."""
        pair = self.numbers.contrast(
            outcome.measure, Setting("planted_reversed"), Setting("planted")
        )
        if pair.missing or pair.second.empty:
            return None
        effect = stats.crossed_bootstrap(self.numbers.changes(pair))
        return bool(stats.side(effect.ci_low, effect.ci_high))


def recorded_studies(*, causal: bool | None = None) -> list[Study]:
    """Bases with recorded runs of the second edition, the embedded one first.

    ``causal``: that base alone; False: the masked ones alone. The first base has a study, recorded or
    not.
    """
    every = studies(
        select(recorded(), profile=EDITION),
        recorded_units(),
        recording.runs(),
        first=CAUSAL if causal else EMBEDDED,
    )
    return [study for study in every if causal is None or study.masked is not causal]


def studies(
    results: pd.DataFrame, units: pd.DataFrame, runs: dict[str, dict], *, first: str = EMBEDDED
) -> list[Study]:
    """A study for each model of the result rows, and ``first`` for one in any case. ``runs``: provenance
    by run id, which tells runs of another length apart.
    """
    results = _by_length(results, runs)
    units = units[units["run_id"].isin(set(results["run_id"]))]
    spent = _selectivity_units(units)
    units = pd.concat([units, spent], ignore_index=True)
    results = pd.concat(
        [results, _selectivity(results, spent), _log_perplexity(results)], ignore_index=True
    )
    results, units = with_rare(results, units)
    models = dict.fromkeys([first, *sorted(results["model"].unique())])
    return [
        Study(model, Numbers(results, units, model=model, edition=EDITION, weights={}))
        for model in models
    ]


def with_rare(results: pd.DataFrame, units: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both with the rows of the slopes over rarely named occupations: what scoring these splits would
    give, since their sentences are those of ``bls``. Such slopes have no interval of their own; runs
    that were scored on a split keep that.
    """
    of_slope = select(results, benchmark="occupation_slope", axis="gender", metric="slope")
    slopes = select(of_slope, split="bls")
    scored = select(units, benchmark="occupation_slope", split="bls", axis="gender")
    more, more_units = [], []
    for split in (outcome.measure.where["split"] for outcome in RARE):
        names = set(occupations.load(split)["occupation"])
        done = of_slope.loc[of_slope["split"] == split, "run_id"]
        part = scored[scored["unit"].isin(names) & ~scored["run_id"].isin(done)].assign(split=split)
        wide = part.pivot(index="run_id", columns=["column", "unit"], values="value")
        if wide.empty:
            continue
        ends = (wide[column].sort_index(axis=1).to_numpy() for column in ("log_odds", "share"))
        values = pd.Series(occupations.slope(*ends, axis=-1), wide.index)
        rows = slopes[slopes["run_id"].isin(values.index)]
        of_split = {"split": split, "value": rows["run_id"].map(values), "n": len(names)}
        more.append(rows.assign(**of_split, ci_low=np.nan, ci_high=np.nan))
        more_units.append(part)
    return (
        pd.concat([results, *more], ignore_index=True),
        pd.concat([units, *more_units], ignore_index=True),
    )


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
