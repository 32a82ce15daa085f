"""What a user of the library pays for: the core needs no extra, and an extra that is missing is
named in one line.
"""

import statistics
import subprocess
import sys
import time
import tomllib
from importlib.metadata import packages_distributions

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fairnc_utils import _extras

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

CORE = (
    "assets",
    "batching",
    "collapse",
    "dose",
    "duality",
    "errors",
    "models",
    "regularizer",
    "stats",
    "swap",
    "swap_collapse",
    "words",
)
BLOCKED = sorted(
    {module for modules in _extras.MODULES.values() for module in modules} - {"yaml"}
    | {"peft", "sphinx"}
)


def python(code: str, *, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that lacks the blocked modules."""
    without = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", without + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_core_is_imported_and_used_without_any_extra():
    code = (
        "".join(f"import fairnc_utils.{name}\n" for name in CORE)
        + """
import transformers
from fairnc_utils import models
from fairnc_utils.regularizer import NC3Regularizer
lm = models.load("random", device="cpu")
nc3 = NC3Regularizer(lm.model, lm.tokenizer, words="gender")
batch = lm.tokenizer(["she met him"] * 10, return_tensors="pt")
lm.model(**batch)
print(float(nc3(batch)) > 0)
"""
    )
    done = python(code, blocked=tuple(BLOCKED))
    assert done.stdout == "True\n", done.stderr


def test_the_core_imports_nothing_heavy_of_transformers():
    """Model classes and trainers bring seconds of imports, adapters' packages among them."""
    code = (
        "import fairnc_utils.regularizer\n"
        + "heavy = ('transformers.modeling_utils', 'transformers.trainer_utils', 'scipy.stats', 'peft')\n"
    )
    done = python(code + "print([name for name in heavy if name in sys.modules])")
    assert done.stdout == "[]\n", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("fairnc_utils.corpora", "datasets", "measure"),
        ("fairnc_utils.measurement", "pandas", "measure"),
        ("fairnc_utils.benchmarks", "datasets", "measure"),
        ("fairnc_utils.benchmarks.gap", "pandas", "measure"),
        ("fairnc_utils.runs", "pydantic", "measure"),
        ("fairnc_utils.debias", "datasets", "train"),
        ("fairnc_utils.tasks", "datasets", "train"),
        ("fairnc_book", "plotly", "book"),
    ],
)
def test_a_missing_extra_is_named_in_one_line(module, missing, extra):
    done = python(f"import {module}", blocked=(missing,))
    assert done.stderr.splitlines()[-1].endswith(
        f"MissingExtra: {missing} is not installed: pip install 'fairnc-utils[{extra}]'"
    )


def test_the_command_line_names_its_extra_and_nothing_else():
    done = python("from fairnc_utils.__main__ import main; sys.exit(main())", blocked=("pydantic",))
    assert done.returncode == 2
    assert done.stderr == "fairnc: pydantic is not installed: pip install 'fairnc-utils[measure]'\n"


def requirements(extra: str) -> set[str]:
    """Names of an extra's requirements and of those of the extras that it takes in."""
    names = set()
    for needed in map(Requirement, PROJECT["optional-dependencies"][extra]):
        names |= (
            set().union(*map(requirements, needed.extras))
            if needed.name == PROJECT["name"]
            else {canonicalize_name(needed.name)}
        )
    return names


@pytest.mark.parametrize("extra", _extras.MODULES)
def test_an_extra_brings_the_modules_that_it_is_asked_for(extra):
    distributions = packages_distributions()
    brought = {
        module: set(map(canonicalize_name, distributions[module]))
        for module in _extras.MODULES[extra]
    }
    assert [module for module, names in brought.items() if not names & requirements(extra)] == []


def test_one_extra_holds_everything_for_the_book():
    assert requirements("all") >= {"datasets", "jupyter-book", "papermill", "plotly", "umap-learn"}
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == {
        "numpy",
        "safetensors",
        "scipy",
        "torch",
        "tqdm",
        "transformers",
    }


def test_help_costs_little_more_than_what_it_is_made_from():
    """Medians of five; the limit leaves room for a machine that does other things."""

    def seconds(*command: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    base = seconds("-c", "from pydantic import BaseModel; import yaml")
    assert seconds("-m", "fairnc_utils", "--help") < 5 * base
