"""The paper's tables: what was published, what the study recorded and what this build found, number beside number."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import pandas as pd

from fairnc_book import published, tables
from fairnc_book.measures import TABLES
from fairnc_utils import corpora, stats, tasks
from fairnc_utils.debias import CONTROLS, DEBIASING
from fairnc_utils.regularizer import RELEASED_WEIGHTS
from fairnc_utils.runs import rows as records
from fairnc_utils.runs.weight import chosen_lambdas

METHODS = ("base", *CONTROLS, *DEBIASING)
REGULARIZERS = ("none", "corrected", "as_released")
#: What a table shows of a model: method and regularizer. Nothing is trained in ``base``.
MODELS = (("base", "none"), *product(METHODS[1:], REGULARIZERS))

Model = tuple[str, str]

#: Columns of a published row that say how we computed it, which we did not.
NOT_OURS = dict.fromkeys(("profile", "device", "torch", "transformers", "package_version", "git_commit", "created"), "")

# Why a cell is empty.
UNPUBLISHED = "none at hand"
NO_SCRIPT = "no released script"
NOT_RUN = "not run"
NO_DATA = "needs data from the hub"
NOT_LIVE = "not in this build"


@dataclass(frozen=True)
class Sources:
    """Result rows by origin: ``published`` (with ``source``), ``recorded``, ``live``."""

    published: pd.DataFrame
    recorded: pd.DataFrame
    live: pd.DataFrame

    @cached_property
    def chosen(self) -> dict[str, float]:
        """Method → its λ of the corrected NC3, chosen on StereoSet dev, if it was recorded with NC3 and without."""
        return chosen_lambdas(self.recorded, METHODS[1:])

    @cached_property
    def missing(self) -> dict[str, str]:
        """Task of a table → why its data cannot be had here, and what to do about it."""
        named = {measure.where["benchmark"] for table in TABLES.values() for measure in table}
        return tasks.missing(sorted(named & set(tasks.TASKS)))


def gather(live: str | Path, *, model: str) -> Sources:
    """Published values, the recorded runs of ``model``, and the results below the folder ``live``."""
    return Sources(published.load(), records.select(records.recorded(), model=model), records.load(live))


def summary(sources: Sources, **columns) -> records.Run:
    """The rows of ``summarize`` as a run, with the given columns (``profile``), told by what it was made from."""
    made_from = {name: sorted(set(getattr(sources, name)["run_id"])) for name in ("recorded", "live")}
    made_from["published"] = corpora.fingerprint([str(row) for row in sources.published.to_dict("records")])
    return records.make(columns, summarize(sources), None, device="cpu", evidence=made_from)


def summarize(sources: Sources) -> list[dict]:
    """Result rows of all tables: published values; means over the seeds of the recorded runs; their change from the base.

    A mean has no seed, and as ``n`` the number of seeds; a single run keeps its row. Variant ``difference`` is the change from
    the untrained model, ``ratio`` the quotient, both seed by seed where the base has the seeds too (after fine-tuning).
    """
    found: list[dict] = []
    for measure in (measure for table in TABLES.values() for measure in table):
        quotes, recorded = _by_model(measure.quotes(sources.published)), _by_model(measure.rows(sources.recorded))
        runs = {model: _runs(rows, model, sources) for model, rows in recorded.items()}
        for model in MODELS:
            if model in quotes:
                found += quotes[model].drop(columns="source").assign(**NOT_OURS).to_dict("records")
            if len(runs.get(model, ())):
                found += [_mean(runs[model]), *(_changes(runs[model], runs.get(MODELS[0])) if model != MODELS[0] else ())]
    return found


def _by_model(rows: pd.DataFrame) -> dict[Model, pd.DataFrame]:
    return dict(tuple(rows.groupby(["method", "regularizer"], sort=False)))


def _runs(rows: pd.DataFrame, model: Model, sources: Sources) -> pd.DataFrame:
    """Of a model's recorded rows the newest of each seed; with the corrected NC3 those at the chosen λ."""
    method, regularizer = model
    if regularizer == "corrected":
        rows = rows[rows["lam"] == sources.chosen.get(method)]
    rows = rows.sort_values("created").drop_duplicates("seed", keep="last").sort_values("seed")
    if method == "base" and rows["value"].nunique() == 1:  # nothing was trained: its seeds are one run
        return rows.head(1)
    return rows


def _mean(runs: pd.DataFrame) -> dict:
    row = runs.iloc[-1].drop("run_id").to_dict()
    if len(runs) == 1:  # its own interval
        return row
    return row | {"seed": math.nan} | records.metric_rows({row["metric"]: stats.over_seeds(runs["value"])})[0]


