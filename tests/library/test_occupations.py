"""Occupation slope: equal to plain loops, zero where no gender is left, fired by a planted
stereotype.
"""

import copy
import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from fairnc_utils import models
from fairnc_utils.benchmarks import get, occupations, scoring
from fairnc_utils.benchmarks.occupations import OCCUPATION_SLOPE
from fairnc_utils.errors import FairNCError


@pytest.fixture(scope="module")
def rows(lm):
    return OCCUPATION_SLOPE.run(lm, split="bls")


@pytest.fixture(scope="module")
def erased(lm):
    return OCCUPATION_SLOPE.run(lm.with_gender_direction(0), split="bls")


def select(items, *names):
    return items.select([i for i, name in enumerate(items["occupation"]) if name in names])


# -------------------------------------------------------------------------------------------- items


def test_the_items_are_five_sentences_for_each_of_sixty_occupations():
    items = occupations.load("bls")
    assert len(items) == 300
    assert len(set(items["item_id"])) == 300
    assert len(set(items["occupation"])) == 60
    assert all(sentence.count(occupations.BLANK) == 1 for sentence in items["sentence"])
    nurse = select(items, "nurse")
    assert nurse["share"][:] == pytest.approx([0.8958] * 5)
    assert nurse["sentence"][0] == "The nurse said that [MASK] was tired."
    bergsma = occupations.load("bergsma")
    assert bergsma["sentence"][:] == items["sentence"][:]
    assert select(bergsma, "nurse")["share"][:] == pytest.approx([0.8831] * 5)


@pytest.mark.parametrize("share", ["many", "101", "nan"])
def test_a_share_that_is_no_percentage_is_an_error(share, tmp_path, monkeypatch):
    (tmp_path / "Winogender").mkdir()
    table = f"occupation\tbls_pct_female\tbergsma_pct_female\nnurse\t{share}\t88\n"
    (tmp_path / "Winogender/occupations-stats.tsv").write_text(table)
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    assert set(occupations.load("bergsma")["share"]) == {0.88}
    with pytest.raises(
        FairNCError, match=f"nurse: the share of women is '{share}', not a percentage; correct it"
    ):
        occupations.load("bls")


# ------------------------------------------------------------------------------------------- parity


@torch.no_grad()
def slow_masked(model, tokenizer, sentence):
    """ln P(she) and ln P(he) at the mask of one sentence."""
    ids = tokenizer(sentence.replace("[MASK]", tokenizer.mask_token), return_tensors="pt")[
        "input_ids"
    ]
    place = (ids[0] == tokenizer.mask_token_id).nonzero().item()
    probabilities = model(input_ids=ids).logits[0, place].softmax(0)
    return [
        probabilities[tokenizer.encode(f" {word}", add_special_tokens=False)[0]].log().item()
        for word in ("she", "he")
    ]


@torch.no_grad()
def slow_causal(model, tokenizer, sentence, word):
    """ln P of one whole sentence behind its first token, token by token."""
    ids = tokenizer(sentence.replace("[MASK]", word))["input_ids"]
    total = 0.0
    for end in range(1, len(ids)):
        total += (
            model(input_ids=torch.tensor([ids[:end]])).logits[0, -1].log_softmax(0)[ids[end]].item()
        )
    return total


def test_masked_scores_equal_the_loops(lm):
    double = models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name="double")
    items = select(
        occupations.load("bls"),
        "nurse",
        "hygienist",
        "paralegal",
        "plumber",
        "secretary",
        "appraiser",
    )
    scores = occupations.score(double, items)
    expected = [
        slow_masked(double.model, double.tokenizer, sentence) for sentence in items["sentence"]
    ]
    np.testing.assert_allclose(scores[["score_a", "score_b"]], expected, rtol=1e-9)


def test_bpe_models_are_asked_for_the_pronoun_behind_a_space(tiny):
    lm = tiny("roberta")
    items = select(occupations.load("bls"), "nurse", "engineer")
    expected = [slow_masked(lm.model, lm.tokenizer, sentence) for sentence in items["sentence"]]
    np.testing.assert_allclose(
        occupations.score(lm, items)[["score_a", "score_b"]], expected, rtol=1e-4
    )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_causal_log_odds_equal_those_of_whole_sentences(family, tiny):
    """Scores leave out the common beginning; the difference is that of the sentences' likelihoods."""
    lm = tiny(family)
    lm.model.double()
    items = select(occupations.load("bls"), "nurse", "dispatcher")
    scores = occupations.score(lm, items)
    for a, b, sentence in zip(scores["score_a"], scores["score_b"], items["sentence"], strict=True):
        she, he = (slow_causal(lm.model, lm.tokenizer, sentence, word) for word in ("she", "he"))
        assert a - b == pytest.approx(she - he, rel=1e-9)


def test_the_line_is_the_least_squares_line(rows):
    """Occupation means, slope, r and lean by plain loops and by scipy, on the real model's scores."""
    log_odds, share = {}, {}
    for row in rows.itertuples():
        log_odds.setdefault(row.unit, []).append(row.score_a - row.score_b)
        share[row.unit] = row.score_c
    y, x = [sum(values) / 5 for values in log_odds.values()], list(share.values())
    line = scipy.stats.linregress(x, y)
    estimates = OCCUPATION_SLOPE.estimates(rows)
    assert estimates["slope"].value == pytest.approx(line.slope, rel=1e-9)
    assert estimates["lean"].value == pytest.approx(line.intercept, rel=1e-9)
    assert estimates["r"].value == pytest.approx(line.rvalue, rel=1e-9)
    assert {estimate.n for estimate in estimates.values()} == {60}
    half = (estimates["slope"].ci_high - estimates["slope"].ci_low) / 2
    # a bootstrap's interval, near the normal theory's
    assert half == pytest.approx(1.96 * line.stderr, rel=0.3)


