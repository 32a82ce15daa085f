"""NC3 regularization: the loss equals the measured metric, each switch does what it says, and
training lowers UNC3.
"""

import copy
import os
import pickle

import pytest
import torch
from helpers.families import TINY, TRANSFORMERS_4, InOrder, without_dropout
from helpers.nc3 import (
    TEXTS,
    called,
    encode,
    gradients,
    ids_of,
    nc3_of,
    nc3_options,
    statistics,
    weights_of,
)
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from transformers import Trainer, TrainingArguments

from fairnc_utils import words
from fairnc_utils.collapse import measure
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer import (
    RELEASED_WEIGHTS,
    NC3Options,
    NC3Regularizer,
    NC3TrainerMixin,
    as_released,
    corrected,
    repaired,
)

FAMILIES = ("bert", "distilbert", "roberta", "gpt2", "llama")


# The value


@pytest.mark.parametrize("space", ["head", "encoder"])
@pytest.mark.parametrize("family", TINY)
def test_equals_what_is_measured(tiny, family, space):
    lm = tiny(family)
    if space == "encoder" and family in ("albert", "electra"):
        with pytest.raises(
            FairNCError,
            match="the last layer has 16 dimensions and the classifier 8; use space head",
        ):
            nc3_of(lm.model, lm.tokenizer, ids_of(lm), space=space)
        return
    if space == "encoder" and family == "opt":
        pytest.skip("OPT calls a part of its body: nothing shows its last layer")
    lm.model.double()
    batch, ids = encode(lm), ids_of(lm)
    expected = measure(statistics(lm, batch, space=space), lm.weight, classes=ids, min_count=1)
    targets = {
        "uniform": expected.unc3,
        "align": 1 - expected.nc3,
        "both": expected.unc3 + 1 - expected.nc3,
    }
    for kind, target in targets.items():
        nc3 = nc3_of(
            lm.model, lm.tokenizer, ids, kind=kind, space=space, memory="batch", weight=3.0
        )
        torch.testing.assert_close(called(nc3, lm, batch), 3 * target, atol=1e-7, rtol=1e-6)
        nc3.hook.remove()


def test_words_are_an_axis_a_list_or_ids(tiny):
    lm = tiny("bert")
    gender = words.load("gender", lm.tokenizer)
    resolved = [
        nc3_of(lm.model, lm.tokenizer, given).ids
        for given in ("gender", gender, gender.token_ids * 2)
    ]
    assert (
        resolved[0].tolist()
        == resolved[1].tolist()
        == resolved[2].tolist()
        == sorted(gender.token_ids)
    )


def test_words_of_ones_own(tiny):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, words=["she", "he", "nurse", "she"])
    assert nc3.ids.tolist() == sorted(ids_of(lm, ["she", "he", "nurse"]))
    with pytest.raises(
        FairNCError, match="NC3 words: leave out unhelpfulness, she was: not single tokens"
    ):
        nc3_of(lm.model, lm.tokenizer, words=("she", "unhelpfulness", "he", "she was"))


def test_what_is_measured_can_be_read(tiny):
    lm = tiny("bert")
    batch, ids = encode(lm), ids_of(lm)
    expected = measure(statistics(lm, batch), lm.weight, classes=ids, min_count=1)
    nc3 = nc3_of(lm.model, lm.tokenizer, ids, kind="both", memory="batch", weight=3.0)
    penalty = called(nc3, lm, batch)
    r, nc3_value, unc3, classes = (
        getattr(nc3.measured, name) for name in ("r", "nc3", "unc3", "classes")
    )
    assert not any(value.requires_grad for value in (r, nc3_value, unc3, classes))
    torch.testing.assert_close(3 * r, penalty.detach())
    torch.testing.assert_close(nc3_value.double(), expected.nc3, rtol=1e-4, atol=0)
    torch.testing.assert_close(unc3.double(), expected.unc3, rtol=1e-4, atol=0)
    assert classes.item() == len(ids)


def test_unseen_classes_do_not_count(tiny):
    lm = tiny("bert")
    batch, ids = encode(lm), ids_of(lm)
    plain, wider = (
        nc3_of(lm.model, lm.tokenizer, of_classes, kind="both")
        for of_classes in (ids, [*ids, *range(3000, 3020)])
    )
    lm.model(**batch)
    torch.testing.assert_close(wider(batch), plain(batch))


