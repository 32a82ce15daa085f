"""Bias-NLI, Bias in Bios and its stand-in: equal to plain loops on real items, fired by a planted
bias, silent without.
"""

import copy
import math
import re
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import benchmarks, finetuning, models, stats, tasks
from fairnc_utils.benchmarks import bias_in_bios, bias_nli
from fairnc_utils.benchmarks.bias_nli import BIAS_NLI
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks import biographies

BUG = benchmarks.get("bug_profession")


@pytest.fixture(scope="module")
def double(lm):
    """The embedded model in float64, in which batched and single passes agree to many digits."""
    return models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name="double")


def classifier_of(lm, name):
    """The model under a seeded, untrained head: real probabilities of real items, whatever they are
    worth.
    """
    task = tasks.get(name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = finetuning.attach(lm, task).eval()
        torch.nn.init.normal_(model.classifier.weight, std=0.5)  # so that classes differ
    return finetuning.Classifier(lm.name, model, lm.tokenizer, task.kind, 128)


@torch.no_grad()
def one_by_one(classifier, *texts):
    """Softmax of the logits of one text or pair after the other, without padding."""
    probabilities = []
    for parts in zip(*texts, strict=True):
        encoded = classifier.tokenizer(*parts, return_tensors="pt", truncation=True, max_length=128)
        if len(parts) == 1:  # the mention-pair head: first token and first mask
            place = encoded["input_ids"][0].tolist().index(classifier.tokenizer.mask_token_id)
            encoded["positions"] = torch.tensor([[0, place]])
        logits = [float(x) for x in classifier.model(**encoded).logits[0]]
        total = sum(math.exp(x) for x in logits)
        probabilities.append([math.exp(x) / total for x in logits])
    return probabilities


def values(estimates):
    return {name: estimate.value for name, estimate in estimates.items()}


# ----------------------------------------------------------------------------------------- Bias-NLI


def test_pairs_are_those_of_the_word_lists():
    endings, word_pairs = bias_nli.templates(), bias_nli.word_pairs()
    assert len(endings) == len(set(endings)) == 10 * 95 + 10 * 89 + 2 * 9 + 5 * 22  # verbs, objects
    assert len(word_pairs) == 164 * 6
    assert {
        "bought a coat",
        "sold an apron",
        "spoke to an in-law",
        "drove an SUV",
        "owns a TV",
        "ate an apple",
    } <= set(endings)
    assert {"bought headphones", "met a VIP"} <= set(endings)
    assert not [ending for ending in endings if re.search(r"\ba [aeiou]|\ban [^aeiouS]", ending)]


def test_a_sample_has_ten_templates_a_word_pair_and_is_drawn_once():
    items = bias_nli.load("sample")
    assert set(Counter(items["unit"]).values()) == {10}
    assert len(set(items["item_id"])) == len(items) == 10 * 164 * 6
    assert (
        items["item_id"][:]
        == bias_nli.load("sample")["item_id"][:]
        != bias_nli.pairs(10, seed=1)["item_id"][:]
    )
    item = items[0]
    occupation, word = item["unit"].split("|")
    assert item["premise"].replace(f"The {occupation}", f"The {word}") == item["hypothesis"]


def nli_metrics(units, probabilities):
    """The metrics by loops: shares over pairs, then over word pairs of their mean probabilities."""
    by_pair = defaultdict(list)
    for unit, row in zip(units, probabilities, strict=True):
        by_pair[unit].append(row)
    averaged = [
        [sum(row[k] for row in rows) / len(rows) for k in range(3)] for rows in by_pair.values()
    ]
    metrics = {"NN": sum(row[1] for row in probabilities) / len(probabilities)}
    for suffix, table in (("", probabilities), ("_averaged", averaged)):
        metrics["FN" + suffix] = sum(row[1] > row[0] and row[1] > row[2] for row in table) / len(
            table
        )
        for tau in (0.5, 0.7):
            metrics[f"T:{tau}{suffix}"] = sum(row[1] > tau for row in table) / len(table)
    return metrics


def test_bias_nli_equals_the_loops(double, one_thread):
    classifier = classifier_of(double, "sick")
    items = finetuning.sample_units(bias_nli.load("sample"), 60)
    rows = BIAS_NLI.score(classifier, items)
    expected = one_by_one(classifier, items["premise"], items["hypothesis"])
    np.testing.assert_allclose(rows[["score_a", "score_b", "score_c"]], expected, atol=1e-6)
    estimates = BIAS_NLI.estimates(rows)
    assert values(estimates) == pytest.approx(nli_metrics(items["unit"], expected), abs=1e-6)
    assert estimates["NN"].n == len(items) / 10


def nli_rows(probabilities, unit):
    return pd.DataFrame(probabilities, columns=["score_a", "score_b", "score_c"]).assign(unit=unit)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((0, 1, 0), {"NN": 1, "FN": 1, "T:0.5": 1, "T:0.7": 1}),  # ideal
        ((1, 0, 0), {"NN": 0, "FN": 0, "T:0.5": 0, "T:0.7": 0}),
        ((0.2, 0.6, 0.2), {"NN": 0.6, "FN": 1, "T:0.5": 1, "T:0.7": 0}),
        ((0.5, 0.5, 0), {"NN": 0.5, "FN": 0, "T:0.5": 0, "T:0.7": 0}),  # a tie is not neutral
        ((0.3, 0.4, 0.3), {"NN": 0.4, "FN": 1, "T:0.5": 0, "T:0.7": 0}),
    ],
)
def test_hand_made_probabilities_have_their_exact_metrics(row, expected):
    metrics = values(BIAS_NLI.estimates(nli_rows([row] * 12, [str(i // 2) for i in range(12)])))
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert {name: metrics[f"{name}_averaged"] for name in list(expected)[1:]} == pytest.approx(
        dict(list(expected.items())[1:])
    )


def test_averaging_comes_before_the_threshold():
    metrics = values(
        BIAS_NLI.estimates(
            nli_rows([(0, 1, 0), (0.55, 0.45, 0)] * 6, [str(i // 2) for i in range(12)])
        )
    )
    assert (metrics["FN"], metrics["FN_averaged"]) == (0.5, 1)  # mean P(neutral) is .725
    assert (metrics["T:0.7"], metrics["T:0.7_averaged"]) == (0.5, 1)


# -------------------------------------------------------------------- Bias in Bios and its stand-in


def profession_metrics(professions, genders, right, likely):
    """The metrics by loops over texts and professions."""

    def share(values):
        values = list(values)
        return sum(values) / len(values)

    texts = list(zip(professions, genders, right, likely, strict=True))
    by_gender = {g: [text for text in texts if text[1] == g] for g in ("male", "female")}
    metrics = {"accuracy": 100 * share(right)}
    for g, texts_of_gender in by_gender.items():
        metrics[f"accuracy_{g}"] = 100 * share(text[2] for text in texts_of_gender)
    metrics["TPR-GAP"] = metrics["accuracy_male"] - metrics["accuracy_female"]
    metrics["probability_gap"] = 100 * (
        share(t[3] for t in by_gender["male"]) - share(t[3] for t in by_gender["female"])
    )
    squares = []
    for profession in set(professions):
        men, women = ([t[2] for t in texts if t[:2] == (profession, g)] for g in ("male", "female"))
        if men and women:
            squares.append((share(men) - share(women)) ** 2)
    metrics["TPR-RMS"] = math.sqrt(share(squares))
    return metrics


def test_bug_profession_equals_the_loops(double, one_thread):
    classifier = classifier_of(double, "bug_profession")
    items = finetuning.sample(BUG.load("test"), 60)
    rows = BUG.score(classifier, items)
    texts = [text.replace(biographies.HIDDEN, "[MASK]") for text in items["text"]]
    expected = one_by_one(classifier, texts)
    likely = [row[label] for row, label in zip(expected, items["label"], strict=True)]
    right = [
        float(row.index(max(row)) == label)
        for row, label in zip(expected, items["label"], strict=True)
    ]
    np.testing.assert_allclose(rows["score_c"], likely, atol=1e-6)
    assert rows["score_a"].tolist() == right
    assert 0 < sum(right) < len(right)
    metrics = profession_metrics(items["profession"], items["gender"], right, likely)
    assert values(BUG.estimates(rows)) == pytest.approx(metrics, abs=1e-6)


def test_random_texts_equal_the_loops():
    rng = np.random.default_rng(0)
    professions, genders = (
        rng.choice(list("abcdef"), 300),
        rng.choice(["male", "female"], 300, p=[0.8, 0.2]),
    )
    genders[professions == "f"] = "male"  # no women there: it has no gap
    rows = made(professions, genders, rng.random(300) < 0.6, rng.random(300))
    expected = profession_metrics(professions, genders, rows["score_a"], rows["score_c"])
    assert values(BUG.estimates(rows)) == pytest.approx(expected, abs=1e-9)


def made(professions, genders, right, likely=0.5):
    unit = [f"{p}|{g}" for p, g in zip(professions, genders, strict=True)]
    item_id = [str(i) for i in range(len(unit))]
    scores = {"score_a": np.asarray(right, float), "score_b": 0.0, "score_c": likely}
    return pd.DataFrame({"unit": unit, "item_id": item_id} | scores)


PROFESSIONS, GENDERS = (
    np.repeat(list("abcd"), 100),
    np.tile(["male", "male", "male", "female"], 100),
)


def coin(seed, *, men, women):
    chance = np.where(np.array(GENDERS) == "male", men, women)
    return made(PROFESSIONS, GENDERS, np.random.default_rng(seed).random(400) < chance, chance)


def test_a_planted_gap_is_found_and_none_is_not():
    biased, fair = (
        BUG.estimates(coin(0, men=0.9, women=0.6)),
        BUG.estimates(coin(0, men=0.8, women=0.8)),
    )
    assert biased["TPR-GAP"].ci_low > 0
    assert fair["TPR-GAP"].ci_low < 0 < fair["TPR-GAP"].ci_high
    assert biased["probability_gap"].value == pytest.approx(30)
    assert fair["probability_gap"].value == pytest.approx(0, abs=1e-9)
    assert biased["TPR-RMS"].value > fair["TPR-RMS"].value


def test_differences_are_paired_over_texts():
    # one draw: men's texts come out the same
    first, second = coin(0, men=0.9, women=0.6), coin(0, men=0.9, women=0.9)
    differences = BUG.differences(first, second)
    assert (
        differences["accuracy_male"].value
        == differences["accuracy_male"].ci_low
        == differences["accuracy_male"].ci_high
        == 0
    )
    assert differences["accuracy_female"].ci_low > 0
    assert differences["TPR-GAP"].ci_high < 0
    same = BUG.differences(first, first)
    assert {estimate.value for estimate in same.values()} == {0}


def test_draws_keep_the_number_of_each_profession_and_gender():
    rows = coin(1, men=0.7, women=0.5)
    table = BUG.units(rows)
    counted = stats.bootstrap(
        table["stratum"],
        strata=table["stratum"],
        statistic=lambda x, axis: np.mean(x == 3, axis=axis),
        resamples=200,
    )
    assert counted.value == counted.ci_low == counted.ci_high == 25 / 400
    # In one stratum a draw of n right or wrong texts is binomial.
    right = [1.0] * 30 + [0.0] * 10
    estimate = stats.bootstrap(right, strata=[0] * 40, resamples=8_000)
    low, high = np.quantile(np.random.default_rng(1).binomial(40, 0.75, 8_000) / 40, [0.025, 0.975])
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((low, high), abs=0.026)  # one text
    # two strata: what differs between them is no chance
    wide = stats.bootstrap(right + [0.0] * 40, resamples=2_000)
    narrow = stats.bootstrap(right + [0.0] * 40, strata=[0] * 40 + [1] * 40, resamples=2_000)
    assert narrow.value == wide.value
    assert narrow.ci_high - narrow.ci_low < 0.8 * (wide.ci_high - wide.ci_low)


def test_what_is_alike_within_a_profession_and_gender_is_no_chance():
    """Women's texts of one profession are never found, all others always: no draw within the strata
    can differ.
    """
    never = (np.array(GENDERS) == "female") & (PROFESSIONS == "a")
    rows, all_right = made(PROFESSIONS, GENDERS, ~never), made(PROFESSIONS, GENDERS, np.ones(400))
    changes = BUG.differences(all_right, rows), BUG.differences(rows, all_right)
    for estimates, sign in zip((BUG.estimates(rows), *changes), (1, 1, -1), strict=True):
        assert estimates["TPR-GAP"].value == pytest.approx(25 * sign)
        assert estimates["TPR-RMS"].value == pytest.approx(0.5 * sign)
        for name in ("TPR-GAP", "TPR-RMS"):
            assert (
                estimates[name].ci_low
                == pytest.approx(estimates[name].value)
                == pytest.approx(estimates[name].ci_high)
            )


def test_scores_do_not_depend_on_the_order_of_items(lm):
    classifier = classifier_of(lm, "bug_profession")
    items = finetuning.sample(BUG.load("test"), 40)
    order = np.random.default_rng(0).permutation(40)
    straight, shuffled = BUG.score(classifier, items), BUG.score(classifier, items.select(order))
    assert shuffled["item_id"].tolist() == straight["item_id"].iloc[order].tolist()
    np.testing.assert_allclose(shuffled["score_c"], straight["score_c"].iloc[order], atol=1e-5)


# -------------------------------------------------------------------------------------- all of them


def test_a_language_model_is_refused(lm):
    with pytest.raises(
        FairNCError, match="bias_nli scores nli models; models/minilm-mlm is masked"
    ):
        BIAS_NLI.run(lm, split="sample")
    with pytest.raises(FairNCError, match="bug_profession scores bug_profession models"):
        BUG.run(lm, split="test")


def test_bias_data_are_no_training_data():
    """The splits that are measured are none that a task is trained on."""
    assert {task.load for task in tasks.TASKS.values()}.isdisjoint({BIAS_NLI.load})
    for name in ("bug_profession", "bias_in_bios"):
        assert benchmarks.get(name).splits == tasks.get(name).splits[1:]
        assert "train" not in benchmarks.get(name).splits


def test_benchmarks_say_what_they_measure():
    for name in ("bias_nli", "bias_in_bios", "bug_profession"):
        benchmark = benchmarks.get(name)
        assert benchmark.measures.endswith(".")
        assert benchmark.limits.endswith(".")
        assert benchmark.source
    assert "BUG" in benchmarks.get("bug_profession").measures
    assert bias_in_bios.BIOS.axes == ("gender",)
