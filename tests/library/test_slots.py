"""Collapse where the words are masked: equal to plain loops over the texts."""

import numpy as np
import pytest
import torch

from fairnc_utils import collapse, corpora, measurement, runs, words


def test_features_at_slots_equal_plain_loops(lm):
    word_list = words.resolve(
        "few", [("she", "female"), ("he", "male"), ("wife", "female")], lm.tokenizer
    )
    reading = measurement.read_slots(lm, [word_list], texts=12)
    sums, counts = {}, {}
    for text in corpora.load("gap", "test")["text"][:12]:
        ids = lm.tokenizer(text)["input_ids"]
        for place, token in enumerate(ids):
            if token in word_list.token_ids:
                masked = torch.tensor(
                    [[*ids[:place], lm.tokenizer.mask_token_id, *ids[place + 1 :]]]
                )
                with torch.no_grad():
                    feature = lm.features(masked, torch.ones_like(masked))[0, place].double()
                sums[token] = sums.get(token, 0) + feature
                counts[token] = counts.get(token, 0) + 1
    assert {i: int(reading.statistics.counts[i]) for i in counts} == counts
    assert int(reading.statistics.counts.sum()) == sum(counts.values())
    for token, total in sums.items():
        torch.testing.assert_close(
            reading.statistics.sums[token].double(), total, rtol=1e-4, atol=1e-3
        )


def test_frequent_words_are_drawn_by_the_seed(lm):
    word_list = words.resolve("few", [("she", "female"), ("he", "male")], lm.tokenizer)
    first, again, other = (
        measurement.read_slots(lm, [word_list], texts=30, per_class=5, seed=seed)
        for seed in (0, 0, 1)
    )
    assert [int(first.statistics.counts[i]) for i in word_list.token_ids] == [5, 5]
    assert torch.equal(first.statistics.sums, again.statistics.sums)
    assert not torch.equal(first.statistics.sums, other.statistics.sums)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_run_has_rows_by_threshold_and_at_slots():
    run = runs.train(
        model="random",
        device="cpu",
        method="base",
        evaluation_texts=40,
        min_count=5,
        min_counts=(10, 20),
        collapse=("gender",),
        at_slots=("gender",),
    )
    for benchmark in ("collapse", "collapse_at_slots"):
        rows = run.select(benchmark=benchmark, words="gender", metric="unc3")
        assert list(rows["min_count"]) == [5, 10, 20]
        assert list(rows["n"]) == sorted(rows["n"], reverse=True)
        assert np.isfinite(rows["value"]).all()
    lm, few = measurement.models.load("random", device="cpu"), words.load
    reading = measurement.read(lm, texts=40, keep=False)
    expected = collapse.measure(
        reading.statistics, lm.weight, classes=few("gender", lm.tokenizer).token_ids, min_count=20
    )
    # masked features are others
    assert rows["value"].iloc[-1] != pytest.approx(float(expected.unc3))
    rows = run.select(benchmark="collapse", words="gender", metric="unc3")
    assert rows["value"].iloc[-1] == pytest.approx(float(expected.unc3), rel=1e-6)
