"""The counterfactual effect of gender: equal to plain loops on real items, fired by a planted bias with
its sign, silent without; and a run that changes its training texts, here and with the hub's data.
"""

import copy
import math
from collections import defaultdict

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import benchmarks, cooccurrence, finetuning, hub, models, runs, tasks
from fairnc_utils.benchmarks import bug_counterfactual
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks import biographies

BUG = benchmarks.get("bug_counterfactual")
TASK = tasks.get("bug_profession")


@pytest.fixture(scope="module")
def classifier(lm):
    """A seeded, untrained head in float64."""
    double = models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name="double")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = finetuning.attach(double, TASK).eval()
        torch.nn.init.normal_(model.classifier.weight, std=0.5)
    return finetuning.Classifier(lm.name, model, lm.tokenizer, TASK.kind, 128)


@torch.no_grad()
def probability(classifier, text, label):
    """P(label) and the likeliest label of one text, without padding."""
    text = text.replace(biographies.HIDDEN, "[MASK]")
    encoded = classifier.tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
    place = encoded["input_ids"][0].tolist().index(classifier.tokenizer.mask_token_id)
    encoded["positions"] = torch.tensor([[0, place]])
    logits = [float(x) for x in classifier.model(**encoded).logits[0]]
    total = sum(math.exp(x) for x in logits)
    return math.exp(logits[label]) / total, logits.index(max(logits))


def by_hand(items, scores, log_odds):
    """The metrics by loops: ``scores`` (P woman's, P man's, flipped) of each item."""
    by_profession = defaultdict(list)
    for item, (woman, man, flipped) in zip(items, scores, strict=True):
        by_profession[item["profession"]].append((100 * (woman - man), flipped))
    kept = {name: rows for name, rows in by_profession.items() if len(rows) > 1}
    x, y, squares, flips, number = [], [], [], 0, 0
    for name, rows in kept.items():
        values = [value for value, _ in rows]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        squares.append(mean**2 - variance / len(values))
        x.append(log_odds[name])
        y.append(mean)
        flips, number = flips + sum(flipped for _, flipped in rows), number + len(rows)
    return {
        "cf_slope": np.polyfit(x, y, 1)[0],
        "cf_rms": math.sqrt(max(0, sum(squares) / len(squares))),
        "flip_rate": 100 * flips / number,
    }


def values(estimates):
    return {name: estimate.value for name, estimate in estimates.items()}


def test_it_equals_the_loops(classifier, one_thread):
    items = finetuning.sample(BUG.load("test"), 60)
    rows = BUG.score(classifier, items)
    expected = []
    for item in items:
        pair = [item["text"], cooccurrence.swapped(item["text"])]
        woman, man = pair if item["gender"] == "female" else pair[::-1]
        first, second = (probability(classifier, text, item["label"]) for text in (woman, man))
        expected.append((first[0], second[0], float(first[1] != second[1])))
    np.testing.assert_allclose(rows[["score_a", "score_b", "score_c"]], expected, atol=1e-6)
    train = TASK.load("train").to_pandas()
    log_odds = {
        name: math.log(((part == "female").sum() + 0.5) / ((part == "male").sum() + 0.5))
        for name, part in train.groupby("profession")["gender"]
    }
    assert values(BUG.estimates(rows)) == pytest.approx(
        by_hand(items, expected, log_odds), abs=1e-5
    )


# ----------------------------------------------------------------------------------- made-up scores


@pytest.fixture(scope="module")
def log_odds():
    return bug_counterfactual.training_log_odds(TASK.load)


def rows(log_odds, slope, *, texts=20, noise=0.0, flipped=0.0, seed=0):
    """Scores of ``texts`` texts a profession whose effect is slope · ℓ points, the first half men's."""
    rng = np.random.default_rng(seed)
    table = []
    for name, odds in log_odds.items():
        for number in range(texts):
            gap = slope * odds / 100 + noise * rng.normal()
            unit = f"{name}|{'male' if number < texts // 2 else 'female'}"
            table.append((f"{name}{number}", unit, 0.5 + gap / 2, 0.5 - gap / 2, flipped))
    return pd.DataFrame(table, columns=["item_id", "unit", "score_a", "score_b", "score_c"])


