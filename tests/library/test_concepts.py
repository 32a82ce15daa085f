"""Concept vectors: equal to plain loops and to scikit-learn; at collapse means and embeddings give one bias,
never further apart than the bound; planted words are where they were put, and controls are silent.
"""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import collapse, concepts, models, runs
from fairnc_utils.benchmarks import concept_bias, get
from fairnc_utils.collapse import ClassStatistics
from fairnc_utils.concepts import States
from fairnc_utils.errors import FairNCError

BENCHMARK = get("concept_bias")


def states_of(means, *, seed=0):
    """Eight words whose class means are given, in sentences of their own."""
    generator = torch.Generator().manual_seed(seed)
    statistics = ClassStatistics(len(means), means.shape[1])
    for place, mean in enumerate(means):
        noise = torch.randn(20, len(mean), generator=generator, dtype=torch.float64)
        statistics.update(mean + noise - noise.mean(0), torch.full((20,), place))
    owners = np.arange(20 * len(means))
    holds = torch.tensor(owners // 20)[:, None] == torch.arange(len(means))
    sentences = means[owners // 20] + 0.1 * torch.randn(
        len(owners), means.shape[1], generator=generator, dtype=torch.float64
    )
    return States(tuple(range(len(means))), statistics, sentences, holds, owners)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TARGETS, FEMININE, MASCULINE = [0, 1, 2, 3], [4, 5], [6, 7]


def test_the_bias_is_that_of_plain_loops():
    concept = torch.nn.functional.normalize(random(8, 5), dim=1)
    measured = concepts.bias(concept, TARGETS, FEMININE, MASCULINE)
    for row, t in zip(measured.tolist(), TARGETS, strict=True):
        near = [sum(float(concept[t][d] * concept[w][d]) for d in range(5)) for w in range(8)]
        assert row == pytest.approx((near[4] + near[5]) / 2 - (near[6] + near[7]) / 2)


def test_at_collapse_means_and_embeddings_give_one_bias():
    means = random(8, 5)
    # a row is its centred mean, of any length and however shifted
    rows = 3 * (means - means.mean(0)) + random(5, seed=1)
    states = states_of(means)
    vectors = concepts.vectors(states, rows, range(8))
    assert concepts.cosines(states, rows, range(8)) == pytest.approx(np.ones(8))
    biases = [
        concepts.bias(vectors[source], TARGETS, FEMININE, MASCULINE) for source in concepts.SOURCES
    ]
    assert biases[0].numpy() == pytest.approx(biases[1].numpy())
    assert concepts.bound(*(np.ones(n) for n in (4, 2, 2))) == 0


@pytest.mark.parametrize("size", [0.0, 0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_distance_never_exceeds_the_bound_and_nc3c_is_the_book_s(size, seed):
    means = random(8, 5, seed=seed)
    rows = means - means.mean(0) + size * random(8, 5, seed=seed + 10)
    states = states_of(means)
    vectors, near = (
        concepts.vectors(states, rows, range(8)),
        concepts.cosines(states, rows, range(8)),
    )
    first, second = (
        concepts.bias(vectors[source], TARGETS, FEMININE, MASCULINE)
        for source in ("means", "embeddings")
    )
    limit = concepts.bound(*(near[places].numpy() for places in (TARGETS, FEMININE, MASCULINE)))
    assert float((first - second).abs().mean()) <= limit + 1e-9
    measured = collapse.measure(states.statistics, rows, groups=1)
    assert float(measured.nc3c) == pytest.approx(float(near.mean()))


def test_the_bound_is_tight_enough_to_fail():
    """Biases further apart than it allows are possible where cosines are said to be better than they are."""
    vectors = torch.nn.functional.normalize(random(8, 5), dim=1)
    others = torch.nn.functional.normalize(random(8, 5, seed=1), dim=1)
    apart = (
        concepts.bias(vectors, TARGETS, FEMININE, MASCULINE)
        - concepts.bias(others, TARGETS, FEMININE, MASCULINE)
    ).abs()
    near_one = np.full(4, 1 - 1e-6)
    assert float(apart.mean()) > concepts.bound(near_one, near_one[:2], near_one[:2])


def test_the_vector_of_sentences_is_scikit_learn_s():
    linear = pytest.importorskip("sklearn.linear_model")
    states = states_of(0.2 * random(8, 5))
    rows = concepts._samples(states, 2)
    x = states.sentences[rows].numpy()
    x = x - x.mean(0)
    x = x / np.sqrt((x**2).mean())
    fitted = linear.LogisticRegression(C=1, fit_intercept=False, tol=1e-10, max_iter=10_000)
    expected = fitted.fit(x, states.holds[rows, 2].numpy()).coef_[0]
    vector = concepts.activation_vector(states, 2).numpy()
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-4)


def test_sentences_that_differ_are_told_on_held_out_ones_and_others_are_not():
    alike = states_of(torch.zeros(8, 8, dtype=torch.float64))
    apart = states_of(5 * torch.eye(8, dtype=torch.float64))
    assert all(concepts.held_out_accuracy(apart, place) > 0.9 for place in range(8))
    chance = [concepts.held_out_accuracy(alike, place) for place in range(8)]
    assert 0.3 < np.mean(chance) < 0.7


# ---------------------------------------------------------------- of a model


@pytest.fixture(scope="module")
def read(lm):
    return concept_bias.by_layer(lm, BENCHMARK.items("gender"), number=5)


def test_reading_equals_plain_loops(lm, one_thread):
    texts = ["the nurse said that she was tired .", "he met the engineer .", "a nurse met a nurse"]
    words = ["nurse", "engineer", "she"]
    ids = [models.single_token_id(lm.tokenizer, word) for word in words]
    layers = concepts.read(lm, texts, ids, every_layer=True)
    (last,) = concepts.read(lm, texts, ids)
    assert len(layers) == lm.layers
    assert torch.allclose(layers[-1].sentences, last.sentences, atol=1e-5)
    sums, counts = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for number, text in enumerate(texts):
        encoded = lm.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            features = lm.features(encoded["input_ids"], encoded["attention_mask"])[0]
        tokens = encoded["input_ids"][0].tolist()
        inner = range(1, len(tokens) - 1)
        mean = sum(features[place] for place in inner) / len(inner)
        assert torch.allclose(last.sentences[number].float(), mean, atol=1e-4)
        for place in inner:
            if tokens[place] in sums:
                sums[tokens[place]] = sums[tokens[place]] + features[place]
                counts[tokens[place]] += 1
        assert last.holds[number].tolist() == [word in text.split() for word in words]
    assert last.statistics.counts.tolist() == [counts[i] for i in ids] == [3, 1, 1]
    for place, i in enumerate(ids):
        assert torch.allclose(
            last.statistics.means(torch.tensor([place]))[0].float(), sums[i] / counts[i], atol=1e-4
        )


def test_the_run_and_the_benchmark_say_the_same_at_the_last_layer(lm, read, monkeypatch):
    monkeypatch.setattr(concept_bias, "SENTENCES", 5)
    rows = BENCHMARK.run(lm, split="gender")
    pd.testing.assert_frame_equal(
        rows.drop(columns="score_c"), read[-1].drop(columns="score_c"), atol=1e-4
    )
    assert not rows["item_id"].duplicated().any()


def test_the_embedded_model_s_embeddings_follow_what_it_says_and_everyday_words_do_not(lm, read):
    metrics = BENCHMARK.estimates(read[-1])
    assert metrics["follows_embeddings"].ci_low > 0.3
    for layer in read:
        of_layer = BENCHMARK.estimates(layer)
        assert of_layer["agreement_gap"].value <= of_layer["agreement_bound"].value
        table = BENCHMARK.units(layer)
        assert of_layer["agreement"].value == pytest.approx(
            table["means"].corr(table["embeddings"], method="spearman")
        )
    (null,) = concept_bias.by_layer(lm, BENCHMARK.items("neutral"), number=5, every_layer=False)
    other = BENCHMARK.estimates(null)["follows_embeddings"]
    assert other.ci_low < 0 < other.ci_high
    table = BENCHMARK.units(read[-1])
    shuffled = table["log_odds"].sample(frac=1, random_state=0).to_numpy()
    assert abs(concept_bias.spearman(table["embeddings"], shuffled, -1)) < 0.4


def test_without_the_gender_direction_she_and_he_give_no_bias(lm):
    erased = lm.with_gender_direction(0)
    words = ["nurse", "engineer", "doctor", "she", "he"]
    ids = [models.single_token_id(lm.tokenizer, word) for word in words]
    rows = erased.weight.detach()[ids].double()
    unit = torch.nn.functional.normalize(rows - rows.mean(0), dim=1)
    assert concepts.bias(unit, [0, 1, 2], [3], [4]).abs().max() < 1e-5


def test_a_planted_bias_of_the_embeddings_is_read_off(lm):
    planted = models.wrap(copy.deepcopy(lm.model), lm.tokenizer, name="planted")
    she, he, nurse = (
        models.single_token_id(lm.tokenizer, word) for word in ("she", "he", "engineer")
    )
    rows = planted.weight.detach().clone()
    rows[nurse] += 3 * (rows[she] - rows[he])
    names = ["engineer", "nurse", "doctor", "she", "he"]
    ids = [models.single_token_id(lm.tokenizer, word) for word in names]

    def of(weight):
        part = weight[ids].double()
        unit = torch.nn.functional.normalize(part - part.mean(0), dim=1)
        return float(concepts.bias(unit, [0], [3], [4])[0])

    assert of(rows) > of(lm.weight.detach()) + 0.5


def test_causal_models_are_read_and_too_few_words_are_one_error(tiny):
    with pytest.raises(FairNCError, match=r"no \w+ word is one token"):
        concept_bias.by_layer(tiny("gpt2"), BENCHMARK.items("gender"), number=1)
    lm = models.load("random", device="cpu")
    run = runs.concepts(model="random", device="cpu", sentences=6)
    assert set(run.results["layer"]) == {str(n) for n in range(1, lm.layers + 1)}
    assert set(run.results["axis"]) == {"gender"}
    with pytest.raises(FairNCError, match="has no split 'planets'"):
        runs.concepts(model="random", device="cpu", split="planets")
    with pytest.raises(FairNCError, match="no sentence to read"):
        concepts.read(lm, [], [1])
