"""The training loop learns a toy problem and stops at a broken one; masking keeps BERT's rates;
perplexity is exact.
"""

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from fairnc_utils import batching, training
from fairnc_utils.errors import FairNCError
from fairnc_utils.perplexity import masked_perplexity


def toy():
    """A linear layer and batches of an exactly linear problem."""
    generator = torch.Generator().manual_seed(0)
    target = torch.tensor([[2.0, -1.0, 0.5]])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(3, 1)

    def batches():
        while True:
            x = torch.randn(32, 3, generator=generator)
            yield x, x @ target.mT + 1

    def loss(batch):
        x, y = batch
        return (model(x) - y).square().mean()

    return model, loss, batches(), target


def test_fit_learns_and_returns_its_curve():
    model, loss, batches, target = toy()
    calls = []

    def evaluate():
        calls.append(model.training)
        return {"heldout": loss(next(batches)).item()}

    curve = training.fit(
        model,
        loss,
        batches,
        steps=300,
        warmup=20,
        log_every=50,
        evaluate=evaluate,
        evaluate_every=100,
        groups=[{"params": model.parameters(), "lr": 0.1}],
        weight_decay=0.0,
        clip=100.0,
    )
    assert curve["step"].tolist() == [50, 100, 150, 200, 250, 300]
    assert curve["loss"].iloc[-1] < 1e-3 < curve["loss"].iloc[0]
    assert curve["heldout"].notna().tolist() == [False, True] * 3
    assert curve["lr"].is_monotonic_decreasing
    assert curve["lr"].iloc[-1] == 0
    assert (curve["seconds_per_step"] > 0).all()
    torch.testing.assert_close(model.weight.detach(), target, atol=0.02, rtol=0)
    assert calls == [False] * 3  # evaluation mode, then back to training
    assert not model.training


def test_fit_takes_exactly_its_steps():
    model, loss, batches, _ = toy()
    taken = []
    counted = (taken.append(1) or batch for batch in batches)
    curve = training.fit(
        model, loss, counted, steps=7, groups=[{"params": model.parameters(), "lr": 0.1}]
    )
    assert len(taken) == 7
    assert curve["step"].tolist() == [7]


def test_fit_stops_at_a_loss_that_is_not_finite():
    model, _, batches, _ = toy()
    with pytest.raises(FairNCError, match="toy: loss is nan at step 1; lower the learning rate"):
        training.fit(
            model,
            lambda batch: model(batch[0]).mean() * float("nan"),
            batches,
            steps=10,
            log_every=2,
            description="toy",
            groups=[{"params": model.parameters(), "lr": 0.1}],
        )


def test_groups_keep_their_own_learning_rate():
    model, loss, batches, _ = toy()
    weight = model.weight.detach().clone()
    groups = [{"params": [model.weight], "lr": 0.0}, {"params": [model.bias], "lr": 0.1}]
    training.fit(model, loss, batches, steps=50, groups=groups)
    assert torch.equal(model.weight.detach(), weight)
    assert abs(model.bias.item() - 1) < 0.5


def test_fit_adds_up_named_terms():
    model, loss, batches, _ = toy()
    curve = training.fit(
        model,
        lambda batch: {"task": loss(batch), "penalty": 3 * model.weight.square().sum()},
        batches,
        steps=9,
        groups=[{"params": model.parameters(), "lr": 0.01}],
        log_every=4,
    )
    assert curve["step"].tolist() == [4, 8, 9]
    assert curve["loss"].tolist() == pytest.approx((curve["task"] + curve["penalty"]).tolist())
    assert (curve["gradient_norm"] > 0).all()


def test_fit_stops_at_a_gradient_that_is_not_finite():
    """A loss can be finite where its slope is not: the root at 0."""
    model, _, batches, _ = toy()
    with pytest.raises(FairNCError, match="gradient_norm is nan at step 1"):
        training.fit(
            model,
            lambda batch: (0 * model(batch[0])).square().sum().sqrt(),
            batches,
            steps=1,
            groups=[{"params": model.parameters(), "lr": 0.1}],
        )


def test_fit_says_when_the_batches_end():
    model, loss, batches, _ = toy()
    with pytest.raises(FairNCError, match="the batches end after 3 of 5 steps"):
        training.fit(
            model,
            loss,
            itertools.islice(batches, 3),
            steps=5,
            groups=[{"params": model.parameters(), "lr": 0.1}],
        )


# -------------------------------------------------------------------------------------- checkpoints


