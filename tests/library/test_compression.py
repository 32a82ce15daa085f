"""Compression: what each compressor makes of weights, against plain loops and torch; what must not
change, and what must be seen through it.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from fairnc_utils import batching, collapse, compression, corpora, measurement, models, words
from fairnc_utils.benchmarks.definitional import DEFINITIONAL
from fairnc_utils.benchmarks.occupations import OCCUPATION_SLOPE
from fairnc_utils.compressor import COMPRESSORS, Compressor, joined, split_method
from fairnc_utils.errors import FairNCError
from fairnc_utils.perplexity import masked_perplexity

WRITTEN = (
    "int8",
    "int16",
    "rtn4",
    "rtn3,gender",
    "fp4,embeddings",
    "split2",
    "prune@0.3",
    "prune_rows@0.3",
    "heads@0.25",
    "layers@4",
    "noise@1",
)


@pytest.fixture
def weight():
    """A matrix with a row of zeros and a row with one large weight."""
    w = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    w[2] = 0
    w[4, 7] = 9
    return w


def rounded(name, w):
    return compression._ROUNDED[name](w)


def random_lm(layers=2):
    tokenizer = models.embedded_tokenizer()
    return models.wrap(models.random_model(layers=layers), tokenizer, name="random")


def embedded():
    return models.load("models/minilm-mlm", device="cpu")


def states(lm):
    """Features of two sentences."""
    batch = lm.tokenizer(
        ["she met a doctor .", "the engineer [MASK] late today ."],
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        return lm.features(batch["input_ids"], batch["attention_mask"])


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("text", WRITTEN)
def test_a_name_is_read_as_it_is_written(text):
    assert str(Compressor.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtn5", "compressor 'rtn5': choose int8, int16"),
        ("prune", r"write prune@0.3 \(a share from 0 to 1\)"),
        ("prune@1", "write prune@0.3"),
        ("prune@.3.3", "is no number"),
        ("rtn4@3", "write rtn4"),
        ("layers@1.5", r"write layers@4 \(a number of layers\)"),
        ("layers@0", "write layers@4"),
        ("int8,embeddings", "int8 does not take embeddings"),
        ("heads@0.2,gender", "heads does not take gender"),
        ("rtn4,everything", "write one of int8, int16"),
        ("noise@-1", "write one of"),
    ],
)
def test_what_names_nothing_is_refused(text, message):
    with pytest.raises(FairNCError, match=message):
        Compressor.parse(text)


def test_a_method_of_rows_holds_both_parts():
    assert split_method("bec") == ("bec", None)
    assert split_method("bec+rtn4,embeddings") == ("bec", Compressor("rtn4", part="embeddings"))
    assert joined("bec", Compressor("noise", 0.1)) == "bec+noise@0.1"


# ---------------------------------------------------------------- rounding, against loops and torch


@pytest.mark.parametrize(("name", "bits"), [("rtn4", 4), ("rtn3", 3), ("rtn2", 2), ("int16", 16)])
def test_rounding_by_row_is_torch_s_fake_quantization(weight, name, bits):
    top = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(1).clamp_min(1e-12) / top
    zero = torch.zeros(len(weight), dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -top, top)
    torch.testing.assert_close(rounded(name, weight), expected)
    assert (rounded(name, weight)[2] == 0).all()


def test_eight_bits_are_torch_s_fake_quantization(weight):
    scale = float(weight.abs().max()) / 127
    expected = torch.fake_quantize_per_tensor_affine(weight, scale, 0, -127, 127)
    torch.testing.assert_close(rounded("int8", weight), expected)


def test_four_bit_floats_are_the_nearest_of_the_format(weight):
    grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    for row, new in zip(weight.numpy(), rounded("fp4", weight).numpy(), strict=True):
        scale = np.abs(row).max() / 6
        for value, got in zip(row, new, strict=True):
            distances = np.abs(np.abs(value) - grid * scale)
            assert abs(got) == pytest.approx(grid[distances.argmin()] * scale, rel=1e-5)
            assert got * value >= 0


def test_ternary_weights_are_those_of_the_definition(weight):
    w = weight.numpy()
    large = np.abs(w) > 0.7 * np.abs(w).mean()
    expected = np.where(large, np.sign(w) * np.abs(w)[large].mean(), 0)
    assert rounded("ternary", weight).numpy() == pytest.approx(expected, rel=1e-5)


def lloyd(values, rounds=100):
    """Three means by plain assignment, begun at the sixths."""
    ordered = np.sort(values.astype(float))
    size = len(ordered)
    centres = ordered[[size // 6, size // 2, 5 * size // 6]]
    for _ in range(rounds):
        nearest = np.abs(ordered[:, None] - centres).argmin(1)
        centres = np.array(
            [ordered[nearest == c].mean() if (nearest == c).any() else centres[c] for c in range(3)]
        )
    return centres


def test_two_bits_of_three_clusters(weight):
    values = weight.flatten().numpy()
    centres = lloyd(values)
    borders = compression.three_means(weight).numpy()
    assert borders == pytest.approx((centres[1:] + centres[:-1]) / 2, rel=1e-5)
    new = rounded("split2", weight).flatten().numpy()
    cluster = np.abs(values[:, None].astype(float) - centres).argmin(1)
    for number in range(3):
        inside = cluster == number
        low, high = values[inside].min(), values[inside].max()
        levels = np.linspace(low, high, 4)
        nearest = levels[np.abs(values[inside][:, None] - levels).argmin(1)]
        assert new[inside] == pytest.approx(nearest, abs=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75])
def test_pruning_is_torch_s(share):
    lm = random_lm()
    twin = copy.deepcopy(lm.model)
    layers = compression.linear_layers(twin)
    if share:
        prune.global_unstructured(
            [(layer, "weight") for layer in layers.values()],
            pruning_method=prune.L1Unstructured,
            amount=share,
        )
    compression.compress(lm, Compressor("prune", share))
    for name, layer in compression.linear_layers(lm.model).items():
        torch.testing.assert_close(layer.weight, layers[name].weight, rtol=0, atol=0)


def test_pruning_by_row_is_torch_s_row_by_row():
    lm = random_lm()
    before = {
        name: layer.weight.detach().clone()
        for name, layer in compression.linear_layers(lm.model).items()
    }
    compression.compress(lm, Compressor("prune_rows", 0.3))
    for name, layer in compression.linear_layers(lm.model).items():
        for row, new in zip(before[name][:5], layer.weight, strict=False):
            single = nn.Linear(len(row), 1, bias=False)
            single.weight.data[0] = row
            prune.l1_unstructured(single, "weight", amount=0.3)
            torch.testing.assert_close(new, single.weight[0], rtol=0, atol=0)


def test_noise_has_its_size_and_its_seed():
    lm, again, other = random_lm(), random_lm(), random_lm()
    before = {
        name: layer.weight.detach().clone()
        for name, layer in compression.linear_layers(lm.model).items()
    }
    for each, seed in ((lm, 0), (again, 0), (other, 1)):
        compression.compress(each, Compressor("noise", 0.5), seed=seed)
    layers = [compression.linear_layers(each.model) for each in (lm, again, other)]
    for name, weight in before.items():
        first, second, third = (each[name].weight.detach() for each in layers)
        size = (first - weight).square().mean().sqrt() / weight.square().mean().sqrt()
        assert float(size) == pytest.approx(0.5, rel=0.1)
        assert torch.equal(first, second)
        assert not torch.equal(first, third)


# ---------------------------------------------------------------- what is compressed


def test_embeddings_stay_unless_they_are_asked_for():
    kept, taken = random_lm(), random_lm()
    before = kept.weight.clone()
    compression.compress(kept, Compressor("rtn3"))
    compression.compress(taken, Compressor("rtn3", part="embeddings"))
    assert torch.equal(kept.weight, before)
    torch.testing.assert_close(taken.weight, rounded("rtn3", before))
    assert taken.model.get_input_embeddings().weight is taken.weight  # tied, and once


def test_the_rows_of_gender_words_alone():
    lm = random_lm()
    before, layers = lm.weight.clone(), copy.deepcopy(compression.linear_layers(lm.model))
    compression.compress(lm, Compressor("rtn3", part="gender"))
    ids = list(words.load("gender", lm.tokenizer).token_ids)
    torch.testing.assert_close(lm.weight[ids], rounded("rtn3", before[ids]))
    others = torch.ones(len(before), dtype=bool)
    others[ids] = False
    assert torch.equal(lm.weight[others], before[others])
    for name, layer in compression.linear_layers(lm.model).items():
        assert torch.equal(layer.weight, layers[name].weight)


def test_an_edited_classifier_is_compressed_apart():
    lm = random_lm()
    edited = lm.with_gender_direction(0.0)
    kept = compression.compress(edited, Compressor("rtn4"))
    assert torch.equal(kept.weight, edited.weight)
    both = compression.compress(edited, Compressor("rtn4", part="embeddings"))
    torch.testing.assert_close(both.weight, rounded("rtn4", edited.weight))


def test_rows_of_gpt2_are_outputs_too(tiny):
    lm = tiny("gpt2")
    name, layer = next(iter(compression.linear_layers(lm.model).items()))
    before = layer.weight.detach().clone()  # (inputs, outputs) there
    compression.compress(lm, Compressor("rtn4"))
    after = compression.linear_layers(lm.model)[name].weight
    torch.testing.assert_close(after, rounded("rtn4", before.T).T)


def test_a_score_of_eight_bits_does_not_depend_on_its_batch(lm):
    small = compression.compress(
        models.wrap(copy.deepcopy(lm.model), lm.tokenizer, name="copy"), Compressor("int8")
    )
    texts = ["she met a doctor .", "a doctor came ."]
    encoded = [small.tokenizer(text, return_tensors="pt") for text in texts]
    with torch.no_grad():
        alone = small.features(encoded[0]["input_ids"], encoded[0]["attention_mask"])[0]
        batch = small.tokenizer(texts, padding=True, return_tensors="pt")
        together = small.features(batch["input_ids"], batch["attention_mask"])[0]
    torch.testing.assert_close(alone, together[: len(alone)], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(alone, lm.features(**_ids(encoded[0]))[0], atol=1e-3)


def _ids(encoded):
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


# ---------------------------------------------------------------- heads and layers


def test_importance_of_heads_is_that_of_single_texts():
    """Against gates on one text at a time, and for one head against a finite difference."""
    lm = random_lm()
    importance = compression.head_importance(lm, texts=3)
    assert importance.shape == (2, 2)
    sequences = batching.tokenize(
        corpora.load("gap", "validation")["text"][:3], lm.tokenizer, max_length=lm.max_length
    )
    expected, generator = torch.zeros(2, 2), torch.Generator().manual_seed(0)
    # masks are drawn for the batch: the single texts see the same ones
    (batch,) = batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id, tokens=2048)
    special = torch.tensor(lm.special_ids)
    ids, positions, labels = batching.mask_tokens(
        batch.input_ids,
        ~torch.isin(batch.input_ids, special),
        mask_id=lm.tokenizer.mask_token_id,
        vocab_size=len(lm.weight),
        generator=generator,
    )
    dense = torch.full_like(ids, -100).scatter_(1, positions, labels)
    joined_layers = compression._heads_joined(lm)

    def loss(row, place, head, gate):
        def gated(layer, inputs):
            x = inputs[0].unflatten(-1, (2, -1)).clone()
            x[..., head, :] *= gate
            return (x.flatten(-2),)

        hook = joined_layers[place].register_forward_pre_hook(gated)
        with torch.no_grad():
            out = lm.model(
                input_ids=ids[row : row + 1],
                attention_mask=batch.attention_mask[row : row + 1],
                labels=dense[row : row + 1],
            )
        hook.remove()
        return float(out.loss) * int((dense[row] >= 0).sum())

    for place in range(2):
        for head in range(2):
            for row in range(3):
                change = loss(row, place, head, 1.5) - loss(row, place, head, 0.5)
                expected[place, head] += abs(change)
    torch.testing.assert_close(importance, expected, rtol=0.05, atol=1e-3)


def test_the_least_important_heads_go_silent():
    lm = random_lm()
    importance = compression.head_importance(lm)
    silent = int(importance.flatten().argmin())
    whole = copy.deepcopy(lm)

    def mute(layer, inputs):
        x = inputs[0].unflatten(-1, (2, -1)).clone()
        x[..., silent % 2, :] = 0
        return (x.flatten(-2),)

    compression._heads_joined(whole)[silent // 2].register_forward_pre_hook(mute)
    compression.compress(lm, Compressor("heads", 0.25))
    torch.testing.assert_close(states(lm), states(whole))


def test_a_family_whose_heads_are_not_known_is_named(tiny):
    with pytest.raises(FairNCError, match="heads of family mpnet are not known"):
        compression.compress(tiny("mpnet"), Compressor("heads", 0.5))


def test_fewer_layers_are_the_early_state_under_the_head():
    lm = random_lm(layers=3)
    batch = lm.tokenizer(["she met a doctor ."], return_tensors="pt")
    with torch.no_grad():
        expected = lm.features(batch["input_ids"], batch["attention_mask"], layer=2)
    cut = compression.compress(lm, Compressor("layers", 2))
    assert cut.layers == 2
    with torch.no_grad():
        torch.testing.assert_close(cut.features(**_ids(batch)), expected)
    with pytest.raises(FairNCError, match="has 2 hidden layers: 3 cannot be kept"):
        compression.compress(cut, Compressor("layers", 3))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_causal_models_lose_layers_too(tiny, family):
    lm = compression.compress(tiny(family), Compressor("layers", 1))
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        assert torch.isfinite(lm.model(input_ids=ids).logits).all()
    assert lm.layers == 1


# ---------------------------------------------------------------- controls on the embedded model


def slope_of(lm):
    return OCCUPATION_SLOPE.estimates(OCCUPATION_SLOPE.run(lm, split="bls"))["slope"].value


def test_no_noise_changes_nothing(lm):
    copied = models.wrap(copy.deepcopy(lm.model), lm.tokenizer, name="copy")
    same = compression.compress(copied, Compressor("noise", 0.0))
    assert torch.equal(states(same), states(lm))


@pytest.mark.slow
def test_sixteen_bits_change_nothing_that_matters(lm):
    """Up to a ten-thousandth of each number's size."""
    fine = compression.compress(embedded(), Compressor("int16"))
    for benchmark, split in ((OCCUPATION_SLOPE, "bls"), (DEFINITIONAL, "nouns")):
        before, after = (benchmark.estimates(benchmark.run(x, split=split)) for x in (lm, fine))
        for name, estimate in before.items():
            assert after[name].value == pytest.approx(estimate.value, rel=1e-4, abs=1e-4)
    sequences = batching.tokenize(corpora.load("gap", "test")["text"][:20], lm.tokenizer)
    perplexities = [masked_perplexity(each, sequences) for each in (lm, fine)]
    assert perplexities[1] == pytest.approx(perplexities[0], rel=1e-4)


