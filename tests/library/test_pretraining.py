"""Pre-training: the start that was asked for, a loss that falls, a folder that loads and says how
it was made.
"""

from functools import partial

import pytest
import torch

from fairnc_utils import batching, corpora, model_folder, models, pretraining
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
