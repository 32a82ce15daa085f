"""Models on several devices and in half precision: the same numbers, or nearly, by known amounts."""

import numpy as np
import pytest
import torch

from fairnc_utils import batching, collapse, measurement, models
from fairnc_utils.benchmarks import scoring
from fairnc_utils.errors import FairNCError

TEXTS = ["The nurse said that she was tired.", "An engineer met his sister in Paris."] * 8


@pytest.fixture
def saved(tiny, tmp_path):
    def save(family):
        lm = tiny(family)
        lm.model.save_pretrained(tmp_path)
        lm.tokenizer.save_pretrained(tmp_path)
        return str(tmp_path)

    return save


def state(lm):
    """Features, scores and statistics of the model."""
    sequences = batching.tokenize(TEXTS, lm.tokenizer)
    (batch,) = batching.bucketed(sequences[:2], pad_id=0)
    with torch.no_grad():
        features = lm.features(batch.input_ids, batch.attention_mask)
    queries = [(ids, 2, ids[3]) for ids in sequences[:4]]
    scores = scoring.log_probabilities(lm, queries)
    return features, scores, measurement.statistics_of(lm, sequences)


PARTS = {
    "bert": {"bert.embeddings": "cpu", "bert.encoder": "disk", "cls": "cpu"},
    "gpt2": {"transformer": "disk", "lm_head": "disk"},
}


@pytest.mark.parametrize("family", PARTS)
@pytest.mark.parametrize("placed", ["cpu", "auto", "mapping", "disk"])
def test_a_placed_model_computes_as_a_whole_one(saved, family, placed):
    folder = saved(family)
    device_map = {"mapping": {"": "cpu"}, "disk": PARTS[family]}.get(placed, placed)
    whole, parts = models.load(folder, device="cpu"), models.load(folder, device_map=device_map)
    for expected, got in zip(state(whole)[:2], state(parts)[:2], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert parts.fingerprint == whole.fingerprint
    torch.testing.assert_close(parts.weight, whole.weight)


def test_where_accelerate_is_missing_one_line_says_what_to_install(saved, monkeypatch):
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(FairNCError, match="device_map needs accelerate: pip install"):
        models.load(saved("bert"), device_map="auto")


def test_shared_weights_in_two_places_are_one_line(saved):
    apart = {"bert.embeddings": "cpu", "bert.encoder": "cpu", "cls": "disk"}
    with pytest.raises(FairNCError, match="let device_map put both in one place"):
        models.load(saved("bert"), device_map=apart)


def test_a_map_that_is_none_is_one_line(saved):
    with pytest.raises(FairNCError, match="cannot be loaded"):
        models.load(saved("bert"), device_map="everywhere")


def test_half_precision_is_added_up_in_float64_and_decoded_in_float32():
    lm = models.load("random", device="cpu", dtype=torch.bfloat16)
    assert lm.weight.dtype == torch.bfloat16
    features, scores, statistics = state(lm)
    assert features.dtype == torch.bfloat16
    assert statistics.sums.dtype == torch.float64
    # float32 has more digits than the 8 bits that every score would be rounded to
    assert (scores != torch.from_numpy(scores).bfloat16().double().numpy()).all()
    exact = lm.weight.double() @ features[0, 1].double() + lm.bias.double()
    decoded = lm.log_probabilities(features[0, 1:2])
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded[0].double(), exact.log_softmax(0), rtol=1e-5, atol=1e-5)


