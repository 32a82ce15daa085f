"""Explanations: both versions of a sentence differ in the words that are said to; attributions equal plain
loops and add up; a classifier that reads pronouns alone puts its mass there, one that reads nothing does not.
"""

import numpy as np
import pytest
import torch
from torch import nn

from fairnc_utils import finetuning, models, runs, tasks
from fairnc_utils.benchmarks import explanations, get
from fairnc_utils.finetuning import Classifier
from fairnc_utils.tasks import text_gender

BENCHMARK = get("explanations")
TASK = tasks.get("text_gender")


def test_versions_differ_in_the_words_that_are_said_to_and_in_nothing_else():
    items = TASK.items("test")
    assert len(items) == 2 * text_gender.PAIRS["test"]
    for one, two in zip(
        items.select(range(0, 200, 2)), items.select(range(1, 200, 2)), strict=True
    ):
        assert {one["gender"], two["gender"]} == {"male", "female"}
        assert one["unit"] == two["unit"]
        rest = []
        for item in (one, two):
            text, left = item["text"], []
            for start, end in item["changed"]:
                word = text[start:end].lower()
                assert word in (text_gender._FEMALE if item["label"] else text_gender._MALE)
            end = 0
            for start, stop in item["changed"]:
                left.append(text[end:start])
                end = stop
            rest.append([*left, text[end:]])
        assert rest[0] == rest[1]


@pytest.mark.parametrize(
    "text",
    ["the doctor slept .", "he met his wife and her mother .", "the lord thanked her ."],
    ids=["no gender", "both genders", "swapped one way"],
)
def test_sentences_that_cannot_be_told_apart_cleanly_are_no_items(text):
    assert text_gender.versions(text, "0") == []


def test_splits_share_no_sentence_and_genders_are_balanced():
    texts = [set(TASK.items(split)["text"]) for split in TASK.splits]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    for split in TASK.splits:
        assert np.mean(TASK.items(split)["label"][:]) == 0.5


# ---------------------------------------------------------------- attributions


class Pronouns(nn.Module):
    """Scores a text by the tokens *she*, *her*, *he*, *his*, *him* alone, each as its embedding says."""

    def __init__(self, lm, weight=1.0):
        super().__init__()
        self.config = lm.model.config
        self.config.num_labels = 2
        self.base_model = lm.model.base_model
        ids = [
            models.single_token_id(lm.tokenizer, word)
            for word in ("she", "her", "he", "his", "him")
        ]
        table = self.base_model.get_input_embeddings().weight
        with torch.no_grad():
            table.zero_()
            table[ids, 0] = torch.tensor([1.0, 1, -1, -1, -1])
        self.classifier = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.tensor([[-weight, 0.0], [weight, 0.0]]))

    def forward(self, inputs_embeds=None, attention_mask=None, input_ids=None, **_):
        if inputs_embeds is None:
            inputs_embeds = self.base_model.get_input_embeddings()(input_ids)
        pooled = (inputs_embeds[..., :2] * attention_mask[..., None]).sum(1)
        return type("Output", (), {"logits": self.classifier(pooled)})


def classifier(weight=1.0):
    lm = models.load("random", device="cpu")
    return Classifier("pronouns", Pronouns(lm, weight).eval(), lm.tokenizer, "text_gender", 64)


@pytest.fixture(scope="module")
def pairs():
    """Pairs in which pronouns alone are swapped."""
    items = TASK.items("test")
    known = {"she", "her", "he", "his", "him"}
    kept = []
    for i, item in enumerate(items):
        changed = sorted(item["text"][a:b].lower() for a, b in item["changed"])
        if changed == sorted(word for word in item["text"].lower().split() if word in known):
            kept.append(i)
    units = [items[i]["unit"] for i in kept]
    return items.select(
        [i for i, unit in zip(kept, units, strict=True) if units.count(unit) == 2][:40]
    )


def test_a_classifier_of_pronouns_puts_all_mass_on_them(pairs):
    rows = BENCHMARK.score(classifier(), pairs)
    for axis in explanations.EXPLAINING:
        metrics = BENCHMARK.estimates(rows[rows["axis"] == axis])
        assert metrics["mass_accuracy"].value == pytest.approx(100)
        assert metrics["mass_gap"].value == pytest.approx(0, abs=1e-6)
    drawn = BENCHMARK.estimates(rows[rows["axis"] == "random"])
    assert drawn["mass_over_chance"].ci_low < 0 < drawn["mass_over_chance"].ci_high
    bag = BENCHMARK.estimates(rows[rows["axis"] == "bag_of_words"])
    assert bag["mass_accuracy"].value > 95


def test_a_classifier_of_nothing_has_no_mass(pairs):
    rows = BENCHMARK.score(classifier(0.0), pairs)
    assert rows[rows["axis"].isin(explanations.EXPLAINING)]["score_a"].isna().all()


@pytest.fixture(scope="module")
def tuned():
    return finetuning.fit(
        models.load("random", device="cpu"),
        TASK,
        steps=2,
        batch_size=8,
        texts=16,
        evaluation_texts=8,
    )