@pytest.mark.parametrize("memory", ["ema", "cumulative", "batch"])
@pytest.mark.parametrize("kind", ["uniform", "align", "both"])
@pytest.mark.parametrize("text", ["walk home .", "she walk home ."])
def test_zero_with_fewer_than_two_seen_classes(tiny, text, kind, memory):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), kind=kind, memory=memory)
    value = called(nc3, lm, encode(lm, [text]))
    assert value.item() == 0
    value.backward()
    assert not gradients(lm.model)  # and none is NaN, which would count as any


def test_padding_is_no_word(tiny):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    batch = encode(lm)
    batch["input_ids"][batch["attention_mask"] == 0] = ids_of(lm, ["she"])[0]
    called(nc3, lm, batch)
    assert nc3.counts[nc3.ids == ids_of(lm, ["she"])[0]].item() == 2


def test_padding_on_the_left_predicts_no_word(tiny):
    lm = tiny("llama")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    she, was = ids_of(lm, ["she", "was"])
    batch = {
        "input_ids": torch.tensor([[1, 1, she, was]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1]]),
    }
    called(nc3, lm, batch)
    assert nc3.ids[nc3.counts > 0].tolist() == [was]


@pytest.mark.parametrize(
    "options",
    [{}, {"space": "encoder"}, {"memory": "batch", "kind": "both"}, {"labels": "shifted"}],
)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_gradient_is_that_of_finite_differences(tiny, family, options):
    lm = tiny(family)
    lm.model.double()
    batch, parameters = encode(lm), list(lm.model.parameters())
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), **options)
    called(nc3, lm, encode(lm, TEXTS[:2]))  # a memory that is not empty
    called(nc3.eval(), lm, batch).backward()
    generator = torch.Generator().manual_seed(0)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    values = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            torch._foreach_add_(parameters, direction, alpha=step)
            values.append(called(nc3, lm, batch))
    slope = sum(
        (p.grad * d).sum() for p, d in zip(parameters, direction, strict=True) if p.grad is not None
    )
    assert slope.abs() > 1e-4
    torch.testing.assert_close((values[0] - values[1]) / 2e-6, slope, rtol=1e-4, atol=1e-8)


# Each switch


def test_presets():
    assert corrected() == nc3_options(
        "uniform", "head", "aligned", False, "attached", "ema", 0.99, False
    )
    for method, (masked, per_epoch) in {
        "bec": (True, False),
        "ase": (True, False),
        "mabel": (False, False),
        "mabel_nli": (False, False),
        "adept": (False, True),
    }.items():
        expected = nc3_options(
            "uniform",
            "encoder",
            "shifted",
            masked,
            "detached",
            "cumulative",
            reset_each_epoch=per_epoch,
        )
        assert as_released(method) == expected
    assert RELEASED_WEIGHTS == {"bec": 100, "ase": 100, "mabel": 10, "mabel_nli": 10, "adept": 5}


@pytest.mark.parametrize("tied", [True, False])
def test_detached_moves_only_the_rows_of_its_words(tiny, tied):
    lm = tiny("bert", tie_word_embeddings=tied)
    options = {"kind": "both", "space": "encoder", "memory": "batch"}
    for features in ("detached", "attached"):
        nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), features=features, **options)
        lm.model.zero_grad()
        called(nc3, lm, encode(lm)).backward()
        nc3.hook.remove()
        moved = gradients(lm.model)
        name = (
            "bert.embeddings.word_embeddings.weight" if tied else "cls.predictions.decoder.weight"
        )
        if features == "detached":
            assert list(moved) == [name]
        else:
            assert "bert.encoder.layer.0.attention.self.query.weight" in moved
        if features == "detached" or not tied:
            assert moved[name].any(1).nonzero().flatten().tolist() == sorted(ids_of(lm))