def test_a_planted_slope_is_found_with_its_sign(log_odds):
    for slope in (-5.0, 0.0, 5.0):
        estimate = BUG.estimates(rows(log_odds, slope))["cf_slope"]
        assert estimate.value == pytest.approx(slope, abs=1e-9)
        assert estimate.n == len(log_odds) == len(TASK.labels)
    noisy = BUG.estimates(rows(log_odds, 5.0, noise=0.05))["cf_slope"]
    assert 0 < noisy.ci_low < 5 < noisy.ci_high


def test_noise_alone_has_no_size(log_odds):
    noise = BUG.estimates(rows(log_odds, 0.0, noise=0.1))["cf_rms"].value
    plain = 100 * 0.1 / math.sqrt(20)  # what √mean Δ² would be
    assert noise < 0.6 * plain
    assert BUG.estimates(rows(log_odds, 5.0))["cf_rms"].value == pytest.approx(
        5 * math.sqrt(np.mean(np.square(list(log_odds.values()))))
    )
    assert BUG.estimates(rows(log_odds, 0.0, flipped=1.0))["flip_rate"].value == 100


def test_a_row_keeps_the_genders_apart_and_few_texts_are_no_profession(log_odds):
    table = rows(log_odds, 2.0)
    men = table["unit"].str.endswith("|male")
    table.loc[men, "score_a"] += 0.1
    units = BUG.units(table)
    assert (units["effect_male"] - units["effect_female"]).to_numpy() == pytest.approx(10)
    assert (units[["number_male", "number_female"]] == 10).all(axis=None)
    nurse = table["unit"].str.startswith("nurse")
    one = pd.concat([table[~nurse], table[nurse].iloc[:1]])
    assert "nurse" not in BUG.units(one.reset_index(drop=True)).index
    assert not BUG.units(table[men].reset_index(drop=True)).isna().any(axis=None)


def test_differences_pair_professions(log_odds):
    change = BUG.differences(rows(log_odds, 2.0), rows(log_odds, -1.0))["cf_slope"]
    assert change.value == pytest.approx(-3)
    assert (change.ci_low, change.ci_high) == pytest.approx((-3, -3))


def test_scrubbed_texts_have_no_effect(classifier):
    items = finetuning.sample(BUG.load("scrubbed"), 40)
    scores = BUG.score(classifier, items)
    assert (scores["score_a"] - scores["score_b"]).abs().max() == pytest.approx(0, abs=1e-12)
    assert not scores["score_c"].any()


# -------------------------------------------------------------------------- positive control, live


class Reader:
    """A classifier that reads nothing but the pronoun: P by Bayes' rule from training counts."""

    kind, tokenizer, max_length = "bug_profession", None, 128

    def __init__(self, training, classes):
        counts = cooccurrence.counts(training)
        table = np.array([counts[name] for name in classes], float)
        self.shares = table / table.sum(0)

    def probabilities(self, texts):
        female = [int(any(w in text.split() for w in ("she", "her", "herself"))) for text in texts]
        return self.shares.T[female]


