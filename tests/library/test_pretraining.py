"""Pre-training: the start that was asked for, a loss that falls, a folder that loads and says how
it was made.
"""

from functools import cache, partial

import pytest
import torch

from fairnc_utils import batching, corpora, first_names, model_folder, models, pretraining, swap
from fairnc_utils.errors import FairNCError


def test_the_embedded_models_start_is_minilm_and_another_size_needs_scratch():
    model, tokenizer = pretraining.start_model()
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (6, 384)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert len(tokenizer) == model.config.vocab_size
    with pytest.raises(FairNCError, match="need scratch"):
        pretraining.start_model(layers=4)
    with pytest.raises(FairNCError, match="multiple of 32"):
        pretraining.start_model(scratch=True, hidden=100)


def test_a_model_from_scratch_follows_the_seed_and_knows_nothing_of_minilm():
    def weights(seed: int, **options) -> torch.Tensor:
        torch.manual_seed(seed)
        model, _ = pretraining.start_model(scratch=True, layers=2, **options)
        return model.bert.embeddings.word_embeddings.weight.detach()

    assert weights(0, hidden=64).shape[1] == 64
    torch.testing.assert_close(weights(0, hidden=64), weights(0, hidden=64), rtol=0, atol=0)
    assert not torch.equal(weights(0, hidden=64), weights(1, hidden=64))
    minilm, _ = pretraining.start_model()
    assert not torch.allclose(
        weights(0, hidden=384), minilm.bert.embeddings.word_embeddings.weight, atol=1e-3
    )


@pytest.fixture
def few(monkeypatch):
    """Pre-training corpora of some real texts each."""
    load = corpora.load
    monkeypatch.setattr(corpora, "load", cache(lambda name: load(name).select(range(1500))))


def test_the_gender_of_texts_is_moved_by_a_dose_and_held_out_texts_stay(few):
    names = first_names.paired()
    as_is, held = pretraining.texts()
    sides = {alpha: pretraining.texts(alpha=alpha) for alpha in (1, 0.5, 0, -1)}
    assert sides[1] == (as_is, held)
    assert all(part[1] == held for part in sides.values())
    both = [swap.gender(text, names=names) for text in as_is]
    assert sides[-1][0] == both
    gendered = [place for place, text in enumerate(as_is) if text != both[place]]
    changed = {
        alpha: {place for place in gendered if part[0][place] != as_is[place]}
        for alpha, part in sides.items()
    }
    assert changed[1] < changed[0.5] < changed[0] < changed[-1]  # nested
    assert len(changed[0]) / len(gendered) == pytest.approx(0.5, abs=0.03)
    assert len(changed[0.5]) / len(gendered) == pytest.approx(0.25, abs=0.03)
    assert all(
        part[0][place] in (as_is[place], both[place])
        for part in sides.values()
        for place in gendered
    )


def test_corpora_can_be_left_out_and_unknown_ones_are_named(few):
    every, without = pretraining.texts()[0], pretraining.texts(sources=["panda", "bold"])[0]
    bug = set(corpora.load("bug")["text"])
    assert set(without) == set(every) - bug
    for options, message in (
        ({"alpha": 2}, "alpha = 2: choose from −1"),
        ({"sources": ["gap"]}, "text 'gap' is none of pre-training: choose bug, panda, bold"),
        ({"sources": []}, "choose bug, panda, bold"),
    ):
        with pytest.raises(FairNCError, match=message):
            pretraining.texts(**options)
    assert pretraining._described(pretraining.CORPORA, 1).endswith(
        "(MIT) and BOLD's Wikipedia passages (CC BY-SA 4.0)"
    )
    assert pretraining._described(["bold"], 0).endswith(", 50% of it gender-swapped")


def test_training_lowers_the_loss_and_the_folder_says_how_it_was_made(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "evaluate", partial(pretraining.evaluate, sample=20))
    torch.manual_seed(0)
    model, tokenizer = pretraining.start_model(scratch=True, layers=1, hidden=64)
    ids = batching.tokenize(corpora.load("gap", "development")["text"][:200], tokenizer)
    rows = batching.packed(ids, width=32)
    log = pretraining.pretrain(
        model, tokenizer, rows, ids[:5], steps=30, batch_size=8, lr_body=5e-3, evaluate_every=15
    )
    losses = log["loss"].dropna().to_numpy()
    assert losses[-1] < losses[0] - 0.5

    folder = tmp_path / "small"
    model_folder.require(folder)
    recipe = {"steps": 30, "batch_size": 8, "width": 32, "lr_body": 5e-3, "lr_head": 1e-3}
    recipe |= {"dropout": 0.1, "precision": "fp32", "seed": 0}
    recipe |= {"scratch": True, "layers": 1, "hidden": 64}
    metrics = pretraining.save(model, tokenizer, folder, log=log, recipe=recipe)
    card = (folder / "README.md").read_text()
    assert "# small" in card
    assert "random initialization" in card
    assert "MiniLM" not in card
    assert "1 × 64" in card
    lm = models.load(str(folder), device="cpu")
    assert pretraining.evaluate(lm)["gap_perplexity"] == pytest.approx(metrics["gap_perplexity"])
