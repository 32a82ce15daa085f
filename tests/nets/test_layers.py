"""Imports go down, never back: the contract of ``.importlinter``."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is part of the extra `test`")

from helpers import ROOT


def lint(project: Path) -> subprocess.CompletedProcess:
    """What import-linter says of the packages in a folder."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path):
    """A copy of the packages and their contract."""
    for name in ("fairnc_book", "fairnc_utils"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_imports_go_down(project):
    done = lint(project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "imported"),
    [
        ("fairnc_utils/words.py", "fairnc_book.tables"),
        ("fairnc_utils/words.py", "fairnc_utils.runs"),
        ("fairnc_utils/models.py", "fairnc_utils.training"),
        ("fairnc_book/tables.py", "fairnc_book.site.stills"),
    ],
)
def test_an_import_that_goes_back_is_named(project, file, imported):
    path = project / file
    path.write_text(f"{path.read_text()}\n\ndef late():\n    import {imported}\n")
    done = lint(project)
    assert done.returncode == 1, done.stdout + done.stderr
    importer = file.removesuffix(".py").replace("/", ".")
    assert f"{importer} -> {imported}" in " ".join(done.stdout.split())


def test_a_module_without_a_place_is_named(project):
    (project / "fairnc_utils/stray.py").touch()
    done = lint(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "stray" in done.stdout