def test_a_reader_of_pronouns_has_the_slope_of_bayes_rule():
    """Label and gender of made-up sentences: the slope follows the dose, turns, and vanishes."""
    sizes = {"nurse": (40, 120), "coach": (150, 10), "judge": (90, 70), "writer": (60, 60)}
    rows_of = [
        {"text": f"{('he', 'she')[gender]} is {n}", "label": place, "profession": name}
        | {"gender": biographies.GENDERS[gender], "item_id": f"{name}{gender}{n}"}
        for place, (name, pair) in enumerate(sizes.items())
        for gender, size in enumerate(pair)
        for n in range(size)
    ]
    items = datasets.Dataset.from_list(rows_of)
    task = tasks.Task(
        "made",
        "made",
        "made",
        TASK.recipe,
        lambda split: items,
        lambda tokenizer, items, length: items["text"][:],
        TASK.metrics,
        tuple(sizes),
        splits=("train", "validation", "test"),
    )
    slopes = {}
    for alpha in (-1, 0, 0.9, 1, 2):
        training = cooccurrence.Cooccurrence("swap", alpha).apply(items)
        reader = Reader(training, sizes)
        scored = bug_counterfactual.score(reader, items, task=task)
        table = bug_counterfactual.units(scored, task=task)
        columns = [table[name].to_numpy() for name in (*bug_counterfactual._EFFECT, "log_odds")]
        slopes[alpha] = float(bug_counterfactual.cf_slope(*columns, axis=-1))
        effects = cooccurrence.bayes_effects(cooccurrence.counts(training))
        expected = np.polyfit(table["log_odds"], [effects[name] for name in table.index], 1)[0]
        assert slopes[alpha] == pytest.approx(expected)
    assert slopes[-1] < -1 < slopes[0] + 0.5 < slopes[0.9] < slopes[1] < slopes[2]
    assert abs(slopes[0]) < 0.3
    # labels drawn by lot within a gender: nothing goes with it any more
    rng = np.random.default_rng(0)
    drawn = items.to_pandas()
    drawn["profession"] = rng.permutation(np.tile(list(sizes), len(drawn))[: len(drawn)])
    reader = Reader(datasets.Dataset.from_pandas(drawn), sizes)
    table = bug_counterfactual.units(bug_counterfactual.score(reader, items, task=task), task=task)
    columns = [table[name].to_numpy() for name in (*bug_counterfactual._EFFECT, "log_odds")]
    assert abs(float(bug_counterfactual.cf_slope(*columns, axis=-1))) < 0.4 * slopes[1]


# -------------------------------------------------------------------------------------------- runs

SMALL = {"model": "random", "device": "cpu", "steps": 2, "batch_size": 4, "texts": 400, "items": 60}
SMALL |= {"evaluation_texts": 20}


def small(**options):
    return runs.finetune(
        **SMALL | {"task": "bug_profession", "benchmarks": ["bug_counterfactual:test"]} | options
    )


def test_a_run_says_how_its_texts_were_changed():
    run = small(
        cooccurrence={"how": "swap", "alpha": -1}, before=["occupation_slope:bug_professions"]
    )
    assert set(run.results["method"]) == {"base+swap@-1"}
    (slope,) = run.select(benchmark="cooccurrence", metric="log_odds_slope")["value"]
    assert slope == pytest.approx(-1, abs=0.1)
    (reference,) = run.select(benchmark="cooccurrence", metric="bayes_slope")["value"]
    assert reference < 0
    assert len(run.select(benchmark="occupation_slope", split="bug_professions", axis="gender"))
    plain = small()
    assert set(plain.results["method"]) == {"base"}
    assert plain.run_id != run.run_id
    assert plain.select(benchmark="cooccurrence").empty


def test_as_is_trains_on_the_very_texts():
    same = small(cooccurrence={"how": "swap", "alpha": 1})
    plain = small()
    assert same.provenance["evidence"]["text"] == plain.provenance["evidence"]["text"]
    (changed,) = same.select(benchmark="cooccurrence", metric="changed_pct")["value"]
    assert changed == 0