def one(text, tuned):
    ids = tuned.tokenizer(text, return_tensors="pt")["input_ids"]
    special = torch.tensor(tuned.tokenizer.all_special_ids)
    return ids, torch.ones_like(ids), ~torch.isin(ids, special)


def test_attributions_equal_plain_loops(tuned):
    ids, mask, ordinary = one("the nurse said that she was tired .", tuned)

    def margin(tokens):
        logits = tuned.model(input_ids=tokens, attention_mask=mask).logits[0].detach()
        return float(logits[1] - logits[0])

    occluded = explanations.occlusion(tuned, ids, mask, ordinary)[0]
    for place in range(ids.shape[1]):
        hidden = ids.clone()
        hidden[0, place] = tuned.tokenizer.mask_token_id
        expected = margin(ids) - margin(hidden) if ordinary[0, place] else 0
        assert float(occluded[place]) == pytest.approx(expected, abs=1e-5)
    table = tuned.model.base_model.get_input_embeddings().weight
    embedded = table[ids].detach().requires_grad_(True)
    logits = tuned.model(inputs_embeds=embedded, attention_mask=mask).logits[0]
    (logits[1] - logits[0]).backward()
    expected = [
        float((embedded.grad[0, place] * embedded[0, place].detach()).sum())
        * bool(ordinary[0, place])
        for place in range(ids.shape[1])
    ]
    measured = explanations.gradient_times_input(tuned, ids, mask, ordinary)[0]
    assert measured.tolist() == pytest.approx(expected, abs=1e-6)


def test_integrated_gradients_add_up_to_the_change_of_the_margin(tuned):
    ids, mask, ordinary = one("the engineer thanked his mother .", tuned)
    signed = explanations.integrated_gradients(tuned, ids, mask, ordinary, steps=64)[0]
    ends = [
        explanations.margin(tuned, explanations._embedded(tuned, each), mask)
        for each in (ids, explanations._masked(tuned, ids, ordinary))
    ]
    assert float(signed.sum()) == pytest.approx(float((ends[0] - ends[1]).detach()), abs=1e-4)
    assert signed[~ordinary[0]].abs().max() == 0


def test_rows_equal_plain_loops_and_do_not_depend_on_batches(tuned, monkeypatch):
    items = TASK.items("test").select(range(12))
    rows = BENCHMARK.score(tuned, items)
    monkeypatch.setattr(explanations, "_TOKENS", 1)
    again = BENCHMARK.score(tuned, items)
    assert rows["score_a"].to_numpy() == pytest.approx(again["score_a"].to_numpy(), rel=0.02)
    item = items[0]
    encoded = tuned.tokenizer(item["text"], return_offsets_mapping=True)
    ids, mask, ordinary = one(item["text"], tuned)
    sizes = explanations.occlusion(tuned, ids, mask, ordinary)[0].abs().tolist()
    right = [
        any(a < end and b > start for start, end in item["changed"]) and b > a
        for a, b in encoded["offset_mapping"]
    ]
    mass = sum(x for x, yes in zip(sizes, right, strict=True) if yes) / sum(sizes)
    row = rows[rows["item_id"] == f"{item['item_id']}:occlusion"].iloc[0]
    assert row["score_a"] == pytest.approx(mass, rel=5e-3)
    assert row["score_b"] == pytest.approx(sum(right) / int(ordinary.sum()))
    table = BENCHMARK.units(rows)
    assert len(table) == 6
    explaining = rows[rows["axis"].isin(explanations.EXPLAINING) & (rows["unit"] == item["unit"])]
    assert table.loc[item["unit"], "mass"] == pytest.approx(explaining["score_a"].mean())


# ---------------------------------------------------------------- what learns


@pytest.mark.parametrize("frozen", ["encoder", "layers", "none"])
def test_what_is_frozen_does_not_learn(frozen):
    lm = models.load("random", device="cpu")
    before = {key: value.clone() for key, value in lm.model.base_model.state_dict().items()}
    tuned = finetuning.fit(
        lm,
        TASK,
        steps=2,
        batch_size=8,
        texts=16,
        evaluation_texts=8,
        frozen=frozen,
        kept="last",
        lr=1e-2,
    )
    after = tuned.model.base_model.state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    words = {key for key in before if "word_embeddings" in key}
    layers = {key for key in before if "layer" in key and "weight" in key}
    assert words <= moved if frozen != "encoder" else not moved
    assert bool(moved & layers) == (frozen == "none")
    if frozen == "layers":
        assert moved == words


def test_new_embeddings_leave_the_layers(lm):
    run = runs.finetune(
        model="random",
        device="cpu",
        task="text_gender",
        debiasing={"method": "new_embeddings"},
        frozen="layers",
        benchmarks=["explanations:test"],
        steps=1,
        batch_size=4,
        texts=8,
        items=12,
        evaluation_texts=4,
    )
    assert set(run.results["method"]) == {"new_embeddings"}
    masses = run.select(benchmark="explanations", metric="mass_accuracy")
    assert set(masses["axis"]) == {"all", *BENCHMARK.axes}
