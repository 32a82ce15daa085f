"""The paper's tables: what was published, what the study recorded and what this build computed,
number beside number.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import pandas as pd

from fairnc_book import published, tables
from fairnc_book.numbers import (
    EDITION,
    METHODS,
    TABLES,
    UNTRAINED,
    Measure,
    Numbers,
    Setting,
    estimate,
)
from fairnc_utils import corpora, stats, tasks
from fairnc_utils.regularizer import RELEASED_WEIGHTS
from fairnc_utils.runs.rows import Run, load, make, metric_rows

REGULARIZERS = ("none", "corrected", "as_released")

Model = tuple[str, str]

#: What a table shows of a model: method and regularizer. Nothing is trained in ``base``.
MODELS: tuple[Model, ...] = ((UNTRAINED.method, "none"), *product(METHODS, REGULARIZERS))

#: Columns of a published row that say how we computed it, which we did not.
NOT_OURS = dict.fromkeys(
    ("profile", "device", "torch", "transformers", "package_version", "git_commit", "created"), ""
)

# Why a number is not there.
UNPUBLISHED = "none at hand"
NO_SCRIPT = "no released script"
NOT_RUN = "not run"
NO_DATA = "needs data from the hub"
NOT_LIVE = "not in this build"


@dataclass(frozen=True)
class Sources:
    """Numbers by origin: ``published`` rows (with ``source``) but for those on compression, which have
    a chapter of their own, the ``recorded`` study, ``live`` rows.
    """

    published: pd.DataFrame
    recorded: Numbers
    live: pd.DataFrame

    def __post_init__(self) -> None:
        facts = self.published
        of_tables = facts[facts["source"] != published.ON_COMPRESSION]
        object.__setattr__(self, "published", of_tables.reset_index(drop=True))

    @cached_property
    def missing(self) -> dict[str, tasks.Missing]:
        """Task of a table → why its data cannot be had here, and what to do about it."""
        benchmarks = {measure.benchmark for table in TABLES.values() for measure in table}
        return tasks.missing(sorted(benchmarks & set(tasks.TASKS)))


def gather(live: str | Path, *, model: str, edition: str = EDITION) -> Sources:
    """Published values, the recorded runs of ``model`` in an edition, and the results below the
    folder ``live``.
    """
    return Sources(published.load(), Numbers.recorded(model, edition=edition), load(live))


def summary(sources: Sources, **columns) -> Run:
    """The rows of ``summarize`` as a run with the given columns (``profile``); its id tells what it
    was made from.
    """
    evidence = {
        "recorded": sources.recorded.run_ids,
        "live": sorted(set(sources.live["run_id"])),
        "published": corpora.fingerprint(
            [str(row) for row in sources.published.to_dict("records")]
        ),
    }
    return make(columns, summarize(sources), None, device="cpu", evidence=evidence)


def summarize(sources: Sources) -> list[dict]:
    """Result rows of all tables: published values; means over the seeds of the recorded runs; their
    change from the base.

    A mean has no seed, and as ``n`` the number of seeds; a single run keeps its row. Variant
    ``difference`` is the change from the untrained model, ``ratio`` the quotient, both seed by seed
    where the base has the seeds too (after fine-tuning).
    """
    rows: list[dict] = []
    for measure in (measure for table in TABLES.values() for measure in table):
        quotes = _by_model(measure.quotes(sources.published))
        for model in MODELS:
            if model in quotes:
                rows += quotes[model].drop(columns="source").assign(**NOT_OURS).to_dict("records")
            rows += _recorded_rows(sources.recorded, measure, sources.recorded.setting(*model))
    return rows


def _by_model(rows: pd.DataFrame) -> dict[Model, pd.DataFrame]:
    return dict(tuple(rows.groupby(["method", "regularizer"], sort=False)))


def _recorded_rows(recorded: Numbers, measure: Measure, setting: Setting) -> list[dict]:
    """The mean over a setting's runs, the change from the base and the quotient; none of what was not
    run.
    """
    runs = recorded.runs(measure, setting)
    if runs.empty:
        return []
    rows = [_row(runs, estimate(runs), several=len(runs) > 1)]
    if setting == UNTRAINED:
        return rows
    contrast = recorded.contrast(measure, UNTRAINED, setting)
    for variant, changes in (("difference", contrast.difference), ("ratio", contrast.ratio)):
        if len(changes):
            row = _row(runs, stats.over_seeds(changes), several=True)
            rows.append(row | {"variant": variant})
    return rows


def _row(runs: pd.DataFrame, value: stats.Estimate, *, several: bool) -> dict:
    """A result row of an estimate, with the columns of the last of its runs; of several runs it has
    no seed.
    """
    row = runs.iloc[-1].drop("run_id").to_dict() | ({"seed": math.nan} if several else {})
    return row | metric_rows({row["metric"]: value})[0]


# ---------------------------------------------------------------- tables

#: What a table shows of a model, in columns; numbers with their intervals, and why there are none.
COLUMNS = (
    *("measure", "method", "regularizer", "lam", "published"),
    *("recorded", "recorded_low", "recorded_high", "seeds"),
    *("difference", "difference_low", "difference_high", "ratio"),
    *("live", "live_low", "live_high", "live_model"),
    *("recorded_why", "live_why"),
)


def table(name: str, results: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Table ``name`` as one row a number and model (``COLUMNS``), from the rows of ``summarize``
    and those of this build.
    """
    shown = []
    for measure in TABLES[name]:
        recorded = measure.rows(results, origin="recorded")
        quotes = _by_model(measure.quotes(results))
        numbers = {
            "recorded": _by_model(recorded),
            "difference": _by_model(measure.rows(results, variant="difference")),
            "ratio": _by_model(measure.rows(results, variant="ratio")),
            "live": _by_model(_latest(measure.rows(sources.live))),
        }
        for model in MODELS:
            method, regularizer = model
            corrected = regularizer == "corrected"
            row = {"measure": measure.label, "method": method, "regularizer": regularizer}
            row["lam"] = sources.recorded.weights.get(method) if corrected else math.nan
            row["published"] = _quotes(quotes.get(model))
            for key, rows in numbers.items():
                row |= _numbers(key, rows.get(model))
            no_data = recorded.empty and measure.benchmark in sources.missing
            why = {"recorded_why": _why(method, regularizer, no_data=no_data), "live_why": NOT_LIVE}
            shown.append(row | why)
    return pd.DataFrame(shown, columns=list(COLUMNS))


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    """Of several runs of one model the one with most units, then the newest."""
    rows = rows.sort_values(["n", "created"], na_position="first")
    return rows.drop_duplicates(["method", "regularizer"], keep="last")