def test_the_error_of_bfloat16_is_that_of_its_eight_bits():
    """Random weights in both precisions: features differ by a few units in their eighth bit."""
    both = [
        models.load("random", device="cpu", dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    full, half = map(state, both)
    error = (half[0].float() - full[0]).norm() / full[0].norm()
    assert 1e-4 < error < 2**-6
    assert np.abs(half[1] - full[1]).max() < 0.02
    assert half[2].counts.equal(full[2].counts)
    nc3 = [
        float(collapse.measure(of[2], lm.weight, min_count=2).nc3)
        for of, lm in zip((full, half), both, strict=True)
    ]
    assert nc3[0] != nc3[1]
    assert nc3[1] == pytest.approx(nc3[0], abs=5e-3)


def test_nearest_classes_are_told_apart_in_half_precision():
    """Two classes that bfloat16 makes one: agreement is decided in float32."""
    statistics = collapse.ClassStatistics(2, 2)
    means = torch.tensor([[1.0, 0.0], [1.0001, 0.0]])
    statistics.update(means.repeat(10, 1), torch.arange(2).repeat(10))
    weight = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.bfloat16)
    held = [(torch.tensor([[2.0, 0.0]] * 3, dtype=torch.bfloat16), torch.ones(3).long())]
    assert collapse.nearest_class_agreement(held, statistics, weight) == 1


# What a GPU has prepared for it


@pytest.fixture
def ahead(monkeypatch):
    """A thread asks ahead, by so many items."""
    return lambda items: monkeypatch.setitem(scoring.AHEAD, "cpu", items)


@pytest.mark.parametrize("items", [1, 3, 100])
def test_queries_that_a_thread_asks_ahead_have_the_same_scores_in_the_same_order(ahead, items):
    lm = models.load("random", device="cpu")
    sequences = [
        lm.tokenizer(f"the {word} sat{' there' * (i % 3)}")["input_ids"]
        for i, word in enumerate("abcdefg")
    ]

    def ask(part):
        queries, owners = [], []
        for owner, ids in enumerate(sequences[part]):
            for place in range(1, len(ids) - 1):
                queries.append(scoring.masked(ids, place, lm.tokenizer.mask_token_id))
                owners.append(2 * owner + place % 2)
        return queries, owners

    queries, expected = ask(slice(0, 7))
    ahead(items)
    values, owners = scoring.scored_ahead(lm, 7, ask, owners=2, description="")
    assert owners.tolist() == expected
    np.testing.assert_allclose(values, scoring.log_probabilities(lm, queries), rtol=1e-5)


def test_an_error_of_the_thread_is_the_callers(ahead):
    ahead(1)
    lm = models.load("random", device="cpu")

    def ask(part):
        raise FairNCError("no such item")

    with pytest.raises(FairNCError, match="no such item"):
        scoring.scored_ahead(lm, 3, ask, owners=1, description="")


def test_no_items_have_no_scores():
    lm = models.load("random", device="cpu")
    values, owners = scoring.scored_ahead(lm, 0, lambda part: ([], []), owners=1, description="")
    assert len(values) == len(owners) == 0


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("labels", ["aligned", "shifted"])
def test_what_does_not_wait_for_a_gpu_gives_the_same_statistics_to_the_last_bit(
    tiny, family, labels
):
    lm = tiny(family)
    sequences = [ids[: 3 + i] for i, ids in enumerate(batching.tokenize(TEXTS[:6], lm.tokenizer))]
    (batch,) = batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id or 0)
    assert not batch.attention_mask.all()
    waits, goes_on = (collapse.ClassStatistics(*lm.weight.shape) for _ in "ab")
    waits.update(*lm.labelled_features(batch.input_ids, batch.attention_mask, labels=labels))
    goes_on.update(*lm.every_feature(batch.input_ids, batch.attention_mask, labels=labels))
    assert not goes_on.counts.equal(waits.counts), "special tokens are in it"
    goes_on.forget(lm.special_ids)
    for name in ("counts", "sums", "square_sums"):
        assert getattr(goes_on, name).equal(getattr(waits, name)), name


def test_every_feature_needs_a_special_token(tiny, monkeypatch):
    lm = tiny("bert")
    monkeypatch.setattr(type(lm), "special_ids", ())
    with pytest.raises(FairNCError, match="no special token to label padding by"):
        lm.every_feature(torch.ones(1, 3).long(), torch.ones(1, 3).long())
