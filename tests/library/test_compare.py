"""Paired comparisons keep their promises: error rates, power, coverage; gate and helper agree."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fairnc_utils import panel, stats
from fairnc_utils.benchmarks.base import Benchmark, mean
from fairnc_utils.compare import (
    STATUS,
    Comparison,
    Decision,
    check_margins,
    compare,
    judged,
    paired_tests,
    parse_margins,
)
from fairnc_utils.errors import FairNCError
from fairnc_utils.metrics import METRICS, Metric
from fairnc_utils.panel import Part
from fairnc_utils.runs import cli
from fairnc_utils.testing import assert_not_worse, check

PAIRS, UNITS = 200, 60


def units(rows):
    return rows[["score_a"]]


BENCHMARK = Benchmark(
    name="simulated",
    splits=("all",),
    axes=(),
    load=None,
    score=None,
    units=units,
    statistics={"log_ratio": (("score_a",), mean), "log_loss": (("score_a",), mean)},
)
PART = Part(BENCHMARK, "all", "all", ("log_ratio", "log_loss"))
ONE = replace(PART, metrics=("log_ratio",))


def items(values, scores=("score_a",)):
    ids = [str(i) for i in range(len(values))]
    table = pd.DataFrame({"item_id": ids, "axis": "all", "unit": ids, "score_a": values})
    return table.assign(score_b=0.0, score_c=0.0)


def pair(change, *, seed, units=UNITS, level=1.0):
    """Item scores of two simulated models: hard items are hard for both, the mean changes so much."""
    rng = np.random.default_rng(seed)
    hard = rng.standard_t(6, units) + level
    return items(hard + rng.normal(0, 0.3, units)), items(hard + change + rng.normal(0, 0.3, units))


ERROR = 0.3 * math.sqrt(2 / UNITS)  # of the paired mean change, known by construction
SEEN = stats.smallest_effect(ERROR, UNITS - 1)


def simulated(change, *, part=ONE, margins=None, level=1.0):
    return [
        judged(paired_tests(part, *pair(change, seed=seed, level=level)), margins)
        for seed in range(PAIRS)
    ]


@pytest.fixture(scope="module")
def null():
    return simulated(0.0)


@pytest.fixture(scope="module")
def planted():
    return simulated(SEEN)


def rate(tests, of):
    return np.mean([of(test) for (test,) in tests])


def within(share, expected, *, n=PAIRS):
    """Whether a share of n trials is one that 999 of 1,000 simulations would give."""
    low, high = scipy.stats.binom.ppf([0.0005, 0.9995], n, expected) / n
    return low <= share <= high


def test_a_null_difference_is_found_as_often_as_the_level_says(null):
    assert within(rate(null, lambda test: test.change.p() < 0.05), 0.05)


def test_a_planted_difference_is_found_at_the_promised_power(planted):
    assert within(rate(planted, lambda test: test.change.p() < 0.05), 0.8)
    assert np.mean([test.smallest for (test,) in planted]) == pytest.approx(SEEN, rel=0.05)


@pytest.mark.parametrize(("name", "change"), [("null", 0.0), ("planted", SEEN)])
def test_intervals_cover_the_true_change(request, name, change):
    tests = request.getfixturevalue(name)
    assert within(
        rate(tests, lambda test: test.change.ci_low <= change <= test.change.ci_high), 0.95
    )


def test_an_unpaired_comparison_would_see_much_less(planted):
    """The control of the design: hard items taken out by pairing are most of the spread."""
    (test,) = planted[0]
    apart = math.hypot(*(each.ci_high - each.value for each in (test.first, test.second))) / 1.96
    assert apart > 2.5 * test.change.error


def test_of_several_null_tests_none_is_found_more_often_than_the_level_says(null):
    families = [
        judged([test for (test,) in null[start : start + 4]]) for start in range(0, PAIRS, 4)
    ]
    found = np.mean([any(test.significant for test in family) for family in families])
    assert found <= scipy.stats.binom.ppf(0.9995, len(families), 0.05) / len(families)
    assert np.mean([min(test.change.p() for test in family) < 0.05 for family in families]) > found


@pytest.mark.parametrize("level", [1.0, -1.0])
def test_a_gate_at_its_margin_errs_as_seldom_as_it_says(level):
    """A loss as large as the margin is called not worse, or worse, in 2.5% of all cases each, on
    whichever side of its ideal the metric lies.
    """
    change = math.copysign(0.2, level)
    tests = simulated(change, margins={"log_ratio": 0.2}, level=level)
    for decision in (Decision.NOT_WORSE, Decision.WORSE):
        assert within(rate(tests, lambda test, d=decision: test.decision is d), 0.025)


def test_a_gate_decides_where_the_change_is_clear_and_the_ideal_tells_the_side():
    for level, change, decision in (
        (1.0, 0.5, Decision.WORSE),
        (1.0, -0.5, Decision.NOT_WORSE),
        (-1.0, 0.5, Decision.NOT_WORSE),
        (-1.0, -0.5, Decision.WORSE),
        (0.5, -2.0, Decision.WORSE),  # past the ideal, and farther away than before
    ):
        (test,) = judged(paired_tests(ONE, *pair(change, seed=0, level=level)), {"log_ratio": 0.2})
        assert test.decision is decision


def test_one_of_several_margins_is_called_worse_after_holm_alone():
    first, second = pair(0.0, seed=3)
    shift = (second["score_a"] - first["score_a"]).mean()
    effect = paired_tests(ONE, first, second)[0].loss
    # p of the loss being above the margin: .02 alone, .04 as one of two
    margin = shift - scipy.stats.t.isf(0.02, effect.df) * effect.error
    second = second.assign(score_a=second["score_a"] + 1)
    margins = {"log_ratio": margin + 1}
    assert judged(paired_tests(ONE, first, second), margins)[0].decision is Decision.WORSE
    both = judged(paired_tests(PART, first, second), margins | {"log_loss": margin + 1})
    assert [test.decision for test in both] == [Decision.UNDECIDED] * 2
    both = judged(paired_tests(PART, first, second), margins | {"log_loss": 2.0})
    assert [test.decision for test in both] == [Decision.UNDECIDED, Decision.NOT_WORSE]


# ---------------------------------------------------------------- what it is made of


def test_the_paired_effect_is_that_of_a_plain_loop():
    first, second = pair(0.3, seed=5, units=40)
    effect = BENCHMARK.effects(first, second)["log_ratio"]
    changes, rng, means = second["score_a"] - first["score_a"], np.random.default_rng(1), []
    for _ in range(4000):
        drawn = [changes[rng.integers(len(changes))] for _ in range(len(changes))]
        means.append(sum(drawn) / len(drawn))
    assert effect.value == pytest.approx(sum(changes) / len(changes))
    assert effect.error == pytest.approx(np.std(means) * math.sqrt(40 / 39), rel=0.06)
    assert effect.error == pytest.approx(changes.std() / math.sqrt(40), rel=0.05)
    assert effect.df == 39
    reach = scipy.stats.t.ppf(0.975, 39) * effect.error
    assert (effect.ci_low, effect.ci_high) == pytest.approx(
        (effect.value - reach, effect.value + reach)
    )


def test_differences_and_effects_are_of_the_same_change():
    first, second = pair(0.3, seed=5)
    change = BENCHMARK.differences(first, second)["log_ratio"]
    effect = BENCHMARK.effects(first, second)["log_ratio"]
    assert effect.value == pytest.approx(change.value)
    assert (effect.ci_low, effect.ci_high) == pytest.approx(
        (change.ci_low, change.ci_high), abs=0.02
    )


def test_units_that_would_decide_are_the_fewest_with_the_power():
    for effect, error in ((0.3, 0.2), (0.05, 0.1), (1.0, 0.05)):
        n = stats.units_needed(effect, error, 50)
        for units, reached in ((n, True), (n - 1, False)):
            found = stats.power(effect, error * math.sqrt(50 / units), max(units - 1, 0.5))
            assert (found >= 0.8 - 1e-9) == reached
    assert stats.units_needed(0.0, 0.1, 50) is None
    assert stats.units_needed(0.1, math.nan, 50) is None


def test_the_same_scores_show_no_difference_and_pass_every_margin():
    first, _ = pair(0.0, seed=0)
    tests = judged(paired_tests(PART, first, first), {"log_ratio": 0.0, "log_loss": 0.0})
    assert [test.change.p() for test in tests] == [1.0, 1.0]
    assert [test.decision for test in tests] == [Decision.NOT_WORSE] * 2
    assert "no difference" in replace(tests[0], decision=None).sentence


def test_items_that_one_model_cannot_score_are_no_pairs_and_are_counted():
    first, second = pair(0.3, seed=1)
    second.loc[4, "score_a"] = math.nan
    (test,) = paired_tests(ONE, first.iloc[1:], second)
    assert test.left_out == 2
    assert test.change.units == UNITS - 2
    with pytest.raises(FairNCError, match="scored twice"):
        paired_tests(ONE, pd.concat([first, first]), second)
    with pytest.raises(FairNCError, match="no item was scored by both"):
        paired_tests(ONE, first.iloc[:5], second.iloc[5:])


def test_too_few_units_give_no_interval_and_decide_nothing():
    (test,) = judged(paired_tests(ONE, *pair(5.0, seed=0, units=4)), {"log_ratio": 0.1})
    assert math.isnan(test.change.ci_low)
    assert test.decision is Decision.UNDECIDED
    assert test.needed is None


def test_margins_that_say_nothing_are_refused():
    known = [("a/log_ratio", METRICS["log_ratio"]), ("a/odd", Metric("odd"))]
    for margins, message in (
        ({"log_ratio": -1.0}, "give a number from 0 on"),
        ({"log_ratio": math.nan}, "give a number from 0 on"),
        ({"odd": 0.1}, "choose log_ratio, a/log_ratio"),
        ({"lgo_ratio": 0.1}, "choose log_ratio"),
    ):
        with pytest.raises(FairNCError, match=message):
            check_margins(margins, known)
    assert parse_margins(["a/b=0.1", "c=2"]) == {"a/b": 0.1, "c": 2.0}
    for text in ("slope", "=1", "slope=much"):
        with pytest.raises(FairNCError, match="write METRIC=VALUE"):
            parse_margins([text])


@pytest.mark.parametrize("fewest", [{}, {"b": 3.0, "c": 8.0}])
def test_shares_of_a_budget_are_those_of_pouring_it_out_drop_by_drop(fewest):
    costs = {"a": 1.0, "b": 7.0, "c": 50.0, "d": 0.0, "e": 9.0}
    for budget in (0.0, 2.0, 20.0, 40.0, 100.0):
        poured = {name: fewest.get(name, 0.0) for name in costs}
        left, drop = budget - sum(poured.values()), 0.002
        while left > 0:
            # the fewest items of a part count as its first drops
            hungry = [name for name in costs if poured[name] < costs[name]]
            if not hungry:
                break
            lowest = min(poured[name] for name in hungry)
            for name in hungry:
                if poured[name] < lowest + drop:
                    poured[name], left = poured[name] + drop, left - drop
        shares = panel.shares(costs, budget, fewest)
        assert shares["d"] == 1.0
        for name in "abce":
            assert shares[name] * costs[name] == pytest.approx(poured[name], abs=0.02)


class Clock:
    """Time that passes as items are scored, ``slower`` times as long after they have been timed."""

    def __init__(self, monkeypatch, seconds, *, slower=1.0):
        self.now, self.slower = 0.0, slower
        monkeypatch.setattr(panel, "time", self)
        monkeypatch.setattr(panel, "_seconds", lambda _, part, items: self.pilot(part, items))
        self.seconds = seconds

    def perf_counter(self):
        return self.now

    def pilot(self, part, items):
        taken = self.seconds[part.benchmark.name] * len(items)
        self.now += taken
        return taken

    def measure(self, part, number):
        self.now += self.seconds[part.benchmark.name] * number * self.slower


PRICED = {"occupation_slope": 0.01, "definitional": 0.05, "bec_pro": 0.3, "collapse": 0.1}


@pytest.mark.parametrize("slower", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("minutes", [1.0, 10.0])
def test_a_budget_holds_though_the_machine_gets_slower_or_faster(monkeypatch, minutes, slower):
    clock = Clock(monkeypatch, PRICED, slower=slower)
    requested, _ = panel.parts(["masked"], list(PRICED))
    budget = panel.Budget([None], requested, minutes=minutes)
    assert clock.now < 0.2 * 60 * minutes
    for part in requested:
        number = budget.number(part)
        assert part.fewest <= number <= len(part.items)
        clock.measure(part, number)
    everything = sum(PRICED[part.benchmark.name] * len(part.items) for part in requested)
    assert clock.now <= 60 * minutes * 1.3
    assert clock.now >= min(60 * minutes * 0.7 * min(slower, 1), everything * slower)


def test_what_a_budget_cannot_pay_is_left_out_and_says_what_it_would_take(monkeypatch):
    clock = Clock(monkeypatch, PRICED | {"collapse": 2.0})
    requested, _ = panel.parts(["masked"], list(PRICED))
    budget = panel.Budget([None], requested, minutes=2.0)
    for part in requested[:-1]:
        clock.measure(part, budget.number(part))
    with pytest.raises(
        FairNCError, match=r"150 items would take about 5 minutes, and .* of a budget of 2 "
    ):
        budget.number(requested[-1])
    assert panel.Budget([None], requested, minutes=None).number(requested[0]) is None


def test_the_fewest_items_of_every_part_give_an_interval():
    for kind in ("masked", "causal"):
        for part in panel.parts([kind])[0]:
            drawn = panel.sample_units(part.items, part.fewest)
            assert len(drawn) >= min(12, part.fewest)
            if "unit" in drawn.column_names:
                assert len(set(drawn["unit"])) >= 2 * stats.MIN_UNITS, part.name


def test_where_timing_a_few_items_takes_long_something_is_measured(monkeypatch):
    clock = Clock(monkeypatch, {"definitional": 0.2, "occupation_slope": 12.0, "bec_pro": 1.0})
    requested, _ = panel.parts(["masked"], ["definitional", "occupation_slope:bls", "bec_pro"])
    budget = panel.Budget([None], requested, minutes=1.0)
    assert clock.now < 60
    assert budget.number(requested[0]) >= requested[0].fewest
    for part, message in zip(
        requested[1:], ("would take about 6 minutes", "went to others"), strict=True
    ):
        with pytest.raises(FairNCError, match=message):
            budget.number(part)


# ---------------------------------------------------------------- on models


@pytest.fixture(autouse=True, scope="module")
def scored_once():
    """What a model scores does not depend on how often it is asked."""
    measure, kept = panel.measure, {}

    def cached(lm, part, number=None, *, seed=0):
        key = lm.fingerprint, part.name, number, seed
        if key not in kept:
            kept[key] = measure(lm, part, number, seed=seed)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panel, "measure", cached)
        yield


QUICK = {"benchmarks": ["occupation_slope:bls", "definitional"]}


@pytest.fixture(scope="module")
def louder(lm):
    return lm.with_gender_direction(1.5)


def test_a_model_with_more_bias_is_found_and_one_is_no_worse_than_itself(lm, louder):
    same = compare(lm, lm, **QUICK, margins={"slope": 0.0})
    assert same.status == 0
    assert not any(test.significant for test in same.tests)
    worse = compare(lm, louder, **QUICK, margins={"slope": 0.2, "definitional": 0.1})
    assert {test.metric: test.decision for test in worse.gated} == {
        "slope": Decision.WORSE,
        "definitional": Decision.NOT_WORSE,
    }
    assert worse.status == 1
    better = compare(louder, lm, **QUICK, margins={"slope": 0.2})
    assert better.status == 0


def test_what_is_compared_is_what_each_model_scores_by_itself(lm, louder):
    from fairnc_utils import benchmarks

    comparison = compare(lm, louder, benchmarks=["occupation_slope:bls"])
    slope = benchmarks.get("occupation_slope")
    for side, model in (("first", lm), ("second", louder)):
        alone = slope.estimates(slope.run(model, split="bls"))
        for test in comparison.tests:
            assert getattr(test, side).value == pytest.approx(alone[test.metric].value)


def test_gate_helper_and_status_agree(lm, louder, capsys, monkeypatch):
    """One function decides; the command and the helper say what it decided."""
    from fairnc_utils import compare as module

    cases = {
        Decision.NOT_WORSE: (lm, {"slope": 0.5}),
        Decision.WORSE: (louder, {"slope": 0.2}),
        Decision.UNDECIDED: (louder, {"slope": 0.9}),
    }
    for decision, (model, margins) in cases.items():
        comparison = compare(lm, model, **QUICK, margins=margins)
        assert comparison.decision is decision
        with monkeypatch.context() as patch:
            patch.setattr(module, "compare", lambda *_, told=comparison, **__: told)
            status = cli.main(["compare", "a", "b", "--margin", "slope=1", "--json"])
        assert status == STATUS[decision] == comparison.status
        assert json.loads(capsys.readouterr().out)["decision"] == decision
        if decision is Decision.NOT_WORSE:
            assert assert_not_worse(model, lm, margins=margins, **QUICK).status == 0
        else:
            with pytest.raises(AssertionError, match="occupation slope"):
                check(comparison)
        if decision is Decision.UNDECIDED:
            check(comparison, undecided="pass")
            with pytest.raises(pytest.skip.Exception, match="units would decide"):
                check(comparison, undecided="skip")


def test_a_comparison_is_json_without_nan_and_a_table_in_words(tiny, monkeypatch):
    monkeypatch.setattr(panel.Budget, "number", lambda budget, part: part.fewest)
    lm = tiny("bert")
    louder = lm.with_gender_direction(1.5)
    comparison = compare(lm, louder, benchmarks=["definitional", "collapse"])
    record = json.loads(comparison.json())
    assert [test["metric"] for test in record["tests"]] == ["definitional", "nc3", "unc3"]
    assert record["provenance"]["items"].keys() == {
        "definitional:nouns:all",
        "collapse:test:gender",
    }
    assert len(comparison.table()) == 3
    for test in comparison.tests:
        assert test.sentence in str(comparison)


def test_a_masked_and_a_causal_model_compare_on_what_both_can_take(tiny):
    masked, causal = tiny("bert"), tiny("gpt2")
    comparison = compare(masked, causal, benchmarks=["definitional", "bec_pro", "perplexity"])
    assert {test.part.benchmark.name for test in comparison.tests} == {"definitional"}
    assert comparison.left_out["bec_pro"] == "takes masked models"
    assert "other tokens" in comparison.left_out["perplexity:test:all"]
    with pytest.raises(FairNCError, match="nothing can be compared: bec_pro: takes masked"):
        compare(causal, causal, benchmarks=["bec_pro"])


def test_a_margin_on_what_could_not_be_compared_is_bad_input(tiny):
    masked, causal = tiny("bert"), tiny("gpt2")
    with pytest.raises(FairNCError, match="names no metric that is compared"):
        compare(masked, causal, benchmarks=["definitional", "bec_pro"], margins={"gap": 1.0})


def test_comparison_without_margins_has_status_0():
    assert Comparison("a", "b", ()).status == 0