def resumable(checkpoints, *, steps=10, stop=None, fail=None):
    """A toy run with dropout; ``stop``: step at which it is interrupted, ``fail``: at which its
    loss is NaN.
    """
    model, loss, batches, _ = toy()
    dropout, seen = nn.Dropout(0.5), []

    def noisy(batch):
        seen.append(batch)
        if len(seen) == stop:
            raise KeyboardInterrupt
        return loss((dropout(batch[0]), batch[1])) * (float("nan") if len(seen) == fail else 1)

    torch.manual_seed(5)
    curve = training.fit(
        model,
        noisy,
        batches,
        steps=steps,
        groups=[{"params": model.parameters(), "lr": 0.1}],
        log_every=2,
        checkpoints=checkpoints,
        extra={"memory": nn.BatchNorm1d(2)},
    )
    return model.state_dict(), curve.drop(columns="seconds_per_step"), len(seen)


def test_interrupted_run_goes_on_to_the_identical_result(tmp_path):
    whole, curve, _ = resumable(None)
    checkpoints = training.Checkpoints(tmp_path / "run" / "checkpoint.pt", every=4, identity="a")
    with pytest.raises(KeyboardInterrupt):
        resumable(checkpoints, stop=7)
    resumed, later, taken = resumable(checkpoints)
    assert taken == 10 - 4  # from the checkpoint on
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert later.equals(curve)
    assert resumable(checkpoints)[2] == 0  # finished: nothing is trained again
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.pt"]


def test_nothing_broken_is_saved(tmp_path):
    checkpoints = training.Checkpoints(tmp_path / "checkpoint.pt", every=4)
    with pytest.raises(FairNCError, match="loss is nan at step 7"):
        resumable(checkpoints, fail=7)
    state = checkpoints.load()
    assert state["step"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in state["modules"]["model"].values())