@pytest.mark.parametrize("space", ["head", "encoder"])
@pytest.mark.parametrize("labels", ["aligned", "shifted"])
@pytest.mark.parametrize("family", ["roberta", "gpt2"])
def test_labels_and_space_are_those_of_the_measurement(tiny, family, labels, space):
    lm = tiny(family)
    batch = encode(lm)
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), labels=labels, space=space)
    called(nc3, lm, batch)
    expected = statistics(lm, batch, labels=labels, space=space)
    assert nc3.counts.tolist() == expected.counts[nc3.ids].tolist()
    torch.testing.assert_close(nc3.sums, expected.sums[nc3.ids].float(), atol=1e-5, rtol=1e-5)


def test_masked_labels_lose_the_words_behind_masks(tiny):
    lm = tiny("bert")
    batch = encode(lm, hide=["she"])
    she = ids_of(lm, ["she"])[0]
    seen = {}
    for masked in (False, True):
        nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), masked_labels=masked)
        called(nc3, lm, batch)
        seen[masked] = dict(zip(nc3.ids.tolist(), nc3.counts.tolist(), strict=True))
        if not masked:
            hidden = lm.model.cls.predictions.transform(
                lm.model.bert(batch["input_ids"], batch["attention_mask"])[0]
            )
            expected = hidden[batch["labels"] == she].sum(0)
            torch.testing.assert_close(nc3.sums[nc3.ids == she][0], expected, atol=1e-4, rtol=1e-4)
    assert (seen[False][she], seen[True][she]) == (2, 0)
    assert seen[True] == seen[False] | {she: 0}


def test_cumulative_memory_keeps_everything(tiny):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory="cumulative")
    for text in TEXTS * 2:
        value = called(nc3, lm, encode(lm, [text]))
    whole = statistics(lm, encode(lm, TEXTS * 2))
    assert nc3.counts.tolist() == whole.counts[nc3.ids].tolist()
    torch.testing.assert_close(
        value.double(),
        measure(whole, lm.weight, classes=nc3.ids, min_count=1).unc3,
        rtol=1e-4,
        atol=0,
    )
    nc3.reset()
    assert not nc3.counts.any()
    assert not nc3.sums.any()


def test_ema_forgets_with_its_decay(tiny):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), decay=0.5)
    counts = sums = 0
    for text in TEXTS:
        called(nc3, lm, encode(lm, [text]))
        one = statistics(lm, encode(lm, [text]))
        counts, sums = counts / 2 + one.counts[nc3.ids], sums / 2 + one.sums[nc3.ids]
    torch.testing.assert_close(nc3.counts, counts.float())
    torch.testing.assert_close(nc3.sums, sums.float(), atol=1e-5, rtol=1e-5)
    # no word of the list any more: the means stay, until too little is left of them
    for _ in range(200):
        value = nc3(
            {"input_ids": torch.zeros(1, 1, dtype=torch.int64)},
            torch.zeros(1, 1, lm.weight.shape[1]),
        )
        assert torch.isfinite(value)
    assert value.item() == 0


@pytest.mark.parametrize("memory", ["ema", "cumulative"])
def test_long_absence_leaves_a_mean_as_it_was(tiny, memory):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory=memory)
    first = called(nc3, lm, encode(lm))
    for _ in range(1000):
        last = nc3(
            {"input_ids": torch.zeros(1, 1, dtype=torch.int64)},
            torch.zeros(1, 1, lm.weight.shape[1]),
        )
    torch.testing.assert_close(last, first, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kind": "mean"}, "uniform, align, both"),
        ({"space": "decoder"}, "head, encoder"),
        ({"labels": "next"}, "aligned, shifted"),
        ({"features": "free"}, "attached, detached"),
        ({"memory": "none"}, "ema, cumulative, batch"),
        ({"decay": 1.0}, "less than 1"),
        ({"speed": 1}, "memory, decay"),
        ({"options": corrected(), "kind": "both"}, "either options="),
        ({"words": "agee"}, "gender"),
        ({"words": [7]}, "from 0 to 30521"),
        ({"words": [7, 40_000]}, "from 0 to 30521"),
    ],
)
def test_bad_options_name_the_valid_ones(tiny, wrong, named):
    lm = tiny("bert")
    with pytest.raises(FairNCError, match=named):
        NC3Regularizer(lm.model, lm.tokenizer, **wrong)