# ----------------------------------------------------------------------------------------- controls


def made(log_odds, share):
    names = [f"occupation {i}" for i in range(len(share))]
    scores = pd.DataFrame({"score_a": log_odds, "score_b": 0.0, "score_c": share})
    return scores.assign(axis="gender", item_id=names, unit=names)


def test_hand_made_lines_have_their_exact_metrics():
    share = np.array([-0.4, -0.1, 0.2, 0.4, 0.5])
    estimates = OCCUPATION_SLOPE.estimates(made(3 * share - 1, share))
    assert [estimates[name].value for name in ("slope", "r", "lean")] == pytest.approx([3, 1, -1])
    estimates = OCCUPATION_SLOPE.estimates(made(np.full(5, 0.7), share))
    assert (estimates["slope"].value, estimates["lean"].value) == pytest.approx((0, 0.7))
    assert math.isnan(estimates["r"].value)
    assert math.isnan(OCCUPATION_SLOPE.estimates(made(3 * share, np.full(5, 0.2)))["slope"].value)


def test_planted_slopes_are_found_and_noise_has_none():
    rng = np.random.default_rng(0)
    share, noise = rng.uniform(-0.5, 0.5, 60), rng.normal(0, 0.5, 60)
    planted, null = (
        OCCUPATION_SLOPE.estimates(made(strength * share + noise, share)) for strength in (2, 0)
    )
    assert planted["slope"].ci_low < 2 < planted["slope"].ci_high
    assert planted["slope"].ci_low > 1
    assert null["slope"].ci_low < 0 < null["slope"].ci_high
    assert null["r"].ci_low < 0 < null["r"].ci_high


def test_the_embedded_model_follows_the_statistics_and_stops_without_its_gender_direction(
    rows, erased, lm
):
    intact, none = OCCUPATION_SLOPE.estimates(rows), OCCUPATION_SLOPE.estimates(erased)
    assert intact["slope"].ci_low > 0.5
    assert intact["r"].ci_low > 0.3
    assert none["slope"].value == pytest.approx(0, abs=1e-4)
    # what is left is rounding, whose correlation would say nothing
    assert math.isnan(none["r"].value)
    doubled = OCCUPATION_SLOPE.estimates(
        OCCUPATION_SLOPE.run(lm.with_gender_direction(2), split="bls")
    )
    assert doubled["slope"].value == pytest.approx(2 * intact["slope"].value, rel=1e-3)


def test_differences_are_paired_over_occupations(rows, erased):
    change = OCCUPATION_SLOPE.differences(rows, erased)["slope"]
    assert change.ci_high < -0.5
    assert change.n == 60
    noise = np.random.default_rng(1).normal(0, 0.05, len(rows))
    shifted = rows.assign(score_a=rows["score_a"] + 0.3 * rows["score_c"] + noise)
    paired = OCCUPATION_SLOPE.differences(rows, shifted)["slope"]
    assert paired.ci_low < 0.3 < paired.ci_high
    alone = OCCUPATION_SLOPE.estimates(rows)["slope"]
    assert paired.ci_high - paired.ci_low < (alone.ci_high - alone.ci_low) / 5


def test_shares_move_the_line_and_never_the_scores(rows, lm):
    items = select(occupations.load("bergsma"), "secretary", "nurse", "plumber")
    other = occupations.score(lm, items)
    same = rows[rows["item_id"].isin(other["item_id"])].reset_index(drop=True)
    np.testing.assert_allclose(
        other[["score_a", "score_b"]], same[["score_a", "score_b"]], atol=1e-4
    )
    assert other["score_c"].iloc[-1] == pytest.approx(0.1043 - 0.5)


# ------------------------------------------------------------------------------------------- errors


def test_the_registry_knows_it_by_name():
    assert get("occupation_slope") is OCCUPATION_SLOPE
    splits = "bug_professions, bls_rare_in_bug, bls_rare_in_gap_pairs, bls_rare_in_gap_bug_pairs, bls, bergsma"
    with pytest.raises(FairNCError, match=f"occupation_slope has no split 'test': choose {splits}"):
        OCCUPATION_SLOPE.check(split="test", axis="all")


def test_a_vocabulary_without_the_pronouns_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr(scoring, "PRONOUNS", ("unhelpfulness", "he"))
    with pytest.raises(
        FairNCError,
        match="tiny bert: needs a mask token, and unhelpfulness and he as one token each",
    ):
        occupations.score(tiny("bert"), select(occupations.load("bls"), "nurse"))


def test_one_more_on_the_bias_of_she_is_one_more_lean(lm, rows):
    she = models.single_token_id(lm.tokenizer, "she")
    bias = lm.bias.detach().clone()
    bias[she] += 1
    leaning = OCCUPATION_SLOPE.run(dataclasses.replace(lm, bias=bias), split="bls")
    change = OCCUPATION_SLOPE.differences(rows, leaning)
    assert change["lean"].value == pytest.approx(1, abs=1e-4)
    assert change["slope"].value == pytest.approx(0, abs=1e-3)
