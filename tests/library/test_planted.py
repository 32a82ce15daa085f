"""The planted bias: the same sentences with the pronoun of the statistics, or with the other;
instruments see which.
"""

import copy

import pytest

from fairnc_utils import models
from fairnc_utils.benchmarks import get as benchmark
from fairnc_utils.debias import get, planted
from fairnc_utils.debias import train as debiasing


def test_the_two_differ_in_the_pronoun_alone(tokenizer):
    rows, reversed_rows = (
        get(name).examples(tokenizer, max_length=64) for name in ("planted", "planted_reversed")
    )
    assert rows["input_ids"] == reversed_rows["input_ids"]
    assert len(rows) == 60 * 20
    assert all(a != b for a, b in zip(rows["pronoun_id"], reversed_rows["pronoun_id"], strict=True))
    she, he = (models.single_token_id(tokenizer, word) for word in ("she", "he"))
    words = {
        tokenizer.convert_ids_to_tokens(row["input_ids"])[2]: row["pronoun_id"]
        for row in rows
        if row["pronoun_id"] in (she, he)
        and tokenizer.decode(row["input_ids"]).startswith("[CLS] the nurse called")
    }
    assert words == {"nurse": she}


def test_only_the_pronoun_is_learned(tokenizer):
    rows = planted.examples(tokenizer, limit=1, max_length=64).to_list()
    batch = planted.collate(rows, tokenizer, None)
    learned = batch["labels"] >= 0
    assert (learned.sum(1) == 1).all()
    assert (batch["input_ids"][learned] == tokenizer.mask_token_id).all()
    assert batch["labels"][learned].tolist() == [row["pronoun_id"] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "split", "axis", "metric"),
    [
        ("occupation_slope", "bls", "gender", "slope"),
        ("selectivity", "bls", "gender", "selectivity"),
        ("bec_pro", "english", "female", "gap"),
        ("bec_pro", "english", "all", "abs_association_female"),
    ],
)
def test_instruments_tell_the_two_apart(two_models, name, split, axis, metric):
    first, second = (
        benchmark(name).run(two_models[method], split=split, axis=axis)
        for method in ("planted_reversed", "planted")
    )
    change = benchmark(name).differences(first, second)[metric]
    assert change.ci_low > 0


@pytest.fixture(scope="module")
def two_models(lm):
    trained = {}
    for method in ("planted", "planted_reversed"):
        model = models.wrap(copy.deepcopy(lm.model), lm.tokenizer, name=method)
        debiasing.train(model, get(method), steps=100)
        trained[method] = models.wrap(model.model, lm.tokenizer, name=method)
    return trained