def test_bad_methods_models_and_calls(tiny):
    with pytest.raises(FairNCError, match="bec, ase, mabel, mabel_nli, adept"):
        as_released("cda")
    lm = tiny("bert")
    with pytest.raises(FairNCError, match="no output classifier"):
        nc3_of(lm.model.bert, lm.tokenizer)
    nc3, batch = nc3_of(lm.model, lm.tokenizer), encode(lm)
    with pytest.raises(FairNCError, match="run the model"):
        nc3(batch)
    called(nc3, lm, batch)
    with pytest.raises(FairNCError, match="run the model"):
        nc3(batch)  # features are taken once
    lm.model(**encode(lm, TEXTS[:1]))
    with pytest.raises(FairNCError, match="do not fit"):
        nc3(batch)
    with torch.no_grad():
        lm.model(**batch)
    with pytest.raises(FairNCError, match="with gradients"):
        nc3(batch)


# Living with a model


def test_evaluation_leaves_the_memory(tiny):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    called(nc3, lm, encode(lm))
    before = nc3.counts.clone()
    called(nc3.eval(), lm, encode(lm))
    nc3.train()
    with torch.no_grad():
        called(nc3, lm, encode(lm))
    assert torch.equal(nc3.counts, before)


def test_memory_resumes_from_the_state_dict(tiny):
    lm = tiny("bert")
    whole = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    called(whole, lm, encode(lm))
    other = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    other.load_state_dict(pickle.loads(pickle.dumps(whole.state_dict())))
    later = encode(lm, TEXTS[:2])
    lm.model(**later)
    assert whole(later).item() == other(later).item()
    assert not list(whole.parameters())  # an optimizer over both modules meets no parameter twice


def test_features_can_be_given(tiny):
    lm = tiny("bert")
    batch = encode(lm)
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory="batch")
    outputs = lm.model(**batch)
    expected = nc3(batch, outputs)  # outputs are accepted where features may stand
    assert nc3(
        batch, lm.features(batch["input_ids"], batch["attention_mask"])
    ).item() == pytest.approx(expected.item())


def test_model_with_a_hook_is_copied_and_pickled(tiny):
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    batch = encode(lm)
    lm.model(**batch)  # features with a live graph, which nothing can copy
    copied, (model, twin) = copy.deepcopy(lm.model), pickle.loads(pickle.dumps((lm.model, nc3)))
    expected = nc3(batch)
    copied(**batch)
    with pytest.raises(FairNCError, match="run the model"):
        nc3(batch)  # a copy feeds its own hook
    model(**batch)
    value = twin(batch)
    assert value.item() == expected.item()
    value.backward()
    assert gradients(model)
    assert not gradients(lm.model)


def test_two_regularizers_share_a_model(tiny):
    lm = tiny("bert")
    batch = encode(lm)
    single, released = (
        nc3_of(lm.model, lm.tokenizer, ids_of(lm), options=o)
        for o in (corrected(), as_released("bec"))
    )
    alone = called(single, lm, batch).item()
    single.reset()
    released.reset()
    lm.model(**batch)
    assert released(batch).item() != alone
    assert single(batch).item() == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_autocast_keeps_wide_statistics(tiny, family):
    lm = tiny(family)
    batch = encode(lm)
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), kind="both", memory="cumulative")
    exact = called(nc3, lm, batch).item()
    nc3.reset()
    with torch.autocast("cpu", torch.bfloat16):
        value = called(nc3, lm, batch)
    assert nc3.sums.dtype == value.dtype == torch.float32
    assert nc3.counts.tolist() == nc3.counts.round().tolist()
    assert value.item() == pytest.approx(exact, rel=0.1)
    value.backward()
    assert all(torch.isfinite(p.grad).all() for p in lm.model.parameters() if p.grad is not None)
    assert gradients(lm.model)


def test_model_in_bfloat16(tiny):
    lm = tiny("roberta")
    lm.model.bfloat16()
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    value = called(nc3, lm, encode(lm))
    value.backward()
    assert nc3.sums.dtype == value.dtype == torch.float32
    assert gradients(lm.model)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("family", ["bert", "distilbert", "llama"])
