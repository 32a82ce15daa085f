"""Collapse of a classifier's classes: equal to plain loops, bounded as proved, fired by a planted gender
gap.
"""

import itertools

import datasets
import numpy as np
import pytest
import torch

from fairnc_utils import class_collapse, finetuning, models
from fairnc_utils.class_collapse import Features
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks import Task, base
from fairnc_utils.training import Recipe

K, D = 4, 6


def drawn(seed=0, *, spread=1.0, gap=0.0, sizes=(12, 18)):
    """Texts of K classes: men's and women's of each, ``gap`` apart from each other along one axis."""
    generator = torch.Generator().manual_seed(seed)
    centres = 4 * torch.randn(K, D, generator=generator, dtype=torch.float64)
    features, labels, female = [], [], []
    for label, gender in itertools.product(range(K), (0, 1)):
        noise = torch.randn(sizes[gender], D, generator=generator, dtype=torch.float64)
        shift = torch.zeros(D, dtype=torch.float64)
        shift[0] = gap * gender
        features.append(centres[label] + shift + spread * noise)
        labels += [label] * sizes[gender]
        female += [gender] * sizes[gender]
    return Features(torch.cat(features), torch.tensor(labels), torch.tensor(female)), centres


def by_hand(texts):
    """NC1, gender's part of it and η² by loops over classes and pairs."""
    h, y, g = (each.numpy() for each in (texts.features, texts.labels, texts.female))
    means = [h[y == k].mean(0) for k in range(K)]
    spreads = [((h[y == k] - means[k]) ** 2).sum(1).mean() for k in range(K)]
    parts = []
    for k in range(K):
        male, female = h[(y == k) & (g == 0)], h[(y == k) & (g == 1)]
        n = len(male) + len(female)
        distance = ((male.mean(0) - female.mean(0)) ** 2).sum()
        parts.append(len(male) * len(female) / n**2 * distance)

    def pairs(values):
        terms = [
            (values[p] + values[q]) / (2 * ((means[p] - means[q]) ** 2).sum())
            for p, q in itertools.combinations(range(K), 2)
        ]
        return sum(terms) / len(terms)

    eta2 = np.mean([part / spread for part, spread in zip(parts, spreads, strict=True)])
    return {"nc1": pairs(spreads), "gender_nc": pairs(parts), "gender_eta2": eta2}


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_metrics_equal_the_loops(gap):
    texts, centres = drawn(gap=gap)
    estimates = class_collapse.measure(texts, centres)
    assert {name: estimates[name].value for name in by_hand(texts)} == pytest.approx(by_hand(texts))
    assert estimates["gender_eta2_chance"].value == pytest.approx(1 / 29)
    assert estimates["nc1"].n == K


def test_a_planted_gap_is_seen_and_chance_is_not_far_from_its_floor():
    planted, chance = (class_collapse.measure(*drawn(gap=gap)) for gap in (3.0, 0.0))
    assert planted["gender_eta2"].value > 0.2
    assert chance["gender_eta2"].value < 3 * chance["gender_eta2_chance"].value
    assert planted["gender_nc"].value > 5 * chance["gender_nc"].value


@pytest.mark.parametrize("seed", range(20))
def test_the_proposition_holds_on_drawn_texts(seed):
    """gender_nc ≤ NC1, and the true positive rates of the nearest mean differ by no more than the bound."""
    rng = np.random.default_rng(seed)
    texts, centres = drawn(seed, spread=rng.uniform(0.01, 3), gap=rng.uniform(0, 4))
    estimates = class_collapse.measure(texts, centres)
    nc1 = estimates["nc1"].value
    assert 0 <= estimates["gender_nc"].value <= nc1
    means = torch.stack([texts.features[texts.labels == k].mean(0) for k in range(K)])
    found = torch.cdist(texts.features, means).argmin(1) == texts.labels
    for k in range(K):
        rates = [
            float(found[(texts.labels == k) & (texts.female == g)].double().mean()) for g in (0, 1)
        ]
        assert abs(rates[0] - rates[1]) <= 4 * K * (K - 1) * (30 / 12) * nc1


def test_full_collapse_leaves_nothing_of_gender():
    """As the spread goes to 0, with the gender gap a part of it, both go to 0; the share need not."""
    values = [
        class_collapse.measure(*drawn(spread=scale, gap=2 * scale)) for scale in (1, 0.1, 0.01)
    ]
    gender_nc = [each["gender_nc"].value for each in values]
    assert gender_nc[0] > 50 * gender_nc[1] > 2500 * gender_nc[2] > 0
    eta2 = [each["gender_eta2"].value for each in values]
    assert max(eta2) - min(eta2) < 0.05


def test_agreement_is_that_of_the_nearest_mean():
    train, centres = drawn(0, spread=0.01)
    test, _ = drawn(0, spread=0.01)
    half = -centres.square().sum(1) / 2
    assert class_collapse.agreement(train, test, centres, half).value == 1
    assert class_collapse.agreement(train, test, -centres, half).value < 0.5


def test_classes_of_few_texts_are_left_out_and_one_gender_alone_is_refused():
    texts, centres = drawn()
    first = (texts.labels > 0) | (torch.arange(len(texts.labels)) < 5)
    few = Features(texts.features[first], texts.labels[first], texts.female[first])
    assert class_collapse.measure(few, centres)["nc1"].n == K - 1
    male = Features(texts.features, texts.labels, torch.zeros_like(texts.female))
    with pytest.raises(FairNCError, match="none has texts of both genders"):
        class_collapse.measure(male, centres)


# ----------------------------------------------------------------------------- of a real classifier


def items(split):
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(80):
        label, female = int(rng.integers(2)), bool(rng.integers(2))
        noun, pronoun = ("dog", "saw")[label], ("he", "she")[female]
        rows.append(
            {
                "sentence": f"the {noun} that {pronoun} has",
                "text": f"the {noun} that {pronoun} has",
                "label": label,
                "profession": noun,
                "gender": ("male", "female")[female],
            }
        )
    return datasets.Dataset.from_list(rows)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_features_are_what_the_last_layer_multiplies(family, tiny):
    task = Task(
        "thing",
        "made",
        "made",
        Recipe(1e-2, 2, 16, 32),
        items,
        base.encode,
        {"accuracy": base.accuracy},
        ("animal", "tool"),
        splits=("train", "validation", "test"),
    )
    lm = tiny(family)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = finetuning.attach(lm, task).eval()
    classifier = finetuning.Classifier(lm.name, model, lm.tokenizer, task.kind, 32)
    inputs = task.inputs(lm.tokenizer, items("test"), 32)
    layer = classifier.last_layer
    expected = classifier.features(inputs) @ layer.weight.detach().double().numpy().T
    outputs = classifier.outputs(inputs)
    np.testing.assert_allclose(expected + layer.bias.detach().numpy(), outputs, atol=1e-4)
    measured = class_collapse.measured(classifier, task, items("train"), items("test"))
    assert set(measured["test"]) - set(measured["train"]) == {"nc4"}
    assert 0 <= measured["test"]["nc4"].value <= 1
    # the same texts: means are those of either
    assert measured["train"]["nc1"].value == pytest.approx(measured["test"]["nc1"].value)


def test_a_model_without_a_linear_layer_of_classes_is_named():
    lm = models.load("random", device="cpu")
    lm.model.config.num_labels = 7
    classifier = finetuning.Classifier("odd", lm.model, lm.tokenizer, "x", 32)
    with pytest.raises(FairNCError, match="its head has no linear layer of 7 classes"):
        classifier.last_layer  # noqa: B018