def _changes(runs: pd.DataFrame, base: pd.DataFrame | None) -> list[dict]:
    """Rows of the change from the base and of the quotient; none if the base was not run."""
    if base is None or base.empty:
        return []
    values, before = runs.set_index("seed")["value"], base.set_index("seed")["value"]
    if len(before) == 1:
        before = pd.Series(before.iloc[0], values.index)
    before, values = before.align(values, join="inner")
    if values.empty:
        return []
    row = runs.iloc[-1].drop("run_id").to_dict() | {"seed": math.nan}
    found = {"difference": values - before} | ({"ratio": values / before} if (before != 0).all() else {})
    return [
        row | {"variant": variant} | records.metric_rows({row["metric"]: stats.over_seeds(change)})[0]
        for variant, change in found.items()
    ]


# ---------------------------------------------------------------- cells

#: What a table shows of a model, in columns; numbers with their intervals, and why there are none.
COLUMNS = ("measure", "method", "regularizer", "lam", "published", "recorded", "recorded_low", "recorded_high", "seeds",
           "difference", "difference_low", "difference_high", "ratio", "live", "live_low", "live_high", "live_model",
           "recorded_why", "live_why")  # fmt: skip


def cells(name: str, results: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Table ``name`` as one row a number and model (``COLUMNS``), from the rows of ``summarize`` and those of this build."""
    found = []
    for measure in TABLES[name]:
        recorded, quotes = measure.rows(results, origin="recorded"), _by_model(measure.quotes(results))
        numbers = {
            "recorded": _by_model(recorded), "difference": _by_model(measure.rows(results, variant="difference")),
            "ratio": _by_model(measure.rows(results, variant="ratio")), "live": _by_model(_latest(measure.rows(sources.live))),
        }  # fmt: skip
        for model in MODELS:
            method, regularizer = model
            cell = {"measure": measure.label, "method": method, "regularizer": regularizer}
            cell["lam"] = sources.chosen.get(method) if regularizer == "corrected" else math.nan
            cell["published"] = _quoted(quotes.get(model))
            for key, rows in numbers.items():
                cell |= _numbers(key, rows.get(model))
            lacking = recorded.empty and measure.where["benchmark"] in sources.missing
            found.append(cell | {"recorded_why": _why(method, regularizer, lacking=lacking), "live_why": NOT_LIVE})
    return pd.DataFrame(found, columns=list(COLUMNS))


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    """Of several runs of one model the one with most units, then the newest."""
    return rows.sort_values(["n", "created"], na_position="first").drop_duplicates(["method", "regularizer"], keep="last")


def told(cells: pd.DataFrame) -> str:
    """What the recorded runs say of a table's first measure that has any: the base's value, and how many models lie off it."""
    recorded = cells[cells["recorded"].notna()]
    if recorded.empty:
        return "nothing of this table is recorded."
    name = recorded["measure"].iloc[0]
    cells = cells[cells["measure"] == name]
    base = cells.iloc[0]
    trained = cells[cells["difference"].notna()]
    below, above = (trained["difference_high"] < 0).sum(), (trained["difference_low"] > 0).sum()
    single = trained["difference_low"].isna().sum()
    return (
        f"{name}: the base model has {tables.number(base['recorded'])}. Below it by more than their interval over seeds: "
        f"{below} of {len(trained)} trained models; above it: {above}."
        + (f" A single run, which tells nothing about seeds, is all there is of {single}." if single else "")
    )


def _quoted(rows: pd.DataFrame | None) -> str:
    return UNPUBLISHED if rows is None else "; ".join(f"{row['value']:g} {row['model']}" for _, row in rows.iterrows())


def _numbers(name: str, rows: pd.DataFrame | None) -> dict:
    """Value, interval and, of a recorded number, the runs behind it: a mean has no seed, and its n counts them."""
    if rows is None:
        return {}
    row = rows.iloc[0]
    found = {name: row["value"], f"{name}_low": row["ci_low"], f"{name}_high": row["ci_high"]}
    if name == "recorded":
        found["seeds"] = row["n"] if math.isnan(row["seed"]) else 1
    return found | ({"live_model": row["model"]} if name == "live" else {})


def _why(method: str, regularizer: str, *, lacking: bool) -> str:
    """Why there is no recorded number, if there is none. ``lacking``: nothing of its task could be run."""
    if regularizer == "as_released" and method not in RELEASED_WEIGHTS:
        return NO_SCRIPT
    return NO_DATA if lacking else NOT_RUN
