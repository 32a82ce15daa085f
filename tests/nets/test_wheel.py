"""What `pip install` gives works by itself: README's code and the command line, from the wheel, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)

#: What a reader has before the code of a block starts.
GIVEN = """
from pathlib import Path
import fairnc_utils
assert Path(fairnc_utils.__file__).is_relative_to({venv!r}), fairnc_utils.__file__
from transformers import AutoModelForMaskedLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({model!r})
model = AutoModelForMaskedLM.from_pretrained({model!r})
batch = dict(tokenizer(["she met him", "he met her mother"], padding=True, return_tensors="pt"))
batch["labels"] = batch["input_ids"].clone()
"""

pytestmark = pytest.mark.slow


def done_by(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """A command that sees no checkout, done."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def run(*command: str | Path, cwd: Path) -> str:
    """Its standard output; its error is that of the test."""
    done = done_by(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def venv(tmp_path_factory) -> Path:
    """An environment with the wheel; what it depends on is that of the running environment, but for this package."""
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
    # Behind the wheel on the path; .pth files in there, such as one of an editable install, have no effect.
    (packages / "running.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv"


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory) -> Path:
    """A small BERT on disk, with its tokenizer."""
    folder, lm = tmp_path_factory.mktemp("bert"), tiny("bert")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_of_the_readme_runs(venv, model, tmp_path, number):
    (tmp_path / "models").symlink_to(ROOT / "models")  # as in a checkout
    given = GIVEN.format(venv=str(venv), model=str(model))
    run(venv / "bin/python", "-c", given + BLOCKS[number], cwd=tmp_path)


def test_a_random_model_is_measured(venv, tmp_path):
    command = ["--model", "random", "--texts", "20", "--words", "gender", "--min-counts", "2"]
    assert "nc3" in run(venv / "bin/fairnc", "measure", *command, cwd=tmp_path)


def test_the_books_own_model_is_missed_in_one_line(venv, tmp_path):
    """Outside a checkout there is none; nor is one needed for the recorded runs that are not there."""
    done = done_by(venv / "bin/fairnc", "measure", "--texts", "20", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("fairnc measure: model 'models/minilm-mlm', the book's own, lies")
    assert len(done.stderr.splitlines()) == 1


def test_the_command_line_says_what_it_can_do(venv, tmp_path):
    assert "measure" in run(venv / "bin/fairnc", "--help", cwd=tmp_path)
