"""Everything in this folder has the marker ``robustness``: `make test` leaves it out."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

from fairnc_utils import assets


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.robustness)


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of axe-core in the version that ``tests/package.json`` pins, by npm, kept in the
    cache.
    """
    pinned = json.loads((ROOT / "tests/package.json").read_text())["devDependencies"]["axe-core"]
    folder = assets.cache_dir() / "npm" / f"axe-core-{pinned}"
    source = folder / "node_modules/axe-core/axe.min.js"
    if not source.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, so axe-core cannot be had")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / "tests" / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode != 0:
            pytest.skip(f"npm cannot install axe-core: {done.stderr.strip()[-200:]}")
    return source.read_text()
