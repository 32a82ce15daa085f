"""What `pip install` gives works by itself: README's code and the command line, from the wheel, in
an empty folder.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import readme
from helpers import ROOT
from helpers.families import TINY

import fairnc_utils

VERSION = fairnc_utils.__version__

pytestmark = pytest.mark.slow


def done_by(*command: str | Path, cwd: Path, given: str = "") -> subprocess.CompletedProcess:
    """A command that sees no checkout, done; ``given``: its standard input."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def run(*command: str | Path, cwd: Path, given: str = "") -> str:
    """Its standard output; its error is that of the test."""
    done = done_by(*command, cwd=cwd, given=given)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def venv(tmp_path_factory) -> Path:
    """An environment with the wheel; what it depends on is that of the running environment, but for
    this package.
    """
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("fairnc_utils", "fairnc_book"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        source,
        cwd=folder,
    )
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    (wheel,) = folder.glob("fairnc_utils-*.whl")
    run(*pip, "--python", folder / "venv/bin/python", "install", "--no-deps", wheel, cwd=folder)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    # Behind the wheel on the path; .pth files in there, such as one of an editable install, have no
    # effect.
    (packages / "running.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv"


@pytest.fixture(scope="module")
def models(tiny, tmp_path_factory) -> dict[str, Path]:
    """A small model of each family on disk, with its tokenizer."""
    folders = {family: tmp_path_factory.mktemp(family) for family in TINY}
    for family, folder in folders.items():
        lm = tiny(family, **{"n_positions" if family == "gpt2" else "max_position_embeddings": 258})
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
    return folders


@pytest.mark.parametrize("check", readme.CHECKS)
def test_code_of_the_readme_runs(venv, tmp_path, check):
    (tmp_path / "models").symlink_to(ROOT / "models")  # as in a checkout
    run(venv / "bin/python", ROOT / "tests/nets/readme.py", check, cwd=tmp_path)


def test_each_block_of_the_readme_is_run_and_from_the_wheel(venv, tmp_path):
    assert [[mark for mark in readme.MARKS.values() if mark in code] for code in readme.BLOCKS] == [
        [mark] for mark in readme.MARKS.values()
    ]
    place = run(
        venv / "bin/python", "-c", "import fairnc_utils; print(fairnc_utils.__file__)", cwd=tmp_path
    )
    assert Path(place.strip()).is_relative_to(venv)


def test_a_random_model_is_measured(venv, tmp_path):
    command = ["--model", "random", "--texts", "20", "--words", "gender", "--min-counts", "2"]
    assert "nc3" in run(venv / "bin/fairnc", "measure", *command, cwd=tmp_path)


#: Runs a command a line, all in one process, and prints their metrics.
COMMANDS = """
import sys
from fairnc_utils.runs import cli
for line in sys.stdin:
    assert cli.main([*line.split(), "--device", "cpu", "--json"]) == 0, line
"""


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_every_family_is_measured_and_scored(venv, models, tmp_path, kind):
    benchmark = {
        "masked": "stereoset_intra --split dev",
        "causal": "stereoset_intra_causal --split dev",
    }
    families = [family for family, (_, its_kind, *_) in TINY.items() if its_kind == kind]
    lines = [
        line
        for family in families
        for line in (
            f"measure --model {models[family]} --texts 20 --words vocabulary --min-counts 5 --draws 0",
            f"score --model {models[family]} --axis religion --benchmark {benchmark[kind]}",
        )
    ]
    printed = run(venv / "bin/python", "-c", COMMANDS, cwd=tmp_path, given="\n".join(lines))
    values = {
        (row["model"], row["metric"]): row["value"] for row in map(json.loads, printed.splitlines())
    }
    for model in (str(models[family]) for family in families):
        assert -1 < values[model, "nc3"] < 1
        assert 0 < values[model, "unc3"] < 1
        assert 0 <= values[model, "SS"] <= 100


def test_the_books_own_model_is_missed_in_one_line(venv, tmp_path):
    """Outside a checkout there is none; nor is one needed for the recorded runs that are not there."""
    done = done_by(venv / "bin/fairnc", "measure", "--texts", "20", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("fairnc measure: model 'models/minilm-mlm', the book's own, lies")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["bin/fairnc", "bin/python -m fairnc_utils"])
def test_the_command_line_says_what_it_can_do(venv, tmp_path, command):
    program, *rest = command.split()
    assert "measure" in run(venv / program, *rest, "--help", cwd=tmp_path)
    assert run(venv / program, *rest, "--version", cwd=tmp_path) == f"fairnc {VERSION}\n"
