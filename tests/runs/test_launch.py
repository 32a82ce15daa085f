"""What ``make book`` and ``make study`` say at once of a profile that they cannot run, and how they end."""

import subprocess
import sys

import pytest
from helpers.workflow import ROOT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--configfile", "config/nope.yaml"],
            "There is no config/nope.yaml; profiles are config/compression.yaml",
        ),
        (
            ["study", "--configfile", "config/nope.yaml"],
            "There is no config/nope.yaml; profiles are",
        ),
        (
            ["study", "--configfile", "config/quick.yaml"],
            "config/quick.yaml has no section `study`; config/full.yaml has one",
        ),
    ],
)
def test_a_profile_that_cannot_be_run_is_one_line(arguments, message):
    launch = [sys.executable, "workflow/launch.py", "--cores", "1", *arguments]
    done = subprocess.run(launch, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith(message)


#: The workflow's starter, with a Snakemake of its own that ends with a status; Ctrl-C comes while Python shuts down.
LATE = """
import atexit, os, runpy, signal, sys
sys.path.insert(0, {workflow!r})
import launch
def snakemake(*_, **__): sys.exit({status})
runpy.run_module = snakemake
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.exit(launch.main([]))
"""


@pytest.mark.parametrize("status", [0, 1])
def test_an_interrupt_after_the_end_changes_nothing(tmp_path, status):
    script = LATE.format(workflow=str(ROOT / "workflow"), status=status)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
