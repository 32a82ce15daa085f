"""Selectivity: equal to plain loops; unmoved by how loud a model is of gender, moved by a
stereotype alone.
"""

import math

import numpy as np
import pytest

from fairnc_utils.benchmarks import definitional, get, occupations

BENCHMARK = get("selectivity")


@pytest.fixture(scope="module")
def scored(lm):
    items = BENCHMARK.items("bls")
    return items, BENCHMARK.score(lm, items)


def values(rows):
    return {metric: estimate.value for metric, estimate in BENCHMARK.estimates(rows).items()}


def test_equals_the_quotient_of_its_two_parts_by_plain_loops(scored):
    items, rows = scored
    odds, shares = {}, {}
    for item, row in zip(items, rows.to_dict("records"), strict=True):
        odds.setdefault(item["item_id"].split(":")[0], []).append(row["score_a"] - row["score_b"])
        shares[item["item_id"].split(":")[0]] = item["value"]
    mean = {word: sum(logs) / len(logs) for word, logs in odds.items()}
    nouns = {
        axis: [pair.split("/") for pair in text.split()]
        for axis, text in definitional.NOUNS.items()
    }
    jobs = [
        word
        for word in mean
        if word not in {noun for pairs in nouns.values() for pair in pairs for noun in pair}
    ]
    assert len(jobs) == 60
    slope = np.polyfit([shares[job] for job in jobs], [mean[job] for job in jobs], 1)[0]
    metrics = values(rows)
    for metric, axes in (
        ("selectivity", ("swapped", "others")),
        ("selectivity_swapped", ("swapped",)),
        ("selectivity_others", ("others",)),
    ):
        differences = [mean[a] - mean[b] for axis in axes for a, b in nouns[axis]]
        assert metrics[metric] == pytest.approx(slope / np.mean(differences), rel=1e-6)


def test_loudness_leaves_it_and_a_planted_stereotype_moves_it(scored):
    items, rows = scored
    louder = rows.assign(score_a=2 * rows["score_a"], score_b=2 * rows["score_b"])
    assert values(louder)["selectivity"] == pytest.approx(values(rows)["selectivity"])
    jobs = np.array(
        [
            ":" in name and "/" not in unit
            for name, unit in zip(items["item_id"], items["unit"], strict=True)
        ]
    )
    planted = rows.assign(score_a=rows["score_a"] + np.where(jobs, 2 * rows["score_c"], 0))
    assert values(planted)["selectivity"] > values(rows)["selectivity"] + 0.1
    erased = BENCHMARK.estimates(rows.assign(score_a=rows["score_b"]))
    assert all(math.isnan(estimate.value) for estimate in erased.values())


def test_differences_of_two_models_are_paired(scored):
    _, rows = scored
    assert BENCHMARK.differences(rows, rows)["selectivity"].value == 0
    assert occupations.units(rows[~rows["unit"].str.contains("/")]).shape == (60, 2)
