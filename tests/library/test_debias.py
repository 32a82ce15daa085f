"""Every method takes a step on real text, and its loss is the one that its definition says."""

import csv
import io
import itertools
import json
import math
import re

import pytest
import torch
from torch import nn

from fairnc_utils import assets, batching, corpora, debias, models, perplexity, swap, training
from fairnc_utils.debias import adept, adept_prefix, ase, base, language_modelling, mabel
from fairnc_utils.debias import train as debiasing
from fairnc_utils.debias.swap_pairs import SwapOptions
from fairnc_utils.errors import FairNCError
from fairnc_utils.regularizer import corrected, repaired

each_method = pytest.mark.parametrize(
    "method", debias.METHODS.values(), ids=lambda method: method.name
)


#: Models of fewer layers, or of other weights, than the one that is trained: see test_distillation.
STUDENTS = ("kd1", "kd2", "kd3", "kd4", "small1", "small2", "small3", "small4", "kd_self")


@pytest.fixture
def nli_folder(tmp_path, monkeypatch):
    """SNLI and MNLI as a user keeps them without the hub, three pairs each; one entailment of each
    names a gender.
    """
    rows = "premise,hypothesis,label\nA woman reads.,A person reads.,0\nA man runs.,He sleeps.,2\nA dog barks.,It is loud.,0\n"
    for name in ("stanfordnlp/snli", "nyu-mll/multi_nli"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "train.csv").write_text(
            rows.replace("A woman", "The " + ("girl" if "snli" in name else "queen"))
        )
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))


@pytest.fixture
def random_lm():
    return models.load("random", device="cpu")


@pytest.mark.parametrize("method", [m for m in debias.METHODS.values() if m.name not in STUDENTS])
def test_one_step_on_real_text(random_lm, method, monkeypatch, nli_folder):
    monkeypatch.setattr(ase, "FISHER_TEXTS", 4)
    if "masked" not in method.kinds:
        pytest.skip("of causal models: below")
    before = {name: tensor.clone() for name, tensor in random_lm.model.state_dict().items()}
    nc3 = None if method.without_nc3 else corrected()
    curve = debiasing.train(
        random_lm, method, regularizer=nc3, lam=1.0, steps=1, batch_size=32, texts=6
    )
    assert curve["task"].item() > 0
    assert nc3 is None or "penalty" in curve
    after = random_lm.model.state_dict()
    moved = any(not torch.equal(before[name], after[name]) for name in before)
    assert moved == (method.name != "adept_prefix")  # there the model stays and its prefix moves
    assert not random_lm.model.training


@each_method
def test_recipe_is_as_published(method):
    published = {
        "mlm": (2e-5, 3, 16),
        "clm": (2e-5, 3, 16),
        "bec": (2e-5, 3, 16),
        "cda": (2e-5, 3, 16),
        "dropout": (2e-5, 3, 16),
        "mabel": (5e-5, 2, 32),
        "mabel_nli": (5e-5, 2, 32),
        "ase": (2e-5, 50, 6),
        "adept": (5e-5, 10, 32),
        "adept_prefix": (5e-4, 10, 32),
        "planted": (2e-5, 2, 16),
        "planted_reversed": (2e-5, 2, 16),  # a control
        **dict.fromkeys(STUDENTS, (4e-4, 6, 512)),
    }
    recipe = method.recipe
    assert (recipe.lr, recipe.epochs, recipe.batch_size) == published[method.name]


def test_unknown_method_names_all():
    names = "mlm, bec, mabel, mabel_nli, ase, adept, adept_prefix, cda, clm, dropout"
    with pytest.raises(FairNCError, match=f"unknown method 'bce': choose {names}"):
        debias.get("bce")


def test_causal_models_are_refused(tiny):
    with pytest.raises(FairNCError, match="takes masked language models; tiny gpt2 is causal"):
        debiasing.train(tiny("gpt2"), debias.get("mlm"), steps=1)