def test_a_run_measures_collapse_and_its_own_training_texts():
    run = small(
        collapse=True,
        kept="last",
        items=300,
        texts=1200,
        debiasing={"method": "hard_debias"},
        cooccurrence={"how": "swap", "alpha": 0},
        benchmarks=["bug_counterfactual:test", "bug_profession:test"],
    )
    train = run.select(benchmark="class_collapse", split="train").set_index("metric")["value"]
    assert 0 < train["gender_nc"] <= train["nc1"]
    assert set(run.select(benchmark="class_collapse", split="test")["metric"]) >= {"nc3", "nc4"}
    assert len(run.select(benchmark="bug_counterfactual", split="train", axis="gender")) == 3
    assert len(run.select(benchmark="bug_profession", split="train", metric="TPR-RMS"))
    assert set(run.results["method"]) == {"hard_debias+swap@0"}
    with pytest.raises(
        FairNCError, match="co-occurrence needs items with text, profession, gender"
    ):
        runs.finetune(**SMALL, task="coreference", collapse=True)


def test_a_frozen_encoder_stays(tiny):
    lm = models.load("random", device="cpu")
    options = {"steps": 3, "batch_size": 4, "texts": 40, "evaluation_texts": 20, "lr": 1e-2}
    frozen, free = (
        finetuning.fit(lm, TASK, frozen=which, **options) for which in ("encoder", "none")
    )
    key = "embeddings.word_embeddings.weight"
    before = lm.model.base_model.state_dict()[key]
    assert torch.equal(frozen.model.base_model.state_dict()[key], before)
    assert not torch.equal(free.model.base_model.state_dict()[key], before)
    for option in ("kept", "frozen"):
        with pytest.raises(FairNCError, match=f"option {option} = 'x': choose"):
            finetuning.fit(lm, TASK, **options, **{option: "x"})


def test_the_last_checkpoint_is_kept_where_it_is_asked_for(monkeypatch):
    lm = models.load("random", device="cpu")
    restored = []
    monkeypatch.setattr(finetuning._Best, "restore", lambda best: restored.append(best))
    options = {"steps": 2, "batch_size": 4, "texts": 20, "evaluation_texts": 20}
    finetuning.fit(lm, TASK, kept="last", **options)
    assert not restored
    finetuning.fit(lm, TASK, **options)
    assert len(restored) == 1


# ------------------------------------------------------------------------------- the hub's version


@pytest.fixture
def biographies_here(monkeypatch):
    """A local stand-in for the hub's data: professions that go with a pronoun."""
    rng = np.random.default_rng(0)
    gender = rng.integers(0, 2, 160)
    usual = rng.random(160) < 0.8
    profession = np.where(usual == (gender == 1), 13, 25)  # nurse, surgeon
    table = {
        "hard_text": [
            f"{('He', 'She')[g]} lives in the town and {('he', 'she')[g]} works . {n}"
            for n, g in enumerate(gender)
        ],
        "profession": profession.tolist(),
        "gender": gender.tolist(),
    }
    monkeypatch.setattr(hub, "dataset", lambda *name: datasets.Dataset.from_dict(table))
    bug_counterfactual.training_log_odds.cache_clear()
    yield
    bug_counterfactual.training_log_odds.cache_clear()


def test_the_hubs_task_and_model_take_the_same_options(biographies_here, tiny, monkeypatch):
    """roberta-base and Bias in Bios, each by a local stand-in."""
    lm = tiny("roberta")
    monkeypatch.setattr(models, "load", lambda name, **options: lm)
    made = {
        alpha: runs.finetune(
            model="roberta-base",
            device="cpu",
            task="bias_in_bios",
            steps=30,
            batch_size=16,
            lr=3e-3,
            cooccurrence={"how": "swap", "alpha": alpha},
            collapse=True,
            benchmarks=["bios_counterfactual:test", "bias_in_bios:test"],
        )
        for alpha in (-1, 1)
    }
    bayes = {
        alpha: run.select(benchmark="cooccurrence", metric="bayes_slope")["value"].item()
        for alpha, run in made.items()
    }
    assert bayes[-1] < 0 < bayes[1]
    for run in made.values():
        found = run.select(benchmark="bios_counterfactual", split="test", axis="gender")
        assert set(found["metric"]) == {"cf_slope", "cf_rms", "flip_rate"}
        assert found["value"].notna().all()
        assert len(run.select(benchmark="class_collapse", split="train"))