def test_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    file = tmp_path / "checkpoint.pt"
    resumable(training.Checkpoints(file, every=4, identity="a"))
    with pytest.raises(FairNCError, match="belongs to another run"):
        resumable(training.Checkpoints(file, every=4, identity="b"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FairNCError, match="cannot be read; delete it"):
        resumable(training.Checkpoints(file, every=4, identity="a"))


def test_a_failed_save_leaves_the_older_checkpoint(tmp_path):
    checkpoints = training.Checkpoints(tmp_path / "checkpoint.pt", every=4)
    checkpoints.save({"step": 1})
    with pytest.raises((AttributeError, TypeError)):
        checkpoints.save({"step": lambda: 2})
    assert checkpoints.load()["step"] == 1
    assert len(list(tmp_path.iterdir())) == 1


# ------------------------------------------------------------------------------------------ masking

MASK, VOCABULARY = 3, 1_000


@pytest.fixture(scope="module")
def masked():
    ids = torch.randint(10, VOCABULARY, (400, 100), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, 60:] = 1, 0  # a special token in front, padding behind: 59 places are left
    maskable = ids >= 10
    return (
        ids,
        maskable,
        *batching.mask_tokens(
            ids,
            maskable,
            mask_id=MASK,
            vocab_size=VOCABULARY,
            generator=torch.Generator().manual_seed(1),
        ),
    )


def test_masking_draws_its_rate_of_the_maskable_places(masked):
    _, _, _, positions, labels = masked
    # as many places for every batch of this shape
    assert positions.shape == labels.shape == (400, 15)
    assert ((labels >= 0).sum(1) == round(0.15 * 59)).all()
    for row, used in zip(positions, labels >= 0, strict=True):
        assert len(set(row[used].tolist())) == used.sum()


def test_masking_labels_are_the_original_tokens_and_the_rest_stays(masked):
    ids, maskable, corrupted, positions, labels = masked
    used = labels >= 0
    assert torch.equal(ids.gather(1, positions)[used], labels[used])
    assert maskable.gather(1, positions)[used].all()  # never a special or padding token
    untouched = torch.ones_like(ids, dtype=torch.bool)
    untouched[torch.arange(400)[:, None].expand_as(positions)[used], positions[used]] = False
    assert torch.equal(corrupted[untouched], ids[untouched])


def test_masking_is_80_10_10_and_even_over_places(masked):
    _, _, corrupted, positions, labels = masked
    used = labels >= 0
    inputs, original = corrupted.gather(1, positions)[used], labels[used]
    count = len(inputs)
    mask = (inputs == MASK).float().mean().item()
    kept = (inputs == original).float().mean().item()
    error = 4 * (0.8 * 0.2 / count) ** 0.5
    assert mask == pytest.approx(0.8, abs=error)
    assert kept == pytest.approx(0.1, abs=error)
    assert 1 - mask - kept == pytest.approx(0.1, abs=error)
    where = torch.bincount(positions[used], minlength=100)[1:60].float()
    assert where.std() < 2 * where.mean().sqrt()
    assert where.sum() == count


def test_masking_leaves_a_row_without_places_alone_and_masks_one_of_a_short_row():
    ids = torch.tensor([[1, 2, 0, 0], [1, 50, 2, 0]])
    maskable = torch.tensor([[False] * 4, [False, True, False, False]])
    corrupted, positions, labels = batching.mask_tokens(ids, maskable, mask_id=MASK, vocab_size=100)
    assert torch.equal(corrupted[0], ids[0])
    assert (labels[0] == -100).all()
    assert labels[1].tolist() == [50]
    assert positions[1].tolist() == [1]


def test_masking_depends_on_its_generator_alone():
    ids = torch.randint(10, 99, (5, 40), generator=torch.Generator().manual_seed(0))
    options = {"mask_id": MASK, "vocab_size": 99}
    draws = [
        batching.mask_tokens(ids, ids > 0, generator=torch.Generator().manual_seed(s), **options)[0]
        for s in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


# --------------------------------------------------------------------------------------- perplexity


def test_perplexity_of_a_model_that_knows_nothing_is_the_vocabulary_size(tiny):
    lm = tiny("bert")
    blind = dataclasses.replace(lm, weight=torch.zeros_like(lm.weight), bias=None)
    sequences = batching.tokenize(
        ["the nurse said that she was tired .", "he reads a book ."], lm.tokenizer
    )
    assert masked_perplexity(blind, sequences) == pytest.approx(30_522, rel=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_perplexity_of_a_causal_model_is_refused(tiny, family):
    with pytest.raises(
        FairNCError, match=f"needs a masked language model; tiny {family} is causal"
    ):
        masked_perplexity(tiny(family), [[5, 6, 7]])


def test_perplexity_is_repeatable_and_needs_no_padding_token_right(tiny):
    lm = tiny("bert")
    texts = ["the nurse said that she was tired .", "he reads a book and walks home .", "a man ."]
    sequences = batching.tokenize(texts, lm.tokenizer)
    values = [masked_perplexity(lm, sequences, seed=seed) for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_perplexity_falls_with_training(tiny):
    """Positive control: a few steps on two sentences and the same sentences surprise less."""
    lm = tiny("roberta")
    sequences = batching.tokenize(
        ["the nurse said that she was tired .", "the boy writes a letter ."] * 8, lm.tokenizer
    )
    batch = next(iter(batching.bucketed(sequences, pad_id=lm.tokenizer.pad_token_id)))
    special = torch.tensor(lm.special_ids)
    before = masked_perplexity(lm, sequences)

    def loss(generator):
        ids, positions, labels = batching.mask_tokens(
            batch.input_ids,
            ~torch.isin(batch.input_ids, special),
            mask_id=lm.tokenizer.mask_token_id,
            vocab_size=420,
            generator=generator,
        )
        features = lm.features(ids, batch.attention_mask)
        picked = features.gather(1, positions[..., None].expand(-1, -1, features.shape[-1]))
        return nn.functional.cross_entropy(
            (picked @ lm.weight.mT + lm.bias).flatten(0, 1), labels.flatten()
        )

    draws = itertools.repeat(torch.Generator().manual_seed(0))
    training.fit(
        lm.model, loss, draws, steps=60, groups=[{"params": lm.model.parameters(), "lr": 0.01}]
    )
    assert masked_perplexity(lm, sequences) < before / 5


# ---------------------------------------------------------------------------------------- precision


def test_precisions_do_not_depend_on_those_before_in_the_process():
    """float32, bfloat16, float32: autocast leaves nothing behind, and computes in what it says."""
    losses, kinds = [], []
    for precision in ("fp32", "bf16", "fp32"):
        model, _, batches, _ = toy()

        def loss(batch, model=model):
            x, y = batch
            output = model(x)
            kinds.append(output.dtype)
            return (output - y).square().mean()

        groups = [{"params": model.parameters(), "lr": 0.1}]
        curve = training.fit(
            model, loss, batches, steps=3, groups=groups, log_every=1, precision=precision
        )
        losses.append(curve["loss"].tolist())
        assert model.weight.dtype == torch.float32
    assert losses[0] == losses[2] != losses[1]
    assert kinds == [torch.float32] * 3 + [torch.bfloat16] * 3 + [torch.float32] * 3


def test_an_unknown_precision_is_named():
    model, loss, batches, _ = toy()
    with pytest.raises(FairNCError, match="option precision = 'fp16': choose fp32, bf16"):
        training.fit(model, loss, batches, steps=1, groups=[], precision="fp16")
