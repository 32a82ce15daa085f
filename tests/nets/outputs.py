"""What the package says of the first edition of the recorded study: claims, the paper's tables,
ablations, the explorer's pages, the grid.

``python -m tests.nets.outputs`` writes ``reference/`` again; do so only after a change that is
meant to move numbers.
"""

import re
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # so that ``python -m`` finds what pytest finds
import snapshots

from fairnc_book import (
    ablations,
    claims,
    comparer,
    explorer,
    numbers,
    paper_tables,
    published,
    tables,
)
from fairnc_utils import tasks
from fairnc_utils.runs import checkout, grid, recording, rows

MODEL, PROFILE = "models/minilm-mlm", "nets"

#: Draws of each bootstrap of the claims, as many as in the tiny book; every one is seeded.
RESAMPLES = 200


@cache
def recorded() -> pd.DataFrame:
    return rows.select(rows.recorded(), profile=numbers.EDITION)


def rows_of(run: rows.Run) -> pd.DataFrame:
    """A run's result rows without place and time; its id stays."""
    return run.results.drop(columns=snapshots.PLACE_AND_TIME)


def plan() -> grid.Plan:
    return grid.plan(yaml.safe_load((checkout.root() / "config/full.yaml").read_text()))


# ---------------------------------------------------------------- the grid


def cells() -> pd.DataFrame:
    """Every cell of the full study, sweep by sweep."""
    sweeps = {name: grid.cells(plan(), [name], results=recorded()) for name in plan().sweeps}
    return pd.DataFrame(
        [{"sweep": name, "cell": cell} for name, sweep in sweeps.items() for cell in sweep]
    )


def lacking() -> dict[str, list[str]]:
    """Sweep → its cells that the recorded study lacks."""
    sweeps = grid.missing_by_sweep(plan(), recording.runs(), recorded())
    return {name: list(map(str, cells)) for name, (_, cells) in sweeps.items()}


def made_again() -> dict[str, str]:
    """Id of each recorded run → the id that its configuration and evidence make today."""
    ids, first = {}, set(recorded()["run_id"])
    for run_id, run in recording.runs().items():
        if run_id not in first:
            continue
        options = grid.recorded_options(run_id, run)
        again = rows.make(options, [], None, device="cpu", evidence=run["evidence"])
        ids[run_id] = again.run_id
    return ids


# ---------------------------------------------------------------- claims


@cache
def recorded_numbers() -> numbers.Numbers:
    return numbers.Numbers.recorded(MODEL, units=True)


@cache
def claims_tests() -> pd.DataFrame:
    return claims.evaluate(recorded_numbers(), published.load(), resamples=RESAMPLES)


@cache
def _claims_run() -> rows.Run:
    return claims.as_run(
        claims_tests(), {"model": MODEL, "profile": PROFILE}, runs=recorded_numbers().run_ids
    )


def claims_rows() -> pd.DataFrame:
    return rows_of(_claims_run())


def claims_texts() -> dict:
    """The chapter's tables and findings, and the book's abstract."""
    tests = claims_tests()
    pairs = [(claim, contrast) for claim in claims.CLAIMS for contrast in claim.contrasts]
    shown = {
        "summary": claims.summary(tests, caption=""),
        "power": claims.power_table(tests, caption=""),
    }
    shown |= {
        f"{claim.key} {contrast}": claims.details(tests, claim, contrast, caption="")
        for claim, contrast in pairs
    }
    return {
        "tables": {name: styler.data.to_dict("records") for name, styler in shown.items()},
        "findings": {
            f"{claim.key} {contrast}": claims.finding(tests, claim.key, contrast)
            for claim, contrast in pairs
        },
        "abstract": claims.abstract(_claims_run().results).splitlines(),
    }


# ---------------------------------------------------------------- the paper's tables


@cache
def _sources() -> paper_tables.Sources:
    """As a build has them; the runs of seed 1 stand for those of the build itself."""
    live = rows.select(recorded(), model=MODEL, seed=1).assign(origin="live")
    sources = paper_tables.Sources(published.load(), recorded_numbers(), live)
    missing = tasks.Missing("its data cannot be had", "bias_in_bios")  # wherever this runs
    vars(sources)["missing"] = {"bias_in_bios": missing}
    return sources


@cache
def _tables_run() -> rows.Run:
    return paper_tables.summary(_sources(), profile=PROFILE)


def tables_rows() -> pd.DataFrame:
    return rows_of(_tables_run())


