"""The page on adding a benchmark: its file, its registry line, its call and its test are run as
they stand there.
"""

import importlib.util
import inspect
import math
import re
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from fairnc_utils import benchmarks, catalog
from fairnc_utils.benchmarks import Benchmark
from fairnc_utils.runs import cli

PAGE = ROOT / "book/run/adding-a-benchmark.md"
CODE = re.compile(r"```\{code-block\} \w+\n:caption: ([^\n]+)\n\n(.*?)\n```", re.DOTALL)


@pytest.fixture(scope="module")
def blocks():
    """Caption → code."""
    code = dict(CODE.findall(PAGE.read_text(encoding="utf-8")))
    assert len(code) == 5
    return code


@pytest.fixture
def chores(blocks, tmp_path, monkeypatch):
    """The page's file, imported from where the page says it lies."""
    path = tmp_path / "chores.py"
    path.write_text(blocks["fairnc_utils/benchmarks/chores.py"], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("fairnc_utils.benchmarks.chores", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registered(blocks, chores, monkeypatch):
    """The registry with the page's line in it."""
    source = Path(catalog.__file__).read_text(encoding="utf-8")
    *place, entry = blocks["fairnc_utils/catalog.py"].splitlines()
    place = "".join(f"{line[1:]}\n" for line in place)
    assert source.count(place) == 1
    registry = {}
    exec(compile(source.replace(place, f"{place}{entry[1:]}\n"), "registry", "exec"), registry)
    monkeypatch.setitem(benchmarks.BENCHMARKS, "chores", registry["BENCHMARKS"]["chores"])


def test_the_file_describes_a_benchmark(chores):
    assert isinstance(chores.CHORES, Benchmark)
    assert chores.CHORES.measures
    assert chores.CHORES.limits
    items = chores.load("all")
    assert len(set(items["item_id"])) == len(items) == 10
    assert sum(items["sign"]) == 0
    assert len(inspect.getsource(chores).splitlines()) < 50


def test_the_call_gives_rows(blocks, registered, chores, lm, capsys):
    space = {}
    exec(blocks["In a notebook"], space)
    row = space["run"].select(axis="all", metric="stereotype_log_odds").iloc[0]
    direct = chores.CHORES.estimates(chores.CHORES.run(lm, split="all"))["stereotype_log_odds"]
    assert row["value"] == pytest.approx(direct.value, rel=1e-4)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["n"] == 10
    command = re.search(r"\$ fairnc (.+)", PAGE.read_text(encoding="utf-8")).group(1)
    assert cli.main([*command.split(), "--model", "random"]) == 0
    assert "stereotype_log_odds" in capsys.readouterr().out


def test_the_scores_are_those_of_one_sentence_at_a_time(chores, lm):
    rows = chores.CHORES.run(lm, split="all")
    for row in rows.itertuples():
        inputs = lm.tokenizer(f"The [MASK] {row.item_id}.", return_tensors="pt")
        probabilities = lm.model(**inputs).logits[0, 2].softmax(0)
        woman, man = (
            probabilities[i].item() for i in lm.tokenizer.convert_tokens_to_ids(["woman", "man"])
        )
        assert (row.score_a, row.score_b) == pytest.approx(
            (math.log(woman), math.log(man)), abs=1e-4
        )


def test_the_page_s_own_test_passes_and_can_fail(blocks, chores, lm):
    space = {}
    exec(blocks["tests/test_chores.py"], space)
    test = space["test_chores_follow_the_gender_direction"]
    test(lm)

    class Deaf:
        """A model that does not change with its gender direction."""

        def with_gender_direction(self, scale, *, words):
            return lm

    with pytest.raises(AssertionError):
        test(Deaf())