def finding(table: pd.DataFrame) -> str:
    """What the recorded runs say of a table's first measure that has any: the base's value, and how
    many models lie off it.
    """
    recorded = table[table["recorded"].notna()]
    if recorded.empty:
        return "Nothing of this table is recorded."
    name = recorded["measure"].iloc[0]
    rows = table[table["measure"] == name]
    base = rows.iloc[0]
    trained = rows[rows["difference"].notna()]
    below, above = (trained["difference_high"] < 0).sum(), (trained["difference_low"] > 0).sum()
    single = trained["difference_low"].isna().sum()
    lead = "Trained models lie on both sides of the base model on the first measure."
    if 2 * (below + above) < len(trained):
        lead = "Most trained models are not shown to differ from the base model."
    for number, where in ((below, "below"), (above, "above")):
        if 2 * number > len(trained):
            lead = f"Most trained models lie {where} the base model on the first measure."
    if trained.empty:
        lead = "No trained model is recorded beside the base model."
    return (
        f"{lead} {name}: the base model has {tables.number(base['recorded'])}. "
        f"Below it by more than their interval over seeds: "
        f"{below} of {len(trained)} trained models; above it: {above}."
        + (
            f" A single run, which tells nothing about seeds, is all there is of {single}."
            if single
            else ""
        )
    )


def _quotes(rows: pd.DataFrame | None) -> tables.Quotes:
    values = () if rows is None else tuple(zip(rows["value"], rows["model"], strict=True))
    return tables.Quotes(values, UNPUBLISHED)


def _numbers(name: str, rows: pd.DataFrame | None) -> dict:
    """Value, interval and, of a recorded number, the runs behind it: a mean has no seed, and its n
    counts them.
    """
    if rows is None:
        return {}
    row = rows.iloc[0]
    columns = {name: row["value"], f"{name}_low": row["ci_low"], f"{name}_high": row["ci_high"]}
    if name == "recorded":
        columns["seeds"] = row["n"] if math.isnan(row["seed"]) else 1
    return columns | ({"live_model": row["model"]} if name == "live" else {})


def _why(method: str, regularizer: str, *, no_data: bool) -> str:
    """Why there is no recorded number, if there is none. ``no_data``: that of its task cannot be
    had.
    """
    if regularizer == "as_released" and method not in RELEASED_WEIGHTS:
        return NO_SCRIPT
    return NO_DATA if no_data else NOT_RUN