@cache
def tables_cells() -> pd.DataFrame:
    parts = [
        paper_tables.table(name, _tables_run().results, _sources()).assign(table=name)
        for name in numbers.TABLES
    ]
    return pd.concat(parts, ignore_index=True)


def tables_texts() -> dict:
    """The chapter's findings and tables as HTML, but for the link that holds ``tables_cells``
    again.
    """
    by_table = dict(
        list(tables_cells().drop(columns="table").groupby(tables_cells()["table"], sort=False))
    )
    shown = {
        name: tables.by_origin(part, name=name, caption=name).html
        for name, part in by_table.items()
    }
    return {
        "findings": {name: paper_tables.finding(part) for name, part in by_table.items()},
        "tables": {
            name: re.sub(r'href="data:[^"]*"', "", html).splitlines()
            for name, html in shown.items()
        },
    }


# ---------------------------------------------------------------- ablations


@cache
def _ablations_run() -> rows.Run:
    return ablations.ablate(recorded_numbers(), profile=PROFILE)


def ablations_rows() -> pd.DataFrame:
    return rows_of(_ablations_run())


def ablations_runs() -> pd.DataFrame:
    return ablations.by_run(recorded_numbers())


def ablations_layers() -> pd.DataFrame:
    return ablations.layers(recorded()).drop(columns=snapshots.PLACE_AND_TIME)


def ablations_texts() -> dict:
    summary = _ablations_run().results
    changes = rows.select(summary, variant="minus none", regularizer="corrected")
    return {
        "missing": ablations.not_run(summary),
        "counted": ablations.counted(changes, ["unc3", "log_ratio", "slope", "masked_perplexity"]),
        "largest": {
            f"{name} {metric}": ablations.largest(summary, name, metric, method="bec")
            for name in ablations.CONTRASTS
            for metric in ablations.SHOWN
        },
        "words": {
            label: ablations.sentence(
                summary,
                list(ablations.SHOWN),
                variant="minus words",
                method="bec",
                regularizer=label,
            )
            for label in ablations.CONTRASTS["words"]
        },
        "correlations": {
            f"{scope} {kind}": ablations.sentence(
                summary, list(ablations.FAIRNESS), variant=kind, method=scope
            )
            for scope in ablations.SCOPES
            for kind in ("spearman", "pearson")
        },
    }


# ---------------------------------------------------------------- interactive pages


@cache
def _ways() -> pd.DataFrame:
    return comparer.by_way(recorded())


def comparer_numbers() -> pd.DataFrame:
    """Sums over the numbers of each benchmark, metric and way of training; the page has the single
    ones, in four digits.
    """
    return (
        _ways()
        .groupby([*numbers.WAY, "benchmark", "metric"], sort=False)
        .agg(
            numbers=("value", "size"),
            intervals=("ci_low", "count"),
            **{name: (name, "sum") for name in ("value", "ci_low", "ci_high", "seeds")},
        )
        .reset_index()
    )


def comparer_rows() -> pd.DataFrame:
    """Without their id, which hashes means to ten decimals: other versions of scipy may round the
    last one differently.
    """
    return rows_of(comparer.apart(_ways(), profile=PROFILE)).drop(columns="run_id")


def comparer_page() -> dict:
    return comparer.runs_data(_ways())


@cache
def _words() -> pd.DataFrame:
    """Measured words of the recorded runs; what a build adds comes from a recorded run as well."""
    folder = checkout.root() / rows.RECORDED
    return explorer.measured_words(next(path.parent for path in folder.glob("*/items.parquet")))


def words_lists() -> pd.DataFrame:
    """Sums over the words of each list and run: as good a net as every word, in less space."""
    groups = _words().groupby([*numbers.WAY, "run_id", "list"], sort=False)
    return groups.agg(
        words=("word", "size"), **{name: (name, "sum") for name in ("cosine", "count", "spread")}
    ).reset_index()


def words_rows() -> pd.DataFrame:
    words = _words()
    return rows_of(explorer.count_correlation(words[words["method"] == "base"], profile=PROFILE))


#: Name of a reference → what makes it.
OUTPUTS = {
    output.__name__: output
    for output in (
        cells,
        claims_tests,
        claims_rows,
        claims_texts,
        tables_rows,
        tables_cells,
        tables_texts,
        ablations_rows,
        ablations_runs,
        ablations_layers,
        ablations_texts,
        comparer_numbers,
        comparer_rows,
        comparer_page,
        words_lists,
        words_rows,
    )
}


if __name__ == "__main__":
    for name, output in OUTPUTS.items():
        snapshots.write(name, output())