#: Compressors whose perplexity stays below three times the base's.
MILD = (
    "int8",
    "rtn4",
    "fp4",
    "rtn4,embeddings",
    "prune@0.3",
    "prune@0.5",
    "prune_rows@0.3",
    "heads@0.25",
    "layers@5",
    "noise@0.1",
)


@pytest.mark.slow
@pytest.mark.parametrize("text", MILD)
def test_the_gender_direction_is_seen_through(text, monkeypatch):
    few = {"texts": 8, "seed": 0}
    monkeypatch.setattr(compression.head_importance, "__kwdefaults__", few)
    slopes = [
        slope_of(
            compression.compress(embedded().with_gender_direction(scale), Compressor.parse(text))
        )
        for scale in (0.0, 1.0, 2.0)
    ]
    assert abs(slopes[0]) < 0.5 * abs(slopes[1])
    assert abs(slopes[2]) > 1.5 * abs(slopes[1])


@pytest.mark.slow
def test_coarse_rows_of_gender_words_move_their_nc3_and_nothing_else(lm):
    coarse = compression.compress(embedded(), Compressor.parse("rtn3,gender"))
    texts = corpora.load("gap", "test")["text"][:200]
    sequences = batching.tokenize(texts, lm.tokenizer, max_length=lm.max_length)
    statistics = measurement.statistics_of(lm, sequences)
    gender = words.load("gender", lm.tokenizer).token_ids
    counts = statistics.counts.numpy()
    matched = words.control("matched", lm.tokenizer, counts, min_count=5, seed=0).token_ids
    nc3 = {
        name: [
            float(
                collapse.measure(
                    measurement.statistics_of(x, sequences),
                    x.weight,
                    classes=ids,
                    min_count=5,
                    groups=1,
                ).nc3
            )
            for x in (lm, coarse)
        ]
        for name, ids in (("gender", gender), ("matched", matched))
    }
    assert nc3["gender"][1] < nc3["gender"][0] - 0.005
    assert abs(nc3["matched"][1] - nc3["matched"][0]) < 0.005
    before, after = (masked_perplexity(each, sequences) for each in (lm, coarse))
    assert after / before < 1.02


def test_every_compressor_is_tried():
    tried = {Compressor.parse(text).name for text in (*WRITTEN, *MILD, "rtn3", "rtn2", "ternary")}
    assert tried == set(COMPRESSORS)