@pytest.mark.parametrize("family", ["distilbert", "roberta"])
def test_other_families(tiny, family):
    lm = tiny(family)
    curve = debiasing.train(
        lm, debias.get("bec"), regularizer=corrected(), lam=1.0, steps=3, batch_size=32, texts=20
    )
    assert curve["penalty"].item() > 0


# --------------------------------------------------------------------------------------------- text


@pytest.fixture(scope="module")
def measured_on(tokenizer):
    """Token ids of every sentence that something is measured on."""
    rows = csv.DictReader(
        io.StringIO(assets.read("CrowS-Pairs/crows_pairs_anonymized.csv").decode())
    )
    sentences = {row[key] for row in rows for key in ("sent_more", "sent_less")}
    for split in ("dev", "test"):
        data = json.loads(assets.read(f"StereoSet/{split}.json"))["data"]
        sentences |= {
            s["sentence"] for kind in data.values() for item in kind for s in item["sentences"]
        }
    for text in itertools.chain(
        *(corpora.load("gap", split)["text"] for split in ("validation", "test"))
    ):
        sentences |= set(base.sentences(text))
    longer = [sentence.strip() for sentence in sentences if len(sentence.split()) > 4]
    return {tuple(ids) for ids in batching.tokenize(longer, tokenizer, max_length=128)}


@each_method
def test_no_training_sentence_is_measured_on(method, tokenizer, measured_on):
    if method.name == "mabel_nli":
        pytest.skip("SNLI and MNLI are on the hub")
    rows = method.examples(tokenizer, limit=3_000, max_length=128)
    keys = [key for key in rows.column_names if "ids" in key]
    texts = {tuple(ids) for key in keys for ids in rows[key]}
    assert not texts & measured_on


def test_sentences():
    text = "He said ``Go.'' Then Mr. Smith met J. Doe (late.) 3 men ran? \"Yes!\" ok."
    assert base.sentences(text) == [
        "He said ``Go.''",
        "Then Mr. Smith met J. Doe (late.)",
        "3 men ran?",
        '"Yes!" ok.',
    ]
    assert base.sentences("") == [""]


def test_mlm_and_bec_differ_by_the_swap_alone(tokenizer):
    texts = base.gap_sentences(20)
    mlm, bec, cda = (
        list(debias.get(name).examples(tokenizer, limit=20, max_length=128)["input_ids"])
        for name in ("mlm", "bec", "cda")
    )
    assert bec == batching.tokenize(list(map(swap.gender, texts)), tokenizer, max_length=128)
    assert cda == mlm + bec


# ------------------------------------------------------------------------------------------ batches


