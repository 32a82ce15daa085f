"""Edits of a model: they do what they say to the weights, by the seed, and a run records them."""

import copy

import pytest
import torch

from fairnc_utils import models, words
from fairnc_utils.catalog import EDITS
from fairnc_utils.debias import edits
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.options import Debiasing
from fairnc_utils.runs.treatment import Treatment


@pytest.fixture
def copied(lm):
    return models.wrap(copy.deepcopy(lm.model), lm.tokenizer, name="copy")


def edited(lm, name, seed=0):
    again = models.wrap(copy.deepcopy(lm.model), lm.tokenizer, name=name)
    EDITS[name].apply(again, seed)
    return again


def parameters(lm):
    return {name: tensor.detach() for name, tensor in lm.model.named_parameters()}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_what_its_line_says_and_follows_the_seed(name, tiny):
    lm = tiny("bert")
    assert EDITS[name].name == name
    first, again, other = (edited(lm, name, seed).fingerprint for seed in (1, 1, 2))
    assert first == again
    assert first != lm.fingerprint
    assert (first == other) == (name == "hard_debias")


def test_noise_has_the_share_that_it_is_called_after(lm):
    before = parameters(lm)
    sizes = {}
    for name in ("noise_0.1", "noise_0.2"):
        after = parameters(edited(lm, name))
        sizes[name] = {
            key: float((after[key] - old).square().mean().sqrt() / old.square().mean().sqrt())
            for key, old in before.items()
            if old.numel() > 10_000
        }
    assert all(size == pytest.approx(0.1, rel=0.05) for size in sizes["noise_0.1"].values())
    assert all(size == pytest.approx(0.2, rel=0.05) for size in sizes["noise_0.2"].values())


def test_new_embeddings_are_drawn_and_the_layers_stay(lm):
    drawn, old = parameters(edited(lm, "new_embeddings")), parameters(lm)
    changed = {key for key, value in old.items() if not torch.equal(value, drawn[key])}
    assert changed == {"bert.embeddings.word_embeddings.weight"}
    spread = float(drawn["bert.embeddings.word_embeddings.weight"].std())
    assert spread == pytest.approx(lm.model.config.initializer_range, rel=0.05)


def test_random_weights_know_nothing_of_the_old_ones(lm):
    drawn, old = parameters(edited(lm, "random_init")), parameters(lm)
    key = "bert.encoder.layer.0.attention.self.query.weight"
    pair = torch.stack([drawn[key].flatten(), old[key].flatten()])
    assert abs(torch.corrcoef(pair)[0, 1]) < 0.02
    assert float(drawn[key].std()) == pytest.approx(lm.model.config.initializer_range, rel=0.05)


def test_the_gender_direction_leaves_all_but_gender_words(lm, copied):
    before = lm.model.get_input_embeddings().weight.detach().clone()
    direction = edits.gender_direction(lm, before)
    she, he, nurse, engineer = (
        models.single_token_id(lm.tokenizer, word) for word in ("she", "he", "nurse", "engineer")
    )
    assert direction.norm() == pytest.approx(1, abs=1e-5)
    assert before[she] @ direction > before[he] @ direction
    # the control: the direction tells occupations apart before it is taken out
    assert before[nurse] @ direction > before[engineer] @ direction
    edits.hard_debias(copied, 0)
    after = copied.model.get_input_embeddings().weight.detach()
    gender = words.load("gender", lm.tokenizer).token_ids
    others = torch.ones(len(after), dtype=torch.bool)
    others[list(gender)] = False
    assert (after[others] @ direction).abs().max() < 1e-4
    assert torch.equal(after[~others], before[~others])
    left = before[others] - torch.outer(before[others] @ direction, direction)  # one by one
    torch.testing.assert_close(after[others], left, atol=1e-5, rtol=1e-4)


def test_an_edit_stands_where_a_method_stands(tiny):
    lm = tiny("bert")
    treatment = Treatment.of(Debiasing(method="noise_0.1"), model="random")
    before = lm.fingerprint
    assert treatment.apply(lm, seed=0).empty
    assert models.wrap(lm.model, lm.tokenizer, name="x").fingerprint != before
    assert treatment.columns == {"method": "noise_0.1", "regularizer": "none", "lam": 0.0}
    assert treatment.evidence == {"edit": "Steed et al. 2022"}
    with pytest.raises(FairNCError, match=r"noise_0\.1 trains nothing, so it takes no regularizer"):
        Treatment.of(Debiasing(method="noise_0.1", regularizer="repaired"), model="random")
    with pytest.raises(FairNCError, match="hard_debias takes masked language models"):
        EDITS["hard_debias"].require(tiny("gpt2"))
