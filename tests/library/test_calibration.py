"""Calibration of occupations: equal to plain loops; planted statistics are told apart; facts are what
they say, and controls are as long.
"""

import math

import numpy as np
import pytest

from fairnc_utils.benchmarks import get, occupation_calibration
from fairnc_utils.benchmarks.occupation_calibration import CONTEXTS, MIN_TEXTS

BENCHMARK = get("occupation_calibration")


@pytest.fixture(scope="module")
def scored(lm):
    items = BENCHMARK.items("bls")
    return items, BENCHMARK.score(lm, items)


def values(rows):
    return {metric: estimate.value for metric, estimate in BENCHMARK.estimates(rows).items()}


def r2(y, *columns):
    """Of a least-squares fit with a constant, by numpy."""
    x = np.column_stack([np.ones(len(y)), *columns])
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - (left @ left) / ((y - y.mean()) @ (y - y.mean()))


def test_equals_plain_loops(scored):
    items, rows = scored
    odds, shares, texts = {}, {}, {}
    for item in items:
        shares[item["occupation"]] = item["share"]
        texts[item["occupation"]] = item["text_log_odds"]
    for row in rows.to_dict("records"):
        if not row["item_id"].endswith(":text"):
            odds.setdefault(row["unit"], []).append(row["score_a"] - row["score_b"])
    jobs = sorted(odds)
    mean = {job: sum(odds[job]) / len(odds[job]) for job in jobs}
    assert all(len(five) == 5 for five in odds.values())
    logit = {
        job: math.log(p / (1 - p))
        for job, p in ((j, min(max(shares[j], 0.005), 0.995)) for j in jobs)
    }
    slope = np.polyfit([logit[job] for job in jobs], [mean[job] for job in jobs], 1)[0]
    error = sum(abs(100 / (1 + math.exp(-mean[job])) - 100 * shares[job]) for job in jobs) / 60
    metrics = values(rows)
    assert metrics["calibration_slope"] == pytest.approx(slope, rel=1e-6)
    assert metrics["calibration_error"] == pytest.approx(error, rel=1e-6)
    named = [job for job in jobs if texts[job] is not None and not math.isnan(texts[job])]
    assert len(named) == 37
    y, labour, text = (np.array([each[job] for job in named]) for each in (mean, logit, texts))
    both = r2(y, labour, text)
    assert metrics["labour_unique"] == pytest.approx(both - r2(y, text), abs=1e-9)
    assert metrics["text_unique"] == pytest.approx(both - r2(y, labour), abs=1e-9)
    only = BENCHMARK.estimates(rows[rows["axis"] == "named"])
    assert only["text_advantage"].n == len(named)
    assert only["text_advantage"].value == pytest.approx(metrics["text_advantage"], abs=1e-9)
    assert math.isnan(values(rows[rows["axis"] == "rare"])["text_advantage"])


def planted(rows, of):
    """The rows of a model whose log-odds are a function of labour logit and text log-odds."""
    table = BENCHMARK.units(rows)
    said = of(table["labour"], table["text"].fillna(table["text"].mean()))
    asked = ~rows["item_id"].str.endswith(":text")
    return rows.assign(
        score_a=rows["score_a"].where(~asked, rows["unit"].map(said) + rows["score_b"])
    )


def test_a_model_that_repeats_the_statistics_has_slope_one_and_no_error(scored):
    metrics = values(planted(scored[1], lambda labour, text: labour))
    assert metrics["calibration_slope"] == pytest.approx(1)
    assert metrics["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert values(planted(scored[1], lambda labour, text: 2 * labour))["calibration_slope"] == (
        pytest.approx(2)
    )


def test_whose_statistics_are_followed_is_told_and_silence_is_null(scored):
    noise = np.random.default_rng(0).normal(size=60)
    text = BENCHMARK.estimates(planted(scored[1], lambda labour, text: text + 0.3 * noise))
    labour = BENCHMARK.estimates(planted(scored[1], lambda labour, text: labour + 0.3 * noise))
    neither = BENCHMARK.estimates(planted(scored[1], lambda labour, text: noise + 0 * labour))
    assert text["text_advantage"].ci_low > 0
    assert labour["text_advantage"].ci_high < 0
    assert neither["text_advantage"].ci_low < 0 < neither["text_advantage"].ci_high
    assert neither["calibration_slope"].ci_low < 0 < neither["calibration_slope"].ci_high
    silent = values(planted(scored[1], lambda labour, text: 0 * labour))
    assert silent["calibration_slope"] == 0
    assert math.isnan(silent["text_advantage"])


def test_the_gender_direction_carries_it(lm, scored):
    doubled = BENCHMARK.score(lm.with_gender_direction(2), scored[0])
    erased = BENCHMARK.score(lm.with_gender_direction(0), scored[0])
    slopes = [values(rows)["calibration_slope"] for rows in (erased, scored[1], doubled)]
    assert abs(slopes[0]) < 0.1 * slopes[1] < slopes[1] < slopes[2]


def test_facts_are_of_others_or_of_the_occupation_and_controls_as_long(tokenizer):
    plain = BENCHMARK.load("bls")
    by_split = {split: BENCHMARK.load(split) for split in CONTEXTS}
    for split, context in CONTEXTS.items():
        items = by_split[split]
        assert items["item_id"][:] == plain["item_id"][:]
        for item, alone in zip(
            items.select(range(0, 300, 61)), plain.select(range(0, 300, 61)), strict=True
        ):
            before = item["sentence"].removesuffix(alone["sentence"])
            named = [fact.partition(":")[0].lower() for fact in before.split(". ") if fact]
            assert len(named) == max(context.facts, 1)
            assert (item["occupation"] in named) == (context.facts == 0)
            women = round(100 * item["share"])
            if context.facts == 0:
                told = 100 - women if context.reversed else women
                assert (
                    before
                    == f"{item['occupation'].capitalize()}: {told} of 100 are {context.word}. "
                )

    def lengths(split):
        return [len(ids) for ids in tokenizer(by_split[split]["sentence"][:])["input_ids"]]

    assert lengths("own") == lengths("own_placebo") == lengths("own_reversed")
    assert lengths("facts_32") == lengths("placebo_32") == lengths("reversed_32")
    assert max(lengths("facts_32")) < 512
    few, many = by_split["facts_4"][0]["sentence"], by_split["facts_16"][0]["sentence"]
    assert many.startswith(few.removesuffix(plain[0]["sentence"]))


def test_a_context_is_compared_occupation_by_occupation(lm, scored):
    items = BENCHMARK.items("own")
    kept = [i for i, name in enumerate(items["occupation"]) if name < "c"]
    none = BENCHMARK.score(lm, scored[0].select(kept))
    own = BENCHMARK.score(lm, items.select(kept))
    changes = BENCHMARK.differences(none, own)
    assert changes["calibration_error"].value == pytest.approx(
        values(own)["calibration_error"] - values(none)["calibration_error"]
    )


def test_causal_models_are_asked_too(tiny):
    rows = BENCHMARK.score(tiny("gpt2"), BENCHMARK.items("bls").select(range(30)))
    assert len(BENCHMARK.units(rows)) == 6
    assert np.isfinite(values(rows)["calibration_slope"])


def test_few_texts_give_no_share():
    assert math.isnan(occupation_calibration.text_log_odds("no such occupation"))
    assert MIN_TEXTS == 50
    assert occupation_calibration.text_log_odds("nurse") > 0