def test_batches_hold_every_row_once_an_epoch_in_rows_of_like_length(random_lm):
    method = debias.get("mlm")
    rows = method.examples(random_lm.tokenizer, limit=60, max_length=128).to_list()
    epochs = []
    stream = training.batches(
        rows,
        lambda drawn, generator: method.collate(drawn, random_lm.tokenizer, generator),
        size=8,
        seed=0,
        device=random_lm.device,
        new_epoch=lambda: epochs.append(1),
    )
    number = -(-len(rows) // 8)
    first, second = (list(itertools.islice(stream, number)) for _ in range(2))
    whole = [torch.where(b["labels"] >= 0, b["labels"], b["input_ids"]) for b in first]
    rows_seen = sorted(
        tuple(row[: mask.sum()].tolist())
        for ids, b in zip(whole, first, strict=True)
        for row, mask in zip(ids, b["attention_mask"], strict=True)
    )
    assert rows_seen == sorted(tuple(row["input_ids"]) for row in rows)
    padding = 1 - sum(b["attention_mask"].sum() for b in first) / sum(
        b["attention_mask"].numel() for b in first
    )
    assert padding < 0.2
    assert not torch.equal(first[0]["input_ids"], second[0]["input_ids"])
    assert len(epochs) == 2
    assert all(b["input_ids"].shape[1] % 8 == 0 for b in first)


def test_masked_loss_by_hand(tiny, tokenizer):
    lm = tiny("bert")
    batch = base.masked_batch(
        [[101, 1996, 6821, 102], [101, 2002, 102]], tokenizer, torch.Generator().manual_seed(0)
    )
    logits = lm.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    drawn = batch["labels"] >= 0
    expected = -logits.log_softmax(-1)[drawn].gather(1, batch["labels"][drawn][:, None]).mean()
    assert drawn.sum() == 2
    torch.testing.assert_close(base.language_model_loss(lm.model, batch), expected)


def test_dropout_sets_both_rates_and_leaves_the_configuration(tiny):
    for family in ("bert", "distilbert", "roberta"):
        model = tiny(family).model
        config = model.config.to_dict()
        language_modelling.more_dropout(model)
        rates = {
            name: module.p
            for name, module in model.named_modules()
            if isinstance(module, nn.Dropout)
        }
        assert set(rates.values()) == {0.15, 0.20}
        assert sum(rate == 0.15 for rate in rates.values()) == 2  # one for each layer's attention
        assert {getattr(module, "dropout_prob", 0.15) for module in model.modules()} == {0.15}
        assert model.config.to_dict() == config


# -------------------------------------------------------------------------------------------- MABEL


def test_mabel_pairs_say_what_the_sentence_says():
    pairs = mabel.pairs(500)
    assert len(pairs) > 450
    for premise, hypothesis in pairs:
        words_of_premise = set(re.findall(r"\w+", premise.lower()))
        assert words_of_premise & (
            {"he", "his", "him", "himself"}
            if hypothesis.startswith("He ")
            else {"she", "her", "hers", "herself"}
        )
        assert hypothesis.rstrip(".").split()[-1] in premise.lower()


def test_mabel_contrastive_by_hand():
    p = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    h = torch.tensor([[3.0, 4.0], [0.0, 1.0]])  # cosines: [.6, 0], [.8, 1]
    expected = (
        -(
            math.log(math.exp(0.6) / (math.exp(0.6) + 1))
            + math.log(math.exp(1) / (math.exp(0.8) + math.exp(1)))
        )
        / 2
    )
    assert mabel.contrastive(p, h, temperature=1.0).item() == pytest.approx(expected, rel=1e-5)
    assert mabel.contrastive(torch.eye(3), torch.eye(3)).item() < 1e-8  # ideal


def test_mabel_alignment_by_hand():
    p, h = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    swapped = torch.tensor([[0.6, 0.8], [0.0, 1.0]])  # its cosines with h: [.6, .8], [0, 1]
    assert mabel.alignment(p, h, swapped, h, temperature=0.5).item() == pytest.approx(
        4 * (0.16 + 0.64) / 2, rel=1e-5
    )
    assert mabel.alignment(p, h, p, h).item() == 0


def test_mabel_trains_its_sentence_head_along_and_ties_the_decoder(random_lm):
    debiasing.train(random_lm, debias.get("mabel"), steps=1, batch_size=4, texts=4)
    assert (
        random_lm.model.get_output_embeddings().weight
        is random_lm.model.get_input_embeddings().weight
    )
    assert torch.isfinite(random_lm.weight).all()


# ---------------------------------------------------------------------------------------------- ASE


def test_ase_sentences_hide_the_pronoun_and_mark_the_occupation(tokenizer):
    rows = ase.examples(tokenizer, limit=3)
    number = sum(map(len, ase.TEMPLATES.values()))
    assert len(rows) == number * 3 * 2
    assert number == 20
    batch = ase.collate(rows.to_list()[:4], tokenizer, None)
    assert (batch["labels"] >= 0).sum(1).tolist() == [1] * 4
    assert (
        tokenizer.convert_ids_to_tokens(batch["labels"][batch["labels"] >= 0]) == ["she", "he"] * 2
    )
    marked = zip(batch["input_ids"], batch["occupation"].bool(), strict=True)
    # "actor" has a gender
    assert {tokenizer.decode(ids[mark]) for ids, mark in marked} == {"accountant", "actuary"}
    female = sum(
        row["pronoun_id"] in tokenizer.convert_tokens_to_ids(["she", "her"]) for row in rows
    )
    assert female == len(rows) / 2


def test_ase_templates_are_not_those_that_are_measured_with():
    measured = (
        "that [MASK] was tired",
        "before [MASK] went home",
        "[MASK] was late.",
        "what [MASK] had found",
        "not answer.",
    )
    assert not any(
        part in template
        for group in ase.TEMPLATES.values()
        for template in group
        for part in measured
    )


def test_ase_orthogonality_by_hand():
    hidden = torch.tensor([[[1.0, 2.0], [-3.0, 4.0], [5.0, 6.0]]])
    marked = torch.tensor([[1, 1, 0]])
    assert ase.orthogonality(hidden, marked, torch.tensor([0.6, 0.8])).item() == pytest.approx(
        2.2 + 1.4
    )
    assert ase.orthogonality(hidden, marked, torch.tensor([0.0, 0.0])).item() == 0


def test_ase_consolidation_by_hand():
    model = nn.Linear(2, 1, bias=False)
    fisher, anchor = (
        {"weight": torch.tensor([[3.0, 5.0]])},
        {"weight": model.weight.detach().clone()},
    )
    assert ase.consolidation(model, anchor, fisher).item() == 0
    with torch.no_grad():
        model.weight += torch.tensor([[2.0, -1.0]])
    assert ase.consolidation(model, anchor, fisher).item() == pytest.approx(3 * 4 + 5 * 1, rel=1e-5)


def test_ase_fisher_is_the_mean_square_of_single_gradients(tiny, tokenizer):
    lm = tiny("bert")
    texts = batching.tokenize(
        ["the nurse said that she was tired .", "he reads a book ."], tokenizer
    )
    fisher = ase.fisher_diagonal(lm.model, tokenizer, texts)
    generator, name = torch.Generator().manual_seed(0), "bert.encoder.layer.0.output.dense.weight"
    expected = 0
    for text in texts:
        lm.model.zero_grad()
        base.language_model_loss(
            lm.model, base.masked_batch([text], tokenizer, generator)
        ).backward()
        expected = expected + lm.model.get_parameter(name).grad.square() / 2
    torch.testing.assert_close(fisher[name], expected)


def test_ase_gender_direction_separates_she_from_he(lm):
    direction = ase.gender_direction(lm)
    assert direction.norm().item() == pytest.approx(1, rel=1e-5)
    weight = lm.weight.detach()
    along = {
        word: float(weight[models.single_token_id(lm.tokenizer, word)] @ direction)
        for word in ("she", "he", "table")
    }
    low, high = sorted((along["she"], along["he"]))
    assert low < along["table"] < high


# -------------------------------------------------------------------------------------------- ADEPT


def test_adept_sentences_name_one_gender_or_none(tokenizer):
    rows = adept.examples(tokenizer, limit=30).to_list()
    counts = [
        sum(row["kind"] == kind for row in rows)
        for kind in (adept.FEMALE, adept.MALE, adept.NEUTRAL)
    ]
    assert counts == [30] * 3
    for row in rows:
        text = set(tokenizer.convert_ids_to_tokens(row["input_ids"]))
        assert not (text & {"she", "her"} and row["kind"] != adept.FEMALE)
        assert not (text & {"he", "his", "him"} and row["kind"] != adept.MALE)


def test_adept_js_divergence_by_hand():
    prototypes, neutral = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0], [9.0]])
    share = torch.tensor([1.0, 1.0, 0.0])
    p, q = ([math.exp(-((a - w) ** 2) / 2) for w in (0, 1)] for a in (0, 2))
    p, q = ([x / sum(row) for x in row] for row in (p, q))
    divergence = sum(
        0.5 * (a * math.log2(2 * a / (a + b)) + b * math.log2(2 * b / (a + b)))
        for a, b in zip(p, q, strict=True)
    )
    assert adept.js_divergence(neutral, prototypes, share, rho=1.0).item() == pytest.approx(
        divergence, rel=1e-5
    )
    middle = torch.tensor([[1.0], [1.0], [1.0]])
    assert adept.js_divergence(middle, prototypes, torch.ones(3), rho=1.0).item() == pytest.approx(
        0, abs=1e-6
    )
    far = torch.tensor([[0.0], [2.0]])  # each word at one prototype: one bit
    assert adept.js_divergence(far, prototypes, torch.ones(2), rho=0.05).item() == pytest.approx(
        1, rel=1e-5
    )
    assert adept.js_divergence(neutral, prototypes, torch.zeros(3)).item() == pytest.approx(
        0, abs=1e-6
    )


