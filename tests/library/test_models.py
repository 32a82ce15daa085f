"""Model adapters: the feature is what the classifier multiplies, in every family; specials are no
classes.
"""

import copy
import dataclasses
from importlib import resources

import huggingface_hub
import pytest
import torch
from helpers import ROOT
from helpers.families import TINY, TRANSFORMERS_4
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from fairnc_utils import assets, batching, measurement, models
from fairnc_utils.errors import FairNCError
from fairnc_utils.perplexity import perplexity

MASKED = [family for family, (_, kind, *_) in TINY.items() if kind == "masked"]
CAUSAL = [family for family, (_, kind, *_) in TINY.items() if kind == "causal"]


#: What families make of W h + b, written out.
AS_THE_FAMILY = {
    "gemma2": lambda logits: 5 * torch.tanh(logits / 5),
    "cohere": lambda logits: logits * 2,
    "granite": lambda logits: logits / 2,
}


def batch(lm):
    """Three sentences of different lengths, padded."""
    texts = ["the nurse said that she was tired .", "he reads .", "a woman and a man walk home ."]
    sequences = [lm.tokenizer.encode(text) for text in texts]
    width = max(map(len, sequences))
    ids = torch.tensor([s + [lm.tokenizer.pad_token_id] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    return ids, mask


@pytest.mark.parametrize("family", TINY)
def test_head_features_give_the_models_logits(family, tiny):
    lm = tiny(family)
    assert lm.model.num_parameters() == TINY[family][2]
    assert lm.kind == TINY[family][1]
    ids, mask = batch(lm)
    with torch.no_grad():
        logits = lm.model(input_ids=ids, attention_mask=mask).logits
        features = lm.features(ids, mask)
        computed = AS_THE_FAMILY.get(family, torch.Tensor)(
            features @ lm.weight.mT + (0 if lm.bias is None else lm.bias)
        )
        chances = lm.log_probabilities(features[0])
    real = mask.bool()
    assert logits.std() > 0.1
    torch.testing.assert_close(computed[real], logits[real], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(chances, logits[0].log_softmax(-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", TINY)
def test_encoder_space_is_the_raw_last_layer(family, tiny):
    if TRANSFORMERS_4 and family == "modernbert":
        pytest.skip("its hidden states end before the last norm")
    lm = tiny(family)
    ids, mask = batch(lm)
    with torch.no_grad():
        head, encoder = (lm.features(ids, mask, space=space) for space in ("head", "encoder"))
        last = lm.model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states[-1]
    torch.testing.assert_close(encoder[mask.bool()], last[mask.bool()], rtol=1e-5, atol=1e-5)
    assert torch.equal(head, encoder) == (family in CAUSAL)
    with pytest.raises(FairNCError, match="unknown space 'middle': choose head or encoder"):
        lm.features(ids, mask, space="middle")


@pytest.mark.parametrize("family", TINY)
def test_a_layer_is_the_state_after_it(family, tiny):
    lm = tiny(family)
    ids, mask = batch(lm)
    with torch.no_grad():
        states = lm.model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        first, last = (
            lm.features(ids, mask, space="encoder", layer=layer) for layer in (1, lm.layers)
        )
        lens = lm.features(ids, mask, layer=lm.layers)
        every = lm.features(ids, mask, space="encoder", layer="all")
        labelled, _ = lm.labelled_features(ids, mask, layer="all")
    torch.testing.assert_close(first[mask.bool()], states[1][mask.bool()])
    assert last.equal(lm.features(ids, mask, space="encoder"))
    assert lens.equal(lm.features(ids, mask))
    assert not first.allclose(last)
    assert every.equal(torch.stack([first, last]))
    assert labelled[-1].allclose(lm.labelled_features(ids, mask)[0])
    for wrong in (0, -1, lm.layers + 1):
        with pytest.raises(FairNCError, match=f"no hidden layer {wrong}: choose 1 to {lm.layers}"):
            lm.features(ids, mask, layer=wrong)


@pytest.mark.parametrize("family", TINY)
def test_padding_changes_no_feature(family, tiny):
    lm = tiny(family)
    ids, mask = batch(lm)
    with torch.no_grad():
        together = lm.features(ids, mask)
        for row in range(len(ids)):
            length = int(mask[row].sum())
            alone = lm.features(ids[row : row + 1, :length], mask[row : row + 1, :length])[0]
            torch.testing.assert_close(together[row, :length], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("labels", ["aligned", "shifted"])
@pytest.mark.parametrize("family", TINY)
def test_labelled_features_are_the_predicted_tokens_without_specials(family, labels, tiny):
    lm = tiny(family)
    ids, mask = batch(lm)
    features, labelled = lm.labelled_features(ids, mask, labels=labels)
    with torch.no_grad():
        every = lm.features(ids, mask)
    shift = int(labels == "shifted" or family in CAUSAL)
    expected = [
        (every[row, place - shift], ids[row, place])
        for row in range(len(ids))
        for place in range(shift, ids.shape[1])
        if mask[row, place] and ids[row, place].item() not in lm.tokenizer.all_special_ids
    ]
    assert labelled.tolist() == [label.item() for _, label in expected]
    torch.testing.assert_close(features, torch.stack([feature for feature, _ in expected]))
    assert not set(labelled.tolist()) & set(lm.special_ids)
    assert not features.requires_grad


def test_unknown_labels_are_an_error(tiny):
    lm = tiny("bert")
    with pytest.raises(FairNCError, match="unknown labels 'next': choose aligned or shifted"):
        lm.labelled_features(*batch(lm), labels="next")


@pytest.mark.parametrize("family", TINY)
def test_special_ids_hold_every_special_token(family, tiny):
    lm = tiny(family)
    for name in ("pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id", "unk_token_id"):
        assert getattr(lm.tokenizer, name) in lm.special_ids
    assert lm.max_length == 64


def test_a_classifier_that_is_never_called_is_named(tiny):
    lm = tiny("bert")
    lm.model.get_output_embeddings = lambda: torch.nn.Linear(16, 30_522)
    with pytest.raises(FairNCError, match="BertForMaskedLM does not call its output embeddings"):
        lm.features(*batch(lm))


@pytest.mark.skipif(TRANSFORMERS_4, reason="its DeBERTa gives the vocabulary's rows")
def test_rows_that_are_not_the_vocabularys_are_refused(tokenizer):
    config = AutoConfig.for_model(
        "deberta-v2",
        vocab_size=30_522,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        legacy=False,
    )
    with pytest.raises(FairNCError, match=r"mine: .* has 16 rows for a vocabulary of 30522 tokens"):
        models.wrap(AutoModelForMaskedLM.from_config(config), tokenizer, name="mine")


@pytest.mark.parametrize("name", ["gpu", "cpu:0:1", "meta", "cuda:99", "", "0.5"])
def test_an_unknown_device_is_one_line(name):
    with pytest.raises(FairNCError, match=f"device '{name}'.*choose auto") as raised:
        models.load("random", device=name)
    assert "\n" not in str(raised.value)


def test_a_model_without_an_output_classifier_is_named(tokenizer, tiny, tmp_path):
    bare = AutoModel.from_config(tiny("bert").model.config)
    with pytest.raises(
        FairNCError, match="mine: the model has no output classifier; load it as ForMaskedLM"
    ):
        models.wrap(bare, tokenizer, name="mine")
    bare.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(FairNCError, match=r"'BertModel'.* has no language modelling head"):
        models.load(str(tmp_path))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_saved_models_load_as_what_they_are(family, tiny, tmp_path):
    lm = tiny(family)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    again = models.load(str(tmp_path), device="cpu")
    assert (again.kind, again.name) == (lm.kind, str(tmp_path))
    assert not again.model.training
    ids, mask = batch(lm)
    with torch.no_grad():
        torch.testing.assert_close(again.features(ids, mask), lm.features(ids, mask))
    assert again.fingerprint == lm.fingerprint


def test_a_broken_model_folder_is_one_sentence(tiny, tmp_path):
    lm = tiny("bert")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(
        FairNCError, match=r"cannot be loaded: .* Give a local folder or a hub name"
    ):
        models.load(str(tmp_path), device="cpu")


def test_the_random_model_is_the_same_every_time():
    first, second = (models.load("random", device="cpu") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.model.num_parameters() == 1_050_266
    assert (
        models.wrap(models.random_model(seed=1), first.tokenizer, name="random").fingerprint
        != first.fingerprint
    )


def test_making_a_random_model_leaves_the_callers_randomness_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    models.random_model(seed=5)
    assert torch.rand(1) == expected


def test_fingerprint_sees_one_changed_weight(tiny):
    lm = tiny("roberta")
    before = lm.fingerprint
    assert lm.with_gender_direction(0, words=("she", "he")).fingerprint != before
    changed = tiny("roberta")
    with torch.no_grad():
        changed.model.lm_head.dense.bias[3] += 1e-3
    assert changed.fingerprint != before


# ------------------------------------------------------------------------------- the embedded model


def test_the_embedded_model_loads_in_single_precision(lm):
    assert {parameter.dtype for parameter in lm.model.parameters()} == {torch.float32}
    assert lm.model.num_parameters() == 22_744_506
    assert (lm.kind, tuple(lm.weight.shape), lm.max_length) == ("masked", (30_522, 384), 512)
    assert lm.bias.shape == (30_522,)


def pronoun_gap(lm):
    """ln P(she) − ln P(he) in a masked place of a few sentences."""
    she, he = (models.single_token_id(lm.tokenizer, word) for word in ("she", "he"))
    gaps = []
    for occupation in ("nurse", "engineer", "doctor", "carpenter", "librarian"):
        ids = torch.tensor([lm.tokenizer.encode(f"The {occupation} said that [MASK] was tired.")])
        with torch.no_grad():
            features = lm.features(ids, torch.ones_like(ids))[ids == lm.tokenizer.mask_token_id]
            chances = lm.log_probabilities(features)[0]
        gaps.append(float(chances[she] - chances[he]))
    return torch.tensor(gaps), (lm.bias[she] - lm.bias[he]).item()


def test_erasing_the_gender_direction_leaves_the_bias_term_alone(lm, one_thread):
    gaps, _ = pronoun_gap(lm)
    assert gaps.std() > 1  # the nurse is a she, the engineer a he
    assert gaps[0] > 0 > gaps[1]
    erased, bias = pronoun_gap(lm.with_gender_direction(0))
    torch.testing.assert_close(erased, torch.full_like(erased, bias), rtol=0, atol=1e-3)
    doubled, _ = pronoun_gap(lm.with_gender_direction(2))
    torch.testing.assert_close(doubled - bias, 2 * (gaps - bias), rtol=1e-3, atol=1e-3)


def test_scale_one_changes_nothing_and_no_edit_touches_the_original(lm):
    before = lm.weight.detach().clone()
    same = lm.with_gender_direction(1)
    torch.testing.assert_close(same.weight, before, rtol=0, atol=0)
    lm.with_gender_direction(0)
    assert torch.equal(lm.weight, before)
    assert lm.model.get_output_embeddings().weight is lm.weight
    with pytest.raises(FairNCError, match="not both single tokens"):
        lm.with_gender_direction(0, words=("she", "unhelpfulness"))


def test_a_class_of_ones_own_is_what_it_derives_from(tiny):
    lm = tiny("bert")
    lm.model.__class__ = type("Mine", (type(lm.model),), {})
    assert models.wrap(lm.model, lm.tokenizer, name="mine").kind == "masked"
    causal = tiny("gpt2")
    causal.model.__class__ = type("MyDecoder", (type(causal.model),), {})
    assert models.wrap(causal.model, causal.tokenizer, name="mine").kind == "causal"


def test_the_packaged_tokenizer_is_the_embedded_models():
    for packaged in resources.files("fairnc_utils").joinpath("data", "bert_uncased").iterdir():
        assert packaged.read_bytes() == (ROOT / "models/minilm-mlm" / packaged.name).read_bytes()


@pytest.mark.parametrize("family", CAUSAL)
def test_a_tokenizer_without_a_padding_token_measures_the_same(tiny, family):
    """Many causal models bring none; what is padded is masked, and never read."""
    lm = tiny(family)
    texts = ["the nurse said that she was tired .", "he reads ."]
    sequences = batching.tokenize(texts, lm.tokenizer)
    without = copy.deepcopy(lm.tokenizer)
    without.pad_token = None
    bare = dataclasses.replace(lm, tokenizer=without)
    pairs = [
        (measurement.statistics_of(each, sequences).sums, perplexity(each, sequences))
        for each in (lm, bare)
    ]
    torch.testing.assert_close(pairs[0][0], pairs[1][0])
    assert pairs[0][1] == pairs[1][1]
    assert bare.tokenizer.pad_token_id is None


def test_a_hub_that_does_not_answer_is_asked_once_and_only_its_cache_is_read(monkeypatch):
    asked = []

    def silent(url, timeout):
        raise ConnectionError("nobody there")

    def from_pretrained(*names, **options):
        asked.append(options["local_files_only"])
        raise OSError("it is not in the cached files.")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.utils.get_session(), "head", silent)
    monkeypatch.setattr(AutoConfig, "from_pretrained", from_pretrained)
    assets.hub_silence.cache_clear()
    with pytest.raises(FairNCError, match=r"files\. Give a local folder or a hub name$"):
        models.load("owner/model", device="cpu")
    assets.hub_silence.cache_clear()
    assert asked == [True]


def test_a_folder_or_file_without_a_configuration_is_no_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "notes.txt").write_text("no model")
    for name in ("runs", "notes.txt"):
        with pytest.raises(FairNCError, match=r"neither a folder with a config\.json nor a hub"):
            models.load(name, device="cpu")
