"""Conventions of one benchmark: every name is one here, the rows stand side by side, and the page says what the rows say."""

import csv

import numpy as np
import pytest
from helpers import ROOT

from fairnc_book import implementations
from fairnc_utils import benchmarks, runs
from fairnc_utils.benchmarks import conventions
from fairnc_utils.errors import FairNCError, FairNCWarning

EVERY = [convention for family in conventions.FAMILIES.values() for convention in family]
PAGE = ROOT / "book" / "run"


def test_every_convention_is_a_benchmark_with_its_headline_and_none_is_named_twice():
    names = [convention.benchmark for convention in EVERY]
    assert len(set(names)) == len(names)
    for convention in EVERY:
        benchmark = benchmarks.get(convention.benchmark)
        assert convention.metric in benchmark.statistics, convention.benchmark


def test_conventions_of_a_family_read_the_same_items():
    for family in conventions.FAMILIES.values():
        first, *others = (benchmarks.get(convention.benchmark) for convention in family)
        for other in others:
            split = next(split for split in first.splits if split in other.splits)
            shared = set(first.items(split)["item_id"]) & set(other.items(split)["item_id"])
            assert shared, (first.name, other.name)


def test_what_takes_a_model_has_its_kind_split_and_axis():
    asked = {"split": None, "axis": "gender"}
    masked = conventions.that_take("crows", "masked", **asked)
    assert [b.name for b in masked] == [c.benchmark for c in EVERY[:4]]
    assert conventions.that_take("crows", "causal", **asked) == []
    # six tests of gender are all that one of them has: the double bind is in the others alone
    axis = next(
        axis
        for axis in benchmarks.get("seat").axes
        if axis not in benchmarks.get("seat_bias_bench").axes
    )
    names = [b.name for b in conventions.that_take("seat", "masked", split=None, axis=axis)]
    assert "seat_bias_bench" not in names
    assert "seat_word" in names


def test_a_benchmark_that_is_computed_in_one_way_is_one_line():
    with pytest.raises(FairNCError, match="honest is computed in one way here; those with several"):
        runs.score(model="random", benchmark="honest", all_variants=True)


def test_all_variants_are_what_each_gives_alone():
    options = {"model": "random", "device": "cpu", "axis": "gender"}
    together = runs.score(**options, benchmark="crows_bias_bench", all_variants=True)
    assert list(dict.fromkeys(together.results["benchmark"])) == [
        "crows_official",
        "crows_bias_bench",
        "crows_aul",
        "crows_aula",
    ]
    alone = runs.score(**options, benchmark="crows_bias_bench")
    columns = ["axis", "metric", "value", "ci_low", "ci_high", "n"]
    some = together.select(benchmark="crows_bias_bench")[columns]
    assert some.equals(alone.results[columns].reset_index(drop=True))
    assert len(together.items) == 4 * len(alone.items)
    assert together.run_id != alone.run_id


def test_a_convention_that_the_model_lacks_something_for_is_named_and_left_out():
    options = {"model": "random", "device": "cpu", "axis": "gender", "split": "dev"}
    with pytest.warns(FairNCWarning, match="stereoset_inter_nsp is left out"):
        run = runs.score(**options, benchmark="stereoset_inter_likelihood", all_variants=True)
    assert set(run.results["benchmark"]) == {"stereoset_inter_likelihood"}


def test_each_line_says_whose_and_what_and_why():
    lines = conventions.explained(["seat", "honest", "crows_aul"])
    assert len(lines) == 2
    assert lines[1].startswith("crows_aul: All Unmasked Likelihood (Kaneko & Bollegala 2022): mean")


# The page


def table(name: str) -> list[dict[str, str]]:
    with (PAGE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_page_defines_every_convention():
    assert table(implementations.DEFINITIONS) == implementations.definitions()


def test_the_pages_spread_follows_from_its_numbers():
    assert table(implementations.SPREAD) == implementations.spread(table(implementations.NUMBERS))


def test_the_page_shows_every_family_that_a_model_was_scored_on():
    numbers = table(implementations.NUMBERS)
    assert {line["items"] for line in numbers} == set(conventions.FAMILIES)
    for line in numbers:
        low, high = map(float, line["95% interval"].split(" to "))
        assert low <= float(line["value"]) <= high


@pytest.mark.slow
def test_the_pages_numbers_are_those_of_the_command():
    run = runs.score(device="cpu", benchmark="crows_aul", axis="gender", all_variants=True)
    shown = {
        line["here"]: float(line["value"])
        for line in table(implementations.NUMBERS)
        if line["model"] == "models/minilm-mlm" and line["items"].startswith("CrowS")
    }
    measured = run.select(metric="stereotype_pct").set_index("benchmark")["value"]
    assert set(shown) == set(measured.index)
    for name, value in shown.items():
        np.testing.assert_allclose(measured[name], value, atol=0.5)  # a pair or so of 262 may turn
