"""The workflow on a cluster: a SLURM of one node, started for this test on the loopback interface."""

import os
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from helpers.small_workflow import SAVE, STEMS, TABLE_OF_ALL, scratch, tidy
from helpers.workflow import ROOT, copy, planned, run, started, wait_for

from fairnc_utils.runs import rows

SCRIPT = ROOT / ".ci/slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
MISSING = [
    name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
]
MISSING += (
    [] if find_spec("snakemake_executor_plugin_slurm") else ["snakemake-executor-plugin-slurm"]
)


@pytest.fixture
def slurm(monkeypatch):
    """A running SLURM; what it needs is told when it cannot be had."""
    if MISSING:
        pytest.skip(
            f"not installed: {', '.join(MISSING)}; {SCRIPT.relative_to(ROOT)} names the packages"
        )
    folder = tempfile.mkdtemp(prefix="slurm")  # sockets have short paths
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, timeout=60)
    try:
        if started.returncode:
            pytest.skip(
                f"no SLURM can be started here: {(started.stderr.strip().splitlines() or ['no reason given'])[-1]}"
            )
        for line in started.stdout.splitlines():
            monkeypatch.setenv(*line.split("=", 1))
        yield Path(folder)
    finally:
        subprocess.run([SCRIPT, "stop", folder], timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


ON_THIS_NODE = [
    "--profile",
    "profiles/slurm",
    "--default-resources",
    "slurm_partition=main",
    "slurm_account=none",
    "mem_mb=500",
    "--set-resources",
    "execute:gpu=0",
    "part:gpu=0",
    "--set-threads",
    "execute=1",
    "part=1",
    "--latency-wait",
    "10",
    "--slurm-status-command",
    "squeue",
    "--slurm-init-seconds-before-status-checks",
    "2",
    "--seconds-between-status-checks",
    "2",
]


@pytest.mark.slow
def test_small_workflow_runs_on_slurm(slurm, tmp_path):
    project = scratch(tmp_path / "project", f"import os\nassert os.environ['SLURM_JOB_ID']\n{SAVE}")
    done = run(project, TABLE_OF_ALL, *ON_THIS_NODE)
    assert done.returncode == 0, done.stderr[-3000:]
    for stem in STEMS:
        exec(SAVE, {"results": str(tmp_path / "expected" / stem)})
    assert tidy(pd.read_parquet(project / TABLE_OF_ALL)) == tidy(rows.load(tmp_path / "expected"))
    assert planned(project, TABLE_OF_ALL) == {}  # where it ran makes nothing out of date


#: Result columns that say where and when.
PLACE_AND_TIME = ["created", "git_commit"]


def runs_of(project: Path) -> pd.DataFrame:
    table = rows.load(project / "runs/study/tiny").drop(columns=PLACE_AND_TIME)
    return table.sort_values(list(table.columns), kind="stable", ignore_index=True)


def saved(project: Path) -> dict[Path, int]:
    """Runs of the study that are complete, and when they were."""
    return {
        path: path.stat().st_mtime_ns
        for path in project.glob("runs/study/tiny/[!.]*/[!.]*/provenance.json")
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_study_runs_on_slurm_by_parts_and_goes_on_after_a_kill(slurm, tmp_path):
    killed, local = (copy(tmp_path / name) for name in ("killed", "local"))
    said = tmp_path / "screen"
    with (
        said.open("w") as screen,
        started(killed, "study", *ON_THIS_NODE, screen=screen) as process,
    ):
        wait_for(lambda: saved(killed), seconds=300)
        process.kill()
        process.wait()
    jobs = dict(re.findall(r"jobid (\d+) \(log: .*/rule_part/(\w+)/", said.read_text()))
    assert {"plain_1_2", "plain_2_2"} < set(jobs.values())  # one sweep, two jobs
    # as the page on running at scale says
    subprocess.run(["scancel", "--user", str(os.getuid())], check=True)
    wait_for(
        lambda: not subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout
    )
    before = saved(killed)
    assert 0 < len(before) < 4
    done = run(killed, "study", *ON_THIS_NODE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert before.items() <= saved(killed).items()  # what was there is not run again
    done = run(local, "study")
    assert done.returncode == 0, done.stderr[-3000:]
    pd.testing.assert_frame_equal(runs_of(killed), runs_of(local))
    assert len(saved(local)) == len(saved(killed)) == 4
    assert planned(killed, "study") == planned(local, "study") == {}