def test_gradient_checkpointing_changes_nothing(tiny, family, whole):
    lm, expected = tiny(family), {}
    batch = encode(lm, hide=["was"])
    lm.model.train()
    lm.model.config.use_cache = False
    without_dropout(lm.model)
    for recompute in (False, True):
        nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
        lm.model.zero_grad()
        if recompute and not whole:
            newer = getattr(lm.model, "activation_checkpointing_enable", None)
            (newer or lm.model.gradient_checkpointing_enable)({"use_reentrant": False})
        run = (
            (lambda **inputs: checkpoint(lm.model, use_reentrant=False, **inputs))
            if recompute and whole
            else lm.model
        )
        for _ in range(2):  # features that recomputing left behind are not those of the next step
            (run(**batch).loss + nc3(batch)).backward()
        nc3.hook.remove()
        expected = expected or {name: grad.clone() for name, grad in gradients(lm.model).items()}
    torch.testing.assert_close(gradients(lm.model), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the compiler deprecates in itself
@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(
    "options", [{}, {"space": "encoder", "kind": "both", "memory": "cumulative"}]
)
def test_compiles_into_one_graph(tiny, family, options):
    lm = tiny(family)
    batch = encode(lm, hide=["was"])
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), **options)

    def loss(batch):
        return lm.model(**batch).loss + nc3(batch)

    states = []
    for step in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        nc3.reset()
        lm.model.zero_grad()
        value = [step(batch), step(batch)][1]  # the second has a memory
        value.backward()
        states.append((value.detach(), nc3.sums.clone(), gradients(lm.model)))
    torch.testing.assert_close(states[1], states[0])


def test_wrapped_models_are_unwrapped(tiny):
    lm = tiny("bert")
    compiled = torch.compile(lm.model, backend="eager")
    for wrapped in (
        compiled,
        nn.DataParallel(compiled),
        torch.compile(nn.DataParallel(lm.model), backend="eager"),
    ):
        nc3 = nc3_of(wrapped, lm.tokenizer, ids_of(lm), space="encoder")
        assert not nc3.causal
        assert called(nc3, lm, encode(lm)) > 0


# Passes


def test_a_pass_without_gradients_hides_none_that_is_trained_on(tiny):
    lm = tiny("llama")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory="batch")
    batch, other = encode(lm), encode(lm, TEXTS[::-1])
    expected = called(nc3, lm, batch).item()
    with torch.no_grad():
        lm.model(**other)
    lm.model(**batch)
    with torch.no_grad():
        lm.model(**other)
    value = nc3(batch)
    assert value.item() == expected
    value.backward()
    assert gradients(lm.model)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_ids_are_those_that_the_model_read(tiny, family):
    lm = tiny(family)
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory="batch")
    batch = encode(lm)
    lm.model(**batch)
    expected = nc3(batch).item()
    lm.model(**batch)
    assert nc3({}).item() == expected


def test_the_head_that_keeps_masked_words_only_hides_no_word(tiny):
    lm = tiny("modernbert")
    assert lm.model.config.sparse_prediction
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    batch = encode(lm, hide=["was"])
    assert lm.model(**batch).logits.ndim == 2
    nc3(batch)
    assert nc3.counts.tolist() == statistics(lm, encode(lm)).counts[nc3.ids].tolist()


def test_texts_that_are_packed_predict_not_each_other(tiny):
    """Two texts in one row, the second without a special token before it: its first word is no
    label.
    """
    lm = tiny("llama")
    first, second = (
        lm.tokenizer.encode(" " + text, add_special_tokens=False) for text in ("she was", "he was")
    )
    packed = {
        "input_ids": torch.tensor([first + second]),
        "position_ids": torch.tensor([[*range(len(first)), *range(len(second))]]),
    }
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    called(nc3, lm, packed)
    assert nc3.ids[nc3.counts > 0].tolist() == ids_of(lm, ["was"])
    assert nc3.counts.sum() == 2
    apart = nc3_of(lm.model, lm.tokenizer, ids_of(lm))
    called(apart, lm, {"input_ids": packed["input_ids"]})  # one text
    assert apart.counts.sum() == 3


