"""The repository agrees with itself: dependencies, notebooks, configurations, table of contents."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import jsonschema
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROFILES = sorted((ROOT / "config").glob("*.yaml"))

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_profile = pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def parameters(path: Path) -> dict:
    """Names and values of a notebook's cell tagged ``parameters``; raises ValueError if one is not a literal."""
    (cell,) = [cell for cell in code_cells(path) if "parameters" in cell.metadata.get("tags", [])]
    statements = ast.parse(cell.source).body
    return {node.targets[0].id: ast.literal_eval(node.value) for node in statements}


# Dependencies


def test_conda_takes_every_dependency_from_the_lock_and_pyproject():
    python, pip, installed = load(ROOT / "environment.yml")["dependencies"]
    assert Requirement(python.replace("=", "==")).specifier.contains(
        PYPROJECT["project"]["requires-python"].removeprefix(">=")
    )
    assert pip == "pip"
    assert installed == {"pip": ["-r requirements.lock", "-e ."]}


def test_lock_satisfies_pyproject():
    locked = dict(line.split("==") for line in LOCK)
    versions = {canonicalize_name(name): version for name, version in locked.items()}
    project = PYPROJECT["project"]
    lists = [PYPROJECT["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()]
    for text in chain.from_iterable(lists):
        needed = Requirement(text)
        if needed.name == project["name"]:
            continue  # an extra that takes in others
        assert needed.specifier.contains(versions[canonicalize_name(needed.name)]), text


def test_lock_works_on_every_machine():
    """Names and versions only: no path, no build of one platform, no CUDA package that a laptop would have to fetch."""
    assert [line for line in LOCK if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert [line for line in LOCK if line.startswith(("nvidia", "cuda", "triton"))] == []


# Notebooks


@each_notebook
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert [cell.id for cell in code_cells(path) if cell.outputs or cell.execution_count is not None] == []
    assert "papermill" not in notebook.metadata


@each_notebook
def test_notebook_cells_are_short(path):
    assert [cell.id for cell in code_cells(path) if len(cell.source.splitlines()) >= 25] == []


@each_notebook
def test_notebook_has_the_common_parameters_and_only_literals(path):
    assert parameters(path).keys() >= {"model", "device", "profile", "results"}


# Configurations


@each_profile
def test_profile_is_valid(path):
    profile = load(path)
    jsonschema.validate(profile, load(ROOT / "workflow/schemas/config.schema.yaml"))
    assert profile["profile"] == profile["common"]["profile"] == path.stem
    assert profile["build"] == f"build/{path.stem}"  # where `make book` says that the book is


@each_profile
def test_profile_has_every_notebook_and_the_table_of_contents_too(path):
    chapters = [*load(path)["chapters"], *load(path).get("summaries", {})]
    contents = re.findall(r"file: notebooks/(\S+)", (ROOT / "book/_toc.yml").read_text())
    assert sorted(chapters) == sorted(contents) == [notebook.stem for notebook in NOTEBOOKS]


@each_profile
def test_profile_sets_only_parameters_that_the_notebooks_have(path):
    profile = load(path)
    for chapter, own in (profile["chapters"] | profile.get("summaries", {})).items():
        assert own.keys() <= parameters(ROOT / f"notebooks/{chapter}.ipynb").keys(), chapter
    for chapter in profile.get("summaries", {}):
        assert "live" in parameters(ROOT / f"notebooks/{chapter}.ipynb"), chapter


def test_unknown_key_is_refused_in_words():
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "config/tiny.yaml", "--config", "oops=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "Configuration, at $: Additional properties are not allowed ('oops' was unexpected)" in said
    assert len(said.splitlines()) < 10


# Files


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_folder_of_one_machine():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    machine = re.compile(rb"(?<![\w.:/-])/(?:home|root|Users|work)/\w")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert [path for path in paths if path.is_file() and machine.search(path.read_bytes())] == []
