"""Costs: training time from learning curves, notebooks from Snakemake's files, a study on several
devices.
"""

import json
import re

import pandas as pd
import pytest
from helpers import ROOT

from fairnc_book.site import costs, status
from fairnc_utils.runs import checkout, recording
from fairnc_utils.runs.rows import ITEM_COLUMNS, RECORDED, RESULT_COLUMNS, UNIT_COLUMNS, Run


def save_run(folder, run_id, config, curve):
    """A recorded run with a learning curve: (step, seconds per step)."""
    items = pd.DataFrame(
        [
            {
                "run_id": run_id,
                "benchmark": "training",
                "item_id": str(step),
                "unit": unit,
                "score_a": value,
            }
            for step, seconds in curve
            for unit, value in (("seconds_per_step", seconds), ("loss", 9.0))
        ]
    ).reindex(columns=list(ITEM_COLUMNS))
    results = pd.DataFrame({column: [""] for column in RESULT_COLUMNS}).assign(run_id=run_id)
    Run(run_id, results, items, {"run_id": run_id, "config": config, "device": "cuda:0"}).save(
        folder
    )


@pytest.fixture
def recorded(tmp_path):
    """Two single runs and a study of one run."""
    save_run(tmp_path, "a", {"method": "bec"}, [(10, 0.5), (40, 0.1)])
    save_run(tmp_path, "b", {"method": "bec"}, [(100, 0.01)])
    study = tmp_path / "study"
    study.mkdir()
    units = [
        ("c", "training", str(step), "seconds_per_step", value)
        for step, value in ((10, 1.0), (5, 2.0))
    ]
    units += [("c", "training", "5", "loss", 7.0), ("c", "sst2", "x", "seconds_per_step", 7.0)]
    table = pd.DataFrame(units, columns=["run_id", "benchmark", "unit", "column", "value"])
    table.reindex(columns=list(UNIT_COLUMNS)).to_parquet(study / "units.parquet")
    run = {"config": {"task": "sst2", "method": "base"}, "shared": "0"}
    (study / "provenance.json").write_text(
        json.dumps({"shared": {"0": {"device": "cpu"}}, "runs": {"c": run}})
    )
    return tmp_path


def test_seconds_are_those_of_the_steps(recorded):
    costs_of_runs = costs.runs(recorded).set_index("run_id")
    assert costs_of_runs["seconds"].to_dict() == pytest.approx(
        {"a": 10 * 0.5 + 30 * 0.1, "b": 1.0, "c": 5 * 2.0 + 5 * 1.0}
    )
    assert costs_of_runs["steps"].to_dict() == {"a": 40, "b": 100, "c": 10}
    assert costs_of_runs["run"].to_dict() == {"a": "bec", "b": "bec", "c": "fine-tuning: sst2"}
    kinds = costs.by_kind(costs.runs(recorded)).set_index("trained")
    bec = kinds.loc["bec", ["runs", "seconds in all", "ms per step"]].tolist()
    assert bec == pytest.approx([2, 9, 1000 * (0.2 + 0.01) / 2])


@pytest.mark.parametrize(
    ("seconds", "devices", "expected"),
    [
        ([], 3, 0),
        ([5, 1, 1], 1, 7),
        ([5, 1, 1], 2, 5),
        ([3, 3, 2, 2, 2], 2, 7),
        ([1] * 10, 4, 3),
        ([4], 8, 4),
    ],
)
def test_devices_share_runs_longest_first(seconds, devices, expected):
    assert costs.makespan(seconds, devices) == expected


def test_notebooks_are_read_from_the_benchmark_files(tmp_path):
    head = "s\th:m:s\tmax_rss\tmax_vms\n"
    (tmp_path / "01-a.tsv").write_text(head + "12.5\t0:00:12\t2048.0\t1\n")
    (tmp_path / "02-b.tsv").write_text(head + "0.5\t0:00:00\t-\t-\n")
    table = costs.chapters(tmp_path)
    assert table["seconds"].tolist() == [12.5, 0.5]
    assert table["gigabytes"].iloc[0] == 2
    assert pd.isna(table["gigabytes"].iloc[1])


def test_pages_show_them_or_say_that_there_is_none(recorded, tmp_path):
    nothing = {
        part: status.PARTS[part](tmp_path / "build", tmp_path / "none")
        for part in ("chapters", "trained", "study", "sweeps")
    }
    assert set(nothing.values()) == {"There is none in this build."}
    assert "| bec | cuda:0 | 2 |" in status.PARTS["trained"](tmp_path, recorded)
    hours = [
        line.split("|")[2].strip()
        for line in status.PARTS["study"](tmp_path, recorded).splitlines()[2:]
    ]
    assert hours == ["0.01", "0.00", "0.00", "0.00", "0.00"]
    assert "weights of the embedded model | 45." in status.PARTS["saved"](tmp_path, recorded)


def test_a_sweep_costs_what_its_recorded_runs_took(tmp_path):
    folder = checkout.root() / RECORDED
    rows = [line.split("|")[1:-1] for line in status.PARTS["sweeps"](tmp_path, folder).splitlines()]
    table = {(edition.strip(), sweep.strip()): numbers for edition, sweep, *numbers in rows[2:]}
    cells, runs, minutes = (float(number) for number in table["second", "switches"])
    assert cells == runs == 12
    seconds = costs.runs(folder).set_index("run_id")["seconds"]
    switches = [
        run_id
        for run_id, run in recording.runs().items()
        if run["config"].get("profile") == "second"
        and run["config"].get("method") == "bec"
        and run["config"].get("dose") == 0.3
        and run["config"]["regularizer"]
        in (
            {"preset": "repaired", "kind": "align"},
            {"preset": "repaired", "memory": "batch"},
            {"preset": "repaired", "memory": "cumulative"},
            "corrected",
        )
    ]
    assert len(switches) == 12
    assert minutes == pytest.approx(seconds[switches].sum() / 60, abs=0.06)


def test_every_part_that_pages_include_is_written(tmp_path):
    status.main(str(tmp_path), str(tmp_path / "status"))
    pages = "\n".join(path.read_text() for path in (ROOT / "book").rglob("*.md"))
    included = re.findall(r"^```\{include\} \.\./status/(\S+)$", pages, re.MULTILINE)
    assert sorted(included) == sorted(path.name for path in (tmp_path / "status").iterdir())
