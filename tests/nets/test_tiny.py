"""The tiny book computes what it computed; and the net that says so notices what it should."""

import subprocess
import sys

import pandas as pd
import pytest
import snapshots
import tiny

from fairnc_utils.runs import checkout

TABLE = "build/tiny/results.parquet"


def built() -> bool:
    """Whether a tiny book lies here that is as new as the checkout, as Snakemake sees it."""
    command = [
        "workflow/launch.py",
        TABLE,
        "--dry-run",
        "--configfile",
        "config/tiny.yaml",
        "--cores",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=checkout.root(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.slow
def test_tiny_book_computes_what_it_computed():
    if not (checkout.root() / TABLE).is_file() or not built():
        pytest.skip("no tiny book of this state is built here: make book PROFILE=tiny")
    tiny.check(pd.read_parquet(checkout.root() / TABLE))


@pytest.fixture
def table():
    """The reference as the table of a build."""
    return snapshots.read("tiny").assign(origin="live")


def test_the_net_lets_noise_and_another_folder_through(table):
    table["value"] *= 1 + 1e-6
    table["model"] = table["model"].str.replace("build/tiny/", "/elsewhere/build/tiny/")
    tiny.check(table.sample(frac=1, random_state=0))


@pytest.mark.parametrize("column", tiny.NUMBERS)
def test_the_net_notices_a_number_that_moved(table, column):
    place = table.index[table[column].notna() & (table["metric"] == "unc3")][0]
    table.loc[place, column] += 1e-3
    with pytest.raises(AssertionError, match=f"1 of {column} moved"):
        tiny.check(table)


@pytest.mark.parametrize(
    "change", [lambda rows: rows.iloc[1:], lambda rows: rows.replace({"axis": {"gender": "race"}})]
)
def test_the_net_notices_a_row_that_is_gone_or_renamed(table, change):
    with pytest.raises(AssertionError, match="DataFrame"):
        tiny.check(change(table))
