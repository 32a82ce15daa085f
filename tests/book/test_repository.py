"""The repository agrees with itself: dependencies, notebooks, configurations, table of contents."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import jsonschema
import nbformat
import pytest
import yaml
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fairnc_book import notebook as book_notebook
from fairnc_book import tables
from fairnc_utils.errors import FairNCError

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if not line.startswith("#")
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: Those that a build runs; the audit, which is part of the package, is linked beside them.
CHAPTERS = [path for path in NOTEBOOKS if not path.is_symlink()]
PROFILES = sorted((ROOT / "config").glob("*.yaml"))

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
each_profile = pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def parameters(path: Path) -> dict:
    """Names and values of a notebook's cell tagged ``parameters``; raises ValueError if one is not
    a literal.
    """
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
    lists = [
        PYPROJECT["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
    ]
    for text in chain.from_iterable(lists):
        needed = Requirement(text)
        if needed.name == project["name"]:
            continue  # an extra that takes in others
        assert needed.specifier.contains(versions[canonicalize_name(needed.name)]), text


def test_lock_works_on_every_machine():
    """Names and versions only: no path, no build of one platform, no CUDA package that a laptop
    would have to fetch.
    """
    assert [line for line in LOCK if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert [line for line in LOCK if line.startswith(("nvidia", "cuda", "triton"))] == []


# Notebooks


@each_notebook
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert [
        cell.id for cell in code_cells(path) if cell.outputs or cell.execution_count is not None
    ] == []
    assert "papermill" not in notebook.metadata


@each_notebook
def test_saving_a_notebook_in_jupyterlab_changes_nothing(path, tmp_path):
    """JupyterLab sorts keys and writes what its kernel says of itself; nbstripout, with the hook's
    options, takes the rest.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
    notebook.metadata.language_info |= {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3.11.2",
    }
    saved = tmp_path / path.name
    nbformat.write(notebook, saved)
    (hook,) = [
        hook
        for hook in load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
        if hook["id"] == "nbstripout"
    ]
    program, *options = shlex.split(hook["entry"])
    subprocess.run([Path(sys.executable).with_name(program), *options, saved], check=True)
    assert saved.read_bytes() == path.read_bytes()


@each_chapter
def test_chapter_saves_experiments_apart_from_every_build(path):
    """What a reader tries must not come into the book: it has a folder and a profile of its own,
    and git passes it over.
    """
    values = parameters(path)
    assert values["results"] == f"runs/{path.stem}"
    assert values["profile"] not in {profile.stem for profile in PROFILES}
    assert not any(
        str(value).startswith("build/") for name, value in values.items() if name != "live"
    )
    assert "/runs/" in (ROOT / ".gitignore").read_text().splitlines()


