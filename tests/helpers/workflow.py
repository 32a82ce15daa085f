"""The workflow in a scratch copy of the project."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat

from helpers import ROOT

FAIL = "raise ValueError('planted failure')"


def copy(target: Path) -> Path:
    """The project without tests and what git ignores; its models are those of the project itself."""
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in (
        "workflow",
        "profiles",
        "config",
        "notebooks",
        "book",
        "fairnc_utils",
        "fairnc_book",
    ):
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("Snakefile", "_config.yml", "CITATION.cff"):
        shutil.copy2(ROOT / name, target / name)
    (target / "models").symlink_to(ROOT / "models")
    return target


def command(*arguments: str) -> list[str]:
    launch = [
        sys.executable,
        "workflow/launch.py",
        "--configfile",
        "config/tiny.yaml",
        "--cores",
        "2",
    ]
    return [*launch, *arguments]


def environment(project: Path) -> dict[str, str]:
    """In which the copy's packages are imported, not those that are installed."""
    return {**os.environ, "PYTHONPATH": str(project)}


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments),
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )


def planned(project: Path, *arguments: str) -> dict[str, int]:
    """Number of jobs by rule that a run would do."""
    done = run(project, "--dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    if "Nothing to be done" in done.stdout + done.stderr:
        return {}
    table = (done.stdout + done.stderr).partition("Job stats:")[2].partition("total")[0]
    rows = [line.split() for line in table.splitlines()[3:]]
    return {rule: int(count) for rule, count in rows}


def plant(project: Path, chapter: str, source: str) -> str:
    """Leave a chapter its parameters and one cell of ours → the target of that chapter."""
    path = project / f"notebooks/{chapter}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    nbformat.write(notebook, path)
    return f"build/tiny/notebooks/{chapter}.ipynb"


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def started(project: Path, *arguments: str, screen=subprocess.DEVNULL):
    """A run of the workflow in a process group of its own, all of which ends with the block;
    ``screen``: what it says.
    """
    with subprocess.Popen(
        command(*arguments),
        cwd=project,
        env=environment(project),
        start_new_session=True,
        stdout=screen,
        stderr=screen,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def edited(path: Path, old: str, new: str):
    """A file with one change, for as long as the block lasts."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


def check_failure(project: Path, target: str, error: str) -> None:
    """Run a notebook that raises: its traceback and its executed copy reach the user, and nothing
    takes its place.
    """
    done = run(project, target)
    assert done.returncode != 0
    assert error in done.stderr
    failed = project / f"build/tiny/logs/{Path(target).stem}.failed.ipynb"
    assert str(failed) in done.stderr
    assert any(
        output.output_type == "error"
        for output in nbformat.read(failed, as_version=4).cells[-1].outputs
    )
    assert not (project / target).exists()