def test_a_decoder_called_on_pieces_is_not_read(tiny):
    """A chunked loss shows the classifier a part of the text at a time, a fused one nothing."""
    lm = tiny("llama")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), memory="batch")
    batch = encode(lm)
    expected = called(nc3, lm, batch).item()
    for piece in (None, slice(0, 3)):
        hidden = lm.model.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        )[0]
        if piece is not None:
            lm.model.lm_head(hidden[:, piece])
        assert nc3(batch).item() == pytest.approx(expected)
        with pytest.raises(FairNCError, match="run the model"):
            nc3(batch)


# Several processes


def _process(rank, folder):
    """Two steps of one of two processes, each with its half of the batches."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    model, tokenizer, ids, batches = torch.load(folder / "in.pt", weights_only=False)
    parallel = DistributedDataParallel(model)
    nc3 = nc3_of(parallel, tokenizer, ids, kind="both")
    for batch in batches:
        model.zero_grad()
        half = {key: value[2 * rank : 2 * rank + 2] for key, value in batch.items()}
        loss = nn.functional.cross_entropy(
            parallel(half["input_ids"], half["attention_mask"]).logits[:, 1], half["labels"][:, 1]
        )
        penalty = nc3(half)
        (loss + penalty).backward()
    torch.save((penalty.detach(), nc3.state_dict(), gradients(model)), folder / f"out{rank}.pt")
    torch.distributed.barrier()
    os._exit(0)  # no farewell: taking gloo down has been seen to wait forever


@pytest.mark.slow
def test_two_processes_equal_one_with_the_joined_batch(tiny, tmp_path):
    lm = tiny("roberta")
    batches = [encode(lm), encode(lm, TEXTS[::-1])]
    for batch in batches:
        batch["labels"] = batch["input_ids"]
    torch.save((lm.model, lm.tokenizer, ids_of(lm), batches), tmp_path / "in.pt")
    multiprocessing.spawn(_process, (tmp_path,), nprocs=2)
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), kind="both")
    for batch in batches:
        lm.model.zero_grad()
        logits = lm.model(batch["input_ids"], batch["attention_mask"]).logits
        penalty = nc3(batch)
        (nn.functional.cross_entropy(logits[:, 1], batch["labels"][:, 1]) + penalty).backward()
    for rank in range(2):
        state = torch.load(tmp_path / f"out{rank}.pt")
        torch.testing.assert_close(
            state, (penalty.detach(), nc3.state_dict(), gradients(lm.model)), atol=5e-6, rtol=1e-4
        )


# Training


def train(lm, options, *, weight, steps, task=0.0, lr=0.01):
    """A loop as a user writes it; the collapse of the words before and after."""
    batch, ids = encode(lm, hide=["was"] if task else []), ids_of(lm)
    measured = [measure(statistics(lm, encode(lm)), lm.weight, classes=ids, min_count=1)]
    nc3 = nc3_of(lm.model, lm.tokenizer, ids, weight=weight, options=options)
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=lr)
    for _ in range(steps):
        outputs = lm.model(**batch)
        # without a hidden word there is no task
        loss = nc3(batch) + (task * outputs.loss if task else 0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.isfinite(loss)
    measured.append(measure(statistics(lm, encode(lm)), lm.weight, classes=ids, min_count=1))
    return measured


@pytest.mark.parametrize("family", FAMILIES)
def test_corrected_lowers_the_measured_unc3(tiny, family):
    before, after = train(tiny(family), corrected(), weight=1.0, steps=300, lr=0.003)
    assert after.unc3 < 0.2 * before.unc3


def test_align_raises_the_measured_nc3(tiny):
    before, after = train(tiny("llama"), nc3_options(kind="align"), weight=1.0, steps=80)
    assert before.nc3 < 0.2 < 0.8 < after.nc3


@pytest.mark.parametrize("method", RELEASED_WEIGHTS)
def test_released_presets_train(tiny, method):
    train(tiny("bert"), as_released(method), weight=RELEASED_WEIGHTS[method], steps=3, task=1.0)


def test_twenty_lines_of_ones_own(tiny):
    lm = tiny("bert")
    model, tokenizer, loader = lm.model, lm.tokenizer, [encode(lm, hide=["he", "she"])] * 3

    nc3 = NC3Regularizer(model, tokenizer, words="gender", weight=10.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for batch in loader:
        loss = model(**batch).loss
        loss = loss + nc3(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    assert losses[-1] < losses[0]
    assert nc3.counts.sum() > 0


class PlainTrainer(InOrder, Trainer):
    pass


class NC3Trainer(NC3TrainerMixin, PlainTrainer):
    pass


def trainer(lm, folder, options=None, **arguments):
    lm.model.train()
    without_dropout(lm.model)
    batch = encode(lm, TEXTS * 4, hide=["was"])
    rows = [{key: value[i] for key, value in batch.items()} for i in range(16)]
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), weight=2.0, options=options)
    settings = {
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "max_steps": 6,
        "save_strategy": "no",
        "logging_strategy": "no",
    } | arguments
    settings = TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        seed=0,
        **settings,
    )
    return NC3Trainer(lm.model, settings, train_dataset=rows, eval_dataset=rows, nc3=nc3)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_trainer_takes_three_lines(tiny, tmp_path, family):
    run = trainer(tiny(family), tmp_path)
    task = run.evaluate()["eval_loss"]
    assert not run.nc3.counts.any()  # evaluation has neither memory nor R
    run.train()
    assert run.nc3.counts.any()
    assert run.evaluate()["eval_loss"] < task


def test_trainer_resumes_with_the_memory(tiny, tmp_path):
    whole = trainer(tiny("bert"), tmp_path / "a", save_strategy="steps", save_steps=3)
    whole.train()
    again = trainer(tiny("bert"), tmp_path / "b")
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    torch.testing.assert_close(again.nc3.state_dict(), whole.nc3.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(weights_of(again), weights_of(whole), rtol=0, atol=0)


def test_trainer_resets_each_epoch_where_the_preset_says_so(tiny, tmp_path):
    options = as_released("adept")
    whole = trainer(
        tiny("bert"), tmp_path / "a", options, save_strategy="steps", save_steps=5, max_steps=7
    )  # of 4 a epoch
    whole.train()
    seen = trainer(tiny("bert"), tmp_path / "c", as_released("mabel"), max_steps=7)
    seen.train()
    ratio = whole.nc3.counts.sum() / seen.nc3.counts.sum()
    assert 0.3 < ratio < 0.5  # three batches of seven
    again = trainer(tiny("bert"), tmp_path / "b", options, max_steps=7)
    # inside the second epoch
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-5"))
    torch.testing.assert_close(again.nc3.state_dict(), whole.nc3.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_trainer_averages_over_accumulated_batches(tiny, tmp_path, smoothing):
    """Two batches of one text twice: their mean R is that of one; so are the losses, hence the
    weights.
    """
    if TRANSFORMERS_4 and smoothing:
        pytest.skip("its Trainer adds up smoothed losses, with or without a regularizer")
    weights = {}
    for accumulate in (1, 2):
        lm = tiny("llama")  # divides its loss by the number of tokens of all batches
        run = trainer(
            lm,
            tmp_path,
            nc3_options(memory="batch"),
            per_device_train_batch_size=4,
            gradient_accumulation_steps=accumulate,
            max_steps=2,
            label_smoothing_factor=smoothing,
            optim="sgd",
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
            learning_rate=0.1,
        )
        run.train()
        weights[accumulate] = weights_of(run)
    torch.testing.assert_close(weights[2], weights[1], rtol=1e-4, atol=1e-5)


def test_trainer_logs_what_is_measured(tiny, tmp_path):
    run = trainer(
        tiny("bert"),
        tmp_path,
        nc3_options(memory="batch", kind="both"),
        logging_strategy="steps",
        logging_steps=2,
        max_steps=5,
        learning_rate=0.0,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=1,
    )
    run.train()
    logs = [entry for entry in run.state.log_history if "loss" in entry]
    assert [entry["step"] for entry in logs] == [2, 4]
    lm_value = run.nc3.measured  # every batch is the whole of the texts
    for entry in logs:
        assert entry["nc3/R"] == pytest.approx(lm_value.r.item(), rel=1e-3)
        assert entry["nc3/NC3"] == pytest.approx(lm_value.nc3.item(), rel=1e-3)
        assert entry["nc3/UNC3"] == pytest.approx(lm_value.unc3.item(), rel=1e-3)
        assert entry["nc3/classes"] == 5
        assert entry["nc3/R"] == pytest.approx(entry["nc3/UNC3"] + 1 - entry["nc3/NC3"], rel=1e-4)
    run.evaluate()
    assert not any(key.startswith("nc3") for key in run.state.log_history[-1])


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_lambda_weighs_the_same_however_many_batches_a_step_has(tiny, tmp_path, family):
    """BERT's loss knows no num_items_in_batch: Trainer alone adds up the means of the accumulated
    batches.
    """
    steps_taken = {}
    for kind in (NC3Trainer, PlainTrainer):
        for accumulate in (1, 2):
            run = trainer(
                tiny(family),
                tmp_path,
                nc3_options(memory="batch"),
                gradient_accumulation_steps=accumulate,
                max_steps=1,
                optim="sgd",
                max_grad_norm=0.0,
                lr_scheduler_type="constant",
                learning_rate=0.1,
            )
            if kind is PlainTrainer:
                run.nc3.hook.remove()
                run = PlainTrainer(run.model, run.args, train_dataset=run.train_dataset)
            before = weights_of(run)
            run.train()
            steps_taken[kind, accumulate] = {
                name: p - before[name] for name, p in weights_of(run).items()
            }
    torch.testing.assert_close(
        steps_taken[NC3Trainer, 2], steps_taken[NC3Trainer, 1], rtol=1e-3, atol=1e-6
    )
    ratio = sum(
        (steps_taken[PlainTrainer, 2][name] * step).sum()
        for name, step in steps_taken[PlainTrainer, 1].items()
    )
    ratio = ratio / sum(step.square().sum() for step in steps_taken[PlainTrainer, 1].values())
    doubled = family == "bert" and not TRANSFORMERS_4  # why the mixin corrects it
    assert ratio.item() == pytest.approx(2 if doubled else 1, rel=1e-3)


def test_trainer_reads_labels_that_its_loss_takes_away(tiny, tmp_path):
    lm = tiny("bert")
    run = trainer(lm, tmp_path, label_smoothing_factor=0.1, max_steps=1)
    run.train()
    assert run.nc3.counts[run.nc3.ids == ids_of(lm, ["was"])[0]].item() > 0  # always masked


# The least weight of a class


@pytest.mark.parametrize("kind", ["uniform", "both"])
def test_a_class_below_the_least_weight_enters_neither_the_mean_nor_r(tiny, kind):
    """By plain loops over the words, over two steps of a memory that forgets half."""
    lm = tiny("bert")
    nc3 = nc3_of(lm.model, lm.tokenizer, ids_of(lm), kind=kind, decay=0.5, min_weight=3)
    first, second = encode(lm, TEXTS), encode(lm, TEXTS[:3])
    called(nc3, lm, first)
    value = called(nc3, lm, second)
    seen = [statistics(lm, batch) for batch in (first, second)]
    weights = {i: float(0.5 * seen[0].counts[i] + seen[1].counts[i]) for i in ids_of(lm)}
    kept = [i for i, weight in weights.items() if weight >= 3]
    assert 2 <= len(kept) < len(weights)
    means = torch.stack(
        [(0.5 * seen[0].sums[i] + seen[1].sums[i]) / weights[i] for i in kept]
    ).double()
    centred = means - means.mean(0)
    cosines = nn.functional.cosine_similarity(centred, lm.weight[kept].detach().double())
    expected = cosines.std() + (1 - cosines.mean() if kind == "both" else 0)
    assert value.item() == pytest.approx(float(expected), rel=1e-4)
    assert int(nc3.measured.classes) == len(kept)


def test_the_least_weight_follows_the_memory_unless_it_is_given():
    assert [NC3Options(memory=memory).min_weight for memory in ("ema", "cumulative", "batch")] == [
        10,
        10,
        3,
    ]
    assert repaired(kind="both") == NC3Options(kind="both", min_weight=10)
    assert {as_released("bec").min_weight, corrected().min_weight} == {0}
    with pytest.raises(FairNCError, match="min_weight = -1: choose 0 or more"):
        NC3Options(min_weight=-1)
