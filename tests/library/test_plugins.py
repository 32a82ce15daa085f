"""What other packages add: a package is installed, and its benchmark, words, method and command
work like ours.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from helpers import ROOT

PAGE = (ROOT / "book/run/adding-a-benchmark.md").read_text(encoding="utf-8")
#: File name → the page's code of it.
BLOCKS = dict(
    re.findall(r"```\{code-block\} \w+\n:caption: ([^\n]+)\n\n(.*?)\n```", PAGE, re.DOTALL)
)

PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "others"
version = "1.0"

[project.entry-points."fairnc.benchmarks"]
gap = "others:METHOD"
broken = "nothing_of_that_name:BENCHMARK"
wrong = "others:METHOD"

[project.entry-points."fairnc.words"]
people = "others:people"

[project.entry-points."fairnc.methods"]
plain = "others:METHOD"

[project.entry-points."fairnc.commands"]
greet = "others:greet"
sulk = "nothing_of_that_name:sulk"
list = "others:greet"

[tool.setuptools]
py-modules = ["others"]
"""

MODULE = """
from dataclasses import replace

from fairnc_utils import debias

METHOD = replace(debias.get("mlm"), name="plain")


def people():
    return [("mother", "family"), ("father", "family"), ("king", "court"), ("queen", "court"), ("doctor", "work")]


def greet(arguments):
    print("hello", *arguments)
    return 1 if arguments else 0
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with two packages that pip installed: the page's, and one with a bit of everything."""
    site, packages = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("packages")
    sources = {
        "chores": {
            "pyproject.toml": BLOCKS["pyproject.toml"],
            "chores.py": BLOCKS["fairnc_utils/benchmarks/chores.py"],
        },
        "others": {"pyproject.toml": PROJECT, "others.py": MODULE},
    }
    for package, files in sources.items():
        (packages / package).mkdir()
        for name, content in files.items():
            (packages / package / name).write_text(content, encoding="utf-8")
    pip = "pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --target".split()
    subprocess.run(
        [sys.executable, "-m", *pip, site, *(packages / package for package in sources)], check=True
    )
    return site


@pytest.fixture
def fairnc(site):
    """Function(arguments) → the finished command, which sees the packages."""

    def run(arguments, command=("-m", "fairnc_utils.runs.cli")):
        path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, *command, *arguments.split()],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_lists_name_what_others_add_without_importing_it(fairnc):
    script = "import sys; from fairnc_utils.runs.cli import main; main(['list']); sys.exit('chores' in sys.modules)"
    done = fairnc("", command=["-c", script])
    assert done.returncode == 0
    named = {line.split()[0]: line for line in done.stdout.splitlines() if "of the package" in line}
    assert set(named) == {"chores", "broken", "wrong", "people", "plain"}
    assert named["chores"].endswith("of the package fairness-of-chores")
    assert sorted(done.stderr.splitlines()) == [
        f"fairnc: warning: the {clash} of the package others is left out: the name is taken"
        for clash in ("benchmark 'gap'", "command 'list'")
    ]


def test_a_plug_in_that_fails_costs_one_warning(fairnc):
    done = fairnc("list benchmarks --json")
    assert done.returncode == 0
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["chores"]["splits"] == ["all"]
    assert rows["chores"]["measures"].startswith("By how much women are likelier")
    assert rows["gap"]["kinds"] == ["coreference"]  # ours
    assert "splits" not in rows["broken"]
    broken, wrong = (
        [line for line in done.stderr.splitlines() if f"{name!r} of the package others" in line]
        for name in ("broken", "wrong")
    )
    assert len(broken) == len(wrong) == 1
    assert "cannot be loaded: ModuleNotFoundError" in broken[0]
    assert "others:METHOD is no Benchmark" in wrong[0]
    asked = fairnc("score --benchmark broken --model random")
    assert asked.returncode == 2
    assert (
        "the benchmark 'broken' of the package others cannot be loaded"
        in asked.stderr.splitlines()[-1]
    )


def test_their_benchmark_words_and_method_work_like_ours(fairnc, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        """
import json
from fairnc_utils import runs

score = runs.score(benchmark="chores", model="random", device="cpu")
measure = runs.measure(model="random", device="cpu", texts=400, words=["people"], min_counts=[1], draws=0)
small = {"model": "random", "device": "cpu", "texts": 12, "batch_size": 8, "steps": 1, "evaluation_texts": 12, "min_count": 2}
train = runs.train(method="plain", regularizer="corrected", nc3_words="people", benchmarks=["chores"], **small)
print(json.dumps({
    "score": score.results[["benchmark", "metric", "axis", "n"]].to_dict("records"),
    "measure": sorted(set(zip(measure.results["words"], measure.results["axis"]))),
    "units": sorted(measure.items["unit"]),
    "evidence": measure.provenance["evidence"]["word_lists"],
    "train": sorted(set(zip(train.results["method"], train.results["regularizer"]))),
    "scored": sorted(set(train.results["benchmark"])),
    "trained on": train.provenance["evidence"]["word_lists"],
}))
"""
    )
    done = fairnc("", command=[str(script)])
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert {
        "benchmark": "chores",
        "metric": "stereotype_log_odds",
        "axis": "all",
        "n": 10.0,
    } in output["score"]
    assert output["measure"] == [["people", "people"]]
    assert set(output["units"]) <= {"mother", "father", "king", "queen", "doctor"}
    # the same name may mean other words one day: the run's id tells
    assert len(output["evidence"]["people"]) == 64
    assert output["train"] == [["base", "none"], ["plain", "corrected,words=people"]]
    assert output["scored"] == ["chores", "training"]
    assert output["trained on"] == output["evidence"]


def test_their_commands_are_listed_and_called_with_the_rest_of_the_line(fairnc):
    helped = fairnc("--help")
    assert helped.returncode == 0
    assert re.search(r"greet +Of the package others", helped.stdout)
    assert helped.stderr.splitlines() == [
        "fairnc: warning: the command 'list' of the package others is left out: the name is taken"
    ]
    greeted = fairnc("greet")
    assert (greeted.returncode, greeted.stdout) == (0, "hello\n")
    greeted = fairnc("greet --loud you")
    assert (greeted.returncode, greeted.stdout) == (1, "hello --loud you\n")
    failed = fairnc("sulk")
    assert failed.returncode == 2
    (line,) = failed.stderr.splitlines()
    assert line.startswith(
        "fairnc: the command 'sulk' of the package others cannot be loaded: ModuleNotFoundError"
    )
    unknown = fairnc("gret")
    assert unknown.returncode == 2
    assert "unknown command 'gret': choose measure, " in unknown.stderr
    assert "greet" in unknown.stderr
