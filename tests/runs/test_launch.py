"""What ``make book`` and ``make study`` say at once of a profile that they cannot run."""

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
