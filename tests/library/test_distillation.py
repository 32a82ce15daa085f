"""Students: which layers they keep, what their loss is, and that a teacher teaches."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from fairnc_utils import debias, models
from fairnc_utils.debias import distillation
from fairnc_utils.debias import train as debiasing
from fairnc_utils.errors import FairNCError


def random_lm(layers=4, seed=0):
    model = models.random_model(layers=layers, seed=seed)
    return models.wrap(model, models.embedded_tokenizer(), name="random")


@pytest.fixture(scope="module")
def batch(tokenizer):
    rows = distillation.examples(tokenizer, limit=60, max_length=32)
    generator = torch.Generator().manual_seed(0)
    return distillation.collate([rows[i] for i in range(4)], tokenizer, generator)


def test_a_student_keeps_layers_at_even_distances_and_the_last():
    kept = [distillation.kept_layers(number, 6) for number in (1, 2, 3, 4, 6)]
    assert kept == [[5], [2, 5], [1, 3, 5], [1, 2, 4, 5], [0, 1, 2, 3, 4, 5]]
    with pytest.raises(FairNCError, match="a student of 7 layers: the model has 6"):
        distillation.kept_layers(7, 6)


@pytest.mark.parametrize(
    ("name", "layers"), [("kd1", 1), ("kd3", 3), ("small2", 2), ("kd_self", 4)]
)
def test_training_makes_the_student_of_the_model_itself(name, layers):
    lm = random_lm()
    before = copy.deepcopy(lm.model.bert.encoder.layer)
    options = {"steps": 1, "batch_size": 2, "texts": 60}
    debiasing.train(lm, debias.get(name), **options)
    assert lm.layers == layers
    kept = distillation.kept_layers(layers, 4)
    for place, layer in zip(kept, lm.model.bert.encoder.layer, strict=True):
        old, new = before[place].state_dict(), layer.state_dict()
        assert all(torch.allclose(old[key], new[key], atol=1e-3) for key in old)


def test_the_loss_is_that_of_the_definition(batch):
    """Against numpy, from the models' own outputs."""
    student, teacher = random_lm(2, 0).model, random_lm(2, 1).model
    parts = []
    for model in (student, teacher):
        with torch.no_grad():
            out = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                output_hidden_states=True,
            )
        parts.append((out.logits.double().numpy(), out.hidden_states[-1].double().numpy()))
    (said, hidden), (true, true_hidden) = parts
    words, taught = [], []
    for row, (places, labels) in enumerate(
        zip(batch["positions"].tolist(), batch["labels"].tolist(), strict=True)
    ):
        for place, label in zip(places, labels, strict=True):
            if label < 0:
                continue
            words.append(-log_softmax(said[row, place])[label])
            p, q = (log_softmax(logits[row, place] / 2) for logits in (true, said))
            taught.append(4 * np.sum(np.exp(p) * (p - q)))
    cosines = np.sum(hidden * true_hidden, -1) / (
        np.linalg.norm(hidden, axis=-1) * np.linalg.norm(true_hidden, axis=-1)
    )
    direction = (1 - cosines)[batch["attention_mask"].numpy() == 1].mean()
    expected = 5 * np.mean(taught) + 2 * np.mean(words) + direction
    with torch.no_grad():
        assert float(distillation.loss(student, batch, teacher)) == pytest.approx(
            expected, rel=1e-4
        )
        alone = float(distillation.loss(student, batch, None))
    assert alone == pytest.approx(np.mean(words), rel=1e-4)


def test_who_says_what_the_teacher_says_has_nothing_left_to_learn_from_it(batch):
    model = random_lm(2).model
    with torch.no_grad():
        taught = float(distillation.loss(model, batch, copy.deepcopy(model)))
        alone = float(distillation.loss(model, batch, None))
    assert taught == pytest.approx(2 * alone, rel=1e-4)


def distance(lm, teacher, batch):
    with torch.no_grad():
        ends = [distillation._outputs(model, batch)[1] for model in (teacher, lm.model)]
    return float(distillation.divergence(*ends).mean())


def test_a_teacher_teaches_and_one_whose_words_are_mixed_up_does_not(batch):
    """A teacher of shuffled labels brings a student no nearer to the true one than no teacher does."""
    true = random_lm()
    for parameter in true.model.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    mixed = copy.deepcopy(true.model)
    order = torch.randperm(len(true.weight), generator=torch.Generator().manual_seed(2))
    decoder = mixed.get_output_embeddings()
    decoder.weight = torch.nn.Parameter(decoder.weight.detach()[order])
    distances = {}
    for name, teacher in (("true", true.model), ("mixed", mixed), ("none", None)):
        student = models.wrap(copy.deepcopy(true.model), true.tokenizer, name=name)
        distillation.prepare(student.model, None, (), layers=2, taught=False)
        optimizer = torch.optim.AdamW(student.model.parameters(), lr=2e-3)
        for _ in range(12):
            loss = distillation.loss(student.model, batch, teacher)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        distances[name] = distance(student, true.model, batch)
    assert distances["true"] < 0.8 * distances["none"]
    assert distances["mixed"] > distances["true"]
    assert distances["mixed"] > 0.8 * distances["none"]


def test_a_student_takes_no_regularizer():
    from fairnc_utils.regularizer import corrected

    with pytest.raises(FairNCError, match="a student learns what its teacher says"):
        debiasing.train(random_lm(), debias.get("kd2"), regularizer=corrected(), lam=1.0, steps=1)


def test_too_little_text_is_said(tokenizer):
    with pytest.raises(FairNCError, match="texts = 1: they fill no row of 128 tokens"):
        distillation.examples(tokenizer, limit=1)
