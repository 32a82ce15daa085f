"""What `pip install` gives works by itself: README's code and the command line, from the wheel, in an empty folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)

#: What a reader has before the code of a block starts.
GIVEN = """
from pathlib import Path
import fairnc_utils
assert Path(fairnc_utils.__file__).is_relative_to({venv!r}), fairnc_utils.__file__
import datasets
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({model!r})
model = {auto}.from_pretrained({model!r})
texts = ["she met him", "he met her"]
batch = dict(tokenizer(texts, return_tensors="pt"))
batch["labels"] = batch["input_ids"].clone()
rows = [dict(zip(batch, row)) for row in zip(*batch.values())]
"""

#: What a block uses → the model that it is about, its data set, and what must have come of it.
ABOUT = {
    "measurement.read": ("bert", "rows", "found.unc3"),
    "model(**batch).loss": ("bert", "rows", "loss.backward() or nc3.measured.r"),
    "NC3Trainer(": ("bert", "rows", "nc3.measured.r"),
    "NC3SFTTrainer(": ("llama", 'datasets.Dataset.from_dict({"text": texts})', "nc3.measured.r"),
}

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

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
def models(tiny, tokenizer, tmp_path_factory) -> dict[str, Path]:
    """A small model of each family on disk, with its tokenizer."""
    folders = {family: tmp_path_factory.mktemp(family) for family in TINY}
    for family, folder in folders.items():
        lm = tiny(family, **{"n_positions" if family == "gpt2" else "max_position_embeddings": 258})
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
    return folders


@pytest.fixture(scope="module")
def llama(tiny, tokenizer, tmp_path_factory) -> Path:
    """A small causal model whose vocabulary has the gender words."""
    folder = tmp_path_factory.mktemp("llama")
    tiny("llama", vocab_size=len(tokenizer)).model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "[SEP]"}))
    return folder


@pytest.mark.parametrize("block", BLOCKS)
def test_code_of_the_readme_runs(venv, models, llama, tmp_path, block):
    (tmp_path / "models").symlink_to(ROOT / "models")  # as in a checkout
    ((family, dataset, outcome),) = [about for use, about in ABOUT.items() if use in block]
    if not torch.cuda.is_available():  # TRL's default is bfloat16 on a GPU
        block = block.replace('SFTConfig("trained")', 'SFTConfig("trained", use_cpu=True)')
    given = GIVEN.format(
        venv=str(venv),
        model=str(llama if family == "llama" else models[family]),
        auto="AutoModelForCausalLM" if family == "llama" else "AutoModelForMaskedLM",
    )
    run(
        venv / "bin/python",
        "-c",
        f"{given}dataset = {dataset}\n{block}\nassert {outcome} > 0",
        cwd=tmp_path,
    )


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
        (row["model"], row["metric"]): row["value"]
        for row in map(json.loads, printed.splitlines())
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
