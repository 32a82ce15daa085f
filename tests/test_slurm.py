"""The workflow on a cluster: a SLURM of one node, started for this test on the loopback interface."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from test_faults import SAVE, STEMS, TABLE_OF_ALL, scratch, tidy
from test_workflow import ROOT, copy, planned, run

from fairnc_utils.runs import rows as records

SCRIPT = ROOT / ".ci/slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]
MISSING += [] if find_spec("snakemake_executor_plugin_slurm") else ["snakemake-executor-plugin-slurm"]


@pytest.fixture
def slurm(monkeypatch):
    """A running SLURM; what it needs is told when it cannot be had."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}; {SCRIPT.relative_to(ROOT)} names the packages")
    folder = tempfile.mkdtemp(prefix="slurm")  # sockets have short paths
    started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, timeout=60)
    try:
        if started.returncode:
            pytest.skip(f"no SLURM can be started here: {(started.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        for line in started.stdout.splitlines():
            monkeypatch.setenv(*line.split("=", 1))
        yield Path(folder)
    finally:
        subprocess.run([SCRIPT, "stop", folder], timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


ON_THIS_NODE = [
    "--profile", "profiles/slurm", "--default-resources", "slurm_partition=main", "slurm_account=none", "mem_mb=500",
    "--set-resources", "execute:gpu=0", "sweep:gpu=0", "--set-threads", "execute=1", "sweep=1", "--latency-wait", "10",
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2",
    "--seconds-between-status-checks", "2",
]  # fmt: skip


@pytest.mark.slow
def test_small_workflow_runs_on_slurm(slurm, tmp_path):
    project = scratch(tmp_path / "project", f"import os\nassert os.environ['SLURM_JOB_ID']\n{SAVE}")
    done = run(project, TABLE_OF_ALL, *ON_THIS_NODE)
    assert done.returncode == 0, done.stderr[-3000:]
    for stem in STEMS:
        exec(SAVE, {"results": str(tmp_path / "expected" / stem)})
    assert tidy(pd.read_parquet(project / TABLE_OF_ALL)) == tidy(records.load(tmp_path / "expected"))
    assert planned(project, TABLE_OF_ALL) == {}  # where it ran makes nothing out of date


@pytest.mark.slow
def test_tiny_study_runs_on_slurm(slurm, tmp_path):
    project = copy(tmp_path / "project")
    done = run(project, "study", *ON_THIS_NODE)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = records.load(project / "runs/study/tiny")
    cells = rows[["method", "regularizer", "lam", "seed"]].drop_duplicates()
    assert sorted(map(tuple, cells.to_numpy())) == [
        ("base", "none", 0, 0), ("base", "none", 0, 1), ("bec", "corrected", 1, 0), ("bec", "corrected", 1, 1),
        ("bec", "none", 0, 0),
    ]  # fmt: skip