@each_notebook
def test_notebook_checks_the_names_of_its_parameters(path):
    cells = code_cells(path)
    (place,) = [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert cells[place + 1].source == "notebook.check_parameters()"


#: What reads well in the book alone: directives and roles of MyST.
DIRECTIVE = re.compile(r"^:::|^```\{|\{[\w:]+\}`", re.MULTILINE)
CITATION = re.compile(r"\[\([^\]]*\)\]\(#(\w+)\)")
LINK = re.compile(r"\]\(((?!#|https?:)[^)]+)\)")


@each_notebook
def test_notebook_reads_well_in_jupyterlab_and_in_the_book(path):
    texts = [
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    ]
    assert [text for text in texts if DIRECTIVE.search(re.sub(r"\$[^$]*\$", "", text))] == []
    cited = [
        (match[0], tables.cited(match[1])) for text in texts for match in CITATION.finditer(text)
    ]
    assert [pair for pair in cited if pair[0] != pair[1]] == []
    links = [match[1] for text in texts for match in LINK.finditer(text)]
    assert [link for link in links if not (path.parent / link).is_file()] == []


@each_notebook
def test_notebook_cells_are_short(path):
    assert [cell.id for cell in code_cells(path) if len(cell.source.splitlines()) >= 25] == []


@each_chapter
def test_chapter_has_the_common_parameters_and_only_literals(path):
    assert parameters(path).keys() >= {"model", "device", "profile", "results"}


def test_a_mistyped_parameter_is_named():
    cells = ["import x", "model = 1\nseed = 0", "# Parameters\nmodle = 2\n", "check()"]
    with pytest.raises(
        FairNCError, match="no parameter is called modle: this notebook has model, seed"
    ):
        book_notebook.check_parameters(cells)
    book_notebook.check_parameters([*cells[:2], "# Parameters\nmodel = 2\n", "check()"])
    book_notebook.check_parameters([*cells[:2], "check()"])


@pytest.mark.slow
def test_papermill_fails_on_a_mistyped_parameter(tmp_path):
    source = nbformat.read(NOTEBOOKS[1], as_version=4)
    place = next(
        i for i, cell in enumerate(source.cells) if cell.source == "notebook.check_parameters()"
    )
    source.cells = source.cells[: place + 1]
    nbformat.write(source, tmp_path / "in.ipynb")
    command = [
        Path(sys.executable).with_name("papermill"),
        "in.ipynb",
        "out.ipynb",
        "-p",
        "modle",
        "random",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no parameter is called modle: this notebook has model, device" in done.stderr


# Configurations


@each_profile
def test_profile_is_valid(path):
    profile = load(path)
    jsonschema.validate(profile, load(ROOT / "workflow/schemas/config.schema.yaml"))
    # a copy would be built into the same folder, and `make book` print another one
    assert "build" not in profile


@each_profile
def test_profile_has_every_notebook_and_the_table_of_contents_too(path):
    chapters = [*load(path)["chapters"], *load(path).get("summaries", {})]
    contents = re.findall(r"file: notebooks/(\S+)", (ROOT / "book/_toc.yml").read_text())
    assert sorted(chapters) == sorted(contents) == [chapter.stem for chapter in CHAPTERS]


def test_every_page_is_in_the_table_of_contents():
    contents = re.findall(r"file: (\S+)", (ROOT / "book/_toc.yml").read_text())
    pages = [path.relative_to(ROOT / "book").with_suffix("") for path in ROOT.glob("book/**/*.md")]
    assert {str(page) for page in pages} - {"index"} <= set(contents)


@pytest.mark.parametrize(
    "page", [*ROOT.glob("book/**/*.md"), *CHAPTERS], ids=lambda path: path.stem
)
def test_links_between_pages_lead_to_pages(page):
    links = re.findall(r"\]\((?!https?:|#|/)([^)#\s]+\.(?:md|ipynb))[)#]", page.read_text())
    assert [link for link in links if not linked(page, link).is_file()] == []


def linked(page: Path, link: str) -> Path:
    """What a link leads to; chapters stand in ``notebooks`` here and in ``book/notebooks`` in the built site."""
    there = (page.parent / link).resolve()
    if there.is_relative_to(ROOT / "book/notebooks"):
        return ROOT / "notebooks" / there.relative_to(ROOT / "book/notebooks")
    return there


@each_profile
def test_profile_sets_only_parameters_that_the_notebooks_have(path):
    profile = load(path)
    for chapter, values in (profile["chapters"] | profile.get("summaries", {})).items():
        assert values.keys() <= parameters(ROOT / f"notebooks/{chapter}.ipynb").keys(), chapter
    for chapter in profile.get("summaries", {}):
        assert "live" in parameters(ROOT / f"notebooks/{chapter}.ipynb"), chapter


def test_unknown_key_is_refused_in_words():
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--configfile",
        "config/tiny.yaml",
        "--config",
        "oops=1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert (
        "Configuration, at $: Additional properties are not allowed ('oops' was unexpected)" in said
    )
    assert len(said.splitlines()) < 10


# Files


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_file_names_a_folder_of_one_machine():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    machine = re.compile(rb"(?<![\w.:/-])/(?:home|root|Users|work)/\w")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    assert [path for path in paths if path.is_file() and machine.search(path.read_bytes())] == []