def test_adept_layer_change_by_hand():
    before = (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    after = (torch.tensor([[[1.0, 3.0], [7.0, 7.0]]]), torch.tensor([[[2.0, 0.0], [7.0, 7.0]]]))
    share = torch.tensor([[1.0, 0.0]])
    assert adept.layer_change(after, before, share).item() == pytest.approx((5 + 2) / 2)
    assert adept.layer_change(after, before, 0 * share).item() == 0


def test_adept_prototypes_are_the_mean_states_of_their_words(lm):
    rows = adept.examples(lm.tokenizer, limit=3).to_list()
    state = adept.prepare(lm.model, lm.tokenizer, rows, size=2)
    for kind in (adept.FEMALE, adept.MALE):
        states = []
        for row in rows:
            if row["kind"] == kind:
                ids = torch.tensor([row["input_ids"]])
                states.append(
                    lm.features(ids, torch.ones_like(ids), space="encoder")[0, row["place"]]
                )
        torch.testing.assert_close(
            state.prototypes[kind], torch.stack(states).mean(0), atol=1e-4, rtol=1e-4
        )
    assert not any(parameter.requires_grad for parameter in state.original.parameters())
    assert all(parameter.requires_grad for parameter in lm.model.parameters())


# ------------------------------------------------------------------------------------ ADEPT, prefix


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_prefix_is_attended_to_like_keys_and_values_of_its_own(tiny, family):
    """The first layer's attention, written out: softmax over the prefix's keys and the text's,
    weights on both values.
    """
    lm = tiny(family)
    attention = next(
        m for name, m in lm.model.base_model.named_modules() if name.endswith("attention.self")
    )
    outputs, inputs = [], []
    attention.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    attention.register_forward_hook(lambda module, arguments, output: outputs.append(output[0]))
    prefix = adept_prefix.Prefix(lm.model, None, length=3)
    torch.nn.init.normal_(prefix.vectors)
    ids = torch.tensor([lm.tokenizer.encode("she is a nurse")])
    with torch.no_grad():
        lm.features(ids, torch.ones_like(ids))
        hidden, heads = inputs[0][0], attention.num_attention_heads
        q, k, v = (
            f(hidden).unflatten(-1, (heads, -1)).transpose(0, 1)
            for f in (attention.query, attention.key, attention.value)
        )
        keys, values = (
            torch.cat([prefixed, new], dim=1)
            for prefixed, new in zip(prefix.vectors[0], (k, v), strict=True)
        )
        weights = (q @ keys.mT * q.shape[-1] ** -0.5).softmax(-1)
        expected = (weights @ values).transpose(0, 1).flatten(1)
    torch.testing.assert_close(outputs[0][0], expected)


def test_prefix_does_not_see_padding_and_is_all_that_is_trained(tiny):
    lm = tiny("bert")
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    plain = lm.features(*_ids(lm, ["she is a nurse"])).detach()
    curve = debiasing.train(
        lm, debias.get("adept_prefix"), steps=2, texts=40, batch_size=6, seed=0, log_every=1
    )
    assert curve["loss"].notna().all()
    assert all(torch.equal(value, before[name]) for name, value in lm.model.state_dict().items())
    alone = lm.features(*_ids(lm, ["she is a nurse"])).detach()
    assert not torch.allclose(alone, plain)  # the prefix stays in the model that was trained
    padded = lm.features(
        *_ids(
            lm, ["she is a nurse", "the nurse said that she was tired . he was not tired at all ."]
        )
    )
    torch.testing.assert_close(padded[0, : alone.shape[1]].detach(), alone[0], rtol=1e-4, atol=1e-5)


def _ids(lm, texts):
    batch = batching.padded_batch(
        [lm.tokenizer.encode(text) for text in texts], lm.tokenizer.pad_token_id
    )
    width = batch["attention_mask"].sum(1).max()
    return batch["input_ids"][:, :width], batch["attention_mask"][:, :width]


# ---------------------------------------------------------------------------- MABEL, original pairs


def test_original_mabel_pairs_are_entailments_that_name_a_gender(nli_folder, tokenizer):
    pairs = mabel.nli_pairs()
    assert pairs == [
        ("The girl reads.", "A person reads."),
        ("The queen reads.", "A person reads."),
    ]
    rows = debias.get("mabel_nli").examples(tokenizer, limit=1)
    assert "boy" in tokenizer.decode(rows[0]["swapped_ids"])


def test_original_mabel_says_what_is_missing(tokenizer):
    with pytest.raises(
        FairNCError, match=r"stanfordnlp/snli.*put a copy at \$FAIRNC_DATA/stanfordnlp/snli"
    ):
        debias.get("mabel_nli").examples(tokenizer)


# Causal models


def test_a_causal_batch_predicts_every_token(bpe_tokenizer):
    batch = base.causal_batch([[5, 6, 7], [8]], bpe_tokenizer)
    assert batch["labels"][0, :3].tolist() == [5, 6, 7]
    assert batch["labels"][1, :2].tolist() == [8, -100]
    assert (batch["labels"] >= 0).equal(batch["attention_mask"].bool())


@pytest.mark.parametrize("name", ["clm", "cda"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_loss_of_a_causal_model_is_that_of_plain_loops(tiny, name, family):
    lm, method = tiny(family), debias.get(name)
    rows = method.examples(lm.tokenizer, limit=2, max_length=24).to_list()[:3]
    batch = method.collate_for(lm)(rows, lm.tokenizer, torch.Generator())
    losses = []
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            logs = lm.model(ids).logits[0, :-1].log_softmax(-1)
            losses += (-logs.gather(1, ids[0, 1:, None])[:, 0]).tolist()
        value = method.loss(lm.model, batch, None)
    assert value.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("regularizer", [None, repaired(min_weight=1), SwapOptions(form="ratio")])
def test_causal_models_are_trained_with_each_regularizer(tiny, regularizer):
    lm = tiny("llama")
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    curve = debiasing.train(
        lm,
        debias.get("cda"),
        regularizer=regularizer,
        lam=0.1,
        steps=2,
        batch_size=4,
        texts=3,
        log_every=1,
    )
    assert ("penalty" in curve) == (regularizer is not None)
    assert any(
        not torch.equal(before[name], tensor) for name, tensor in lm.model.state_dict().items()
    )


def test_a_method_takes_its_kind_of_model(tiny, lm):
    with pytest.raises(
        FairNCError, match="method clm takes causal language models; models/minilm-mlm is masked"
    ):
        debiasing.train(lm, debias.get("clm"), steps=1)
    with pytest.raises(
        FairNCError, match="method bec takes masked language models; tiny gpt2 is causal"
    ):
        debiasing.train(tiny("gpt2"), debias.get("bec"), steps=1)


def test_perplexity_of_a_causal_model_is_that_of_plain_loops(tiny):
    lm = tiny("llama")
    sequences = [
        lm.tokenizer(text)["input_ids"]
        for text in ("the nurse said that she was tired .", "a man walk home .")
    ]
    total = count = 0
    for ids in sequences:
        with torch.no_grad():
            logs = lm.model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        total -= logs.gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
        count += len(ids) - 1
    assert perplexity.perplexity(lm, sequences) == {
        "perplexity": pytest.approx(math.exp(total / count), rel=1e-5)
    }
