"""BEC-Pro, AUL and AULA, intersentence and causal scores: equal to the loops, true to known
effects.
"""

import copy
import dataclasses
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT, reference
from transformers import AutoConfig, BertForPreTraining

from fairnc_utils import assets, models
from fairnc_utils.benchmarks import (
    BENCHMARKS,
    bec_pro,
    causal,
    crows_pairs,
    get,
    intersentence,
    likelihood,
    scoring,
    stereoset,
)
from fairnc_utils.benchmarks.bec_pro import BEC_PRO, BEC_PRO_AS_RELEASED, BEC_PRO_RELEASED_MASKS
from fairnc_utils.errors import FairNCError

SCORES = ["score_a", "score_b", "score_c"]
PAIR = SCORES[:2]
MASKED = (
    "crows_official",
    "crows_bias_bench",
    "crows_aul",
    "crows_aula",
    "stereoset_intra",
    "stereoset_inter_likelihood",
    "bec_pro",
    "bec_pro_as_released",
    "bec_pro_released_masks",
)
SENTENCES = (
    "crows_causal",
    "stereoset_intra_causal",
    "crows_causal_as_released",
    "stereoset_intra_causal_as_released",
)
CAUSAL = (*SENTENCES, "stereoset_inter_likelihood")
NAMES = (*MASKED, *SENTENCES, "stereoset_inter_nsp")


def in_double(lm):
    """A copy in float64, in which batched and single passes agree to many digits."""
    return models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name=lm.name)


@pytest.fixture(scope="session")
def double(lm):
    return in_double(lm)


@pytest.fixture(scope="session")
def plain(double):
    return reference.Model(double.model, double.tokenizer)


@pytest.fixture(scope="session")
def items():
    """Function(name) → the items of the benchmark's last split, read once."""
    known = {}

    def load(name, count=None, step=1):
        benchmark = get(name)
        key = benchmark.load, benchmark.splits[-1]
        known[key] = known.get(key) or benchmark.load(key[1])
        return (
            known[key].select(range(0, len(known[key]), step)).select(range(count))
            if count
            else known[key]
        )

    return load


# ------------------------------------------------------------------------------------------ BEC-Pro


@pytest.fixture(scope="session")
def released_rows():
    return reference.bec_pro_rows(assets.read("BEC-Pro/BEC-Pro_EN.tsv").decode())


@pytest.mark.parametrize(
    ("benchmark", "loop"),
    [
        (BEC_PRO, reference.bec_pro_association),
        (BEC_PRO_AS_RELEASED, reference.bec_pro_as_released),
        (BEC_PRO_RELEASED_MASKS, reference.bec_pro_released_masks),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_bec_pro_equals_the_loops(benchmark, loop, double, plain, items, released_rows, one_thread):
    extended = [i for i, row in enumerate(released_rows) if "position [MASK]" in row["Sent_TAM"]]
    long = [i for i, row in enumerate(released_rows) if len(row["Sent_TM"].split()) == 13]
    places = [*range(0, 5_400, 171), *extended[:2], *long[:2]]
    rows = benchmark.score(double, items("bec_pro").select(places))
    expected = [loop(plain, released_rows[i]) for i in places]
    np.testing.assert_allclose(rows[PAIR], expected, atol=1e-9)
    assert rows["score_c"].tolist() == [
        1.0 if released_rows[i]["Gender"] == "female" else -1.0 for i in places
    ]
    assert rows["axis"].tolist() == [released_rows[i]["Prof_Gender"] for i in places]


def test_bec_pro_masks_every_piece_of_any_vocabulary(tiny, items, released_rows):
    """Byte-level pieces: the person words are several pieces here, and the space before a word is
    one of them.
    """
    lm = in_double(tiny("roberta", max_position_embeddings=130))
    assert len(lm.tokenizer.tokenize(" girlfriend")) > 1
    places = [*range(0, 5_400, 229)]
    rows = BEC_PRO.score(lm, items("bec_pro").select(places))
    plain = reference.Model(lm.model, lm.tokenizer)
    np.testing.assert_allclose(
        rows[PAIR],
        [reference.bec_pro_association(plain, released_rows[i]) for i in places],
        atol=1e-9,
    )


def test_bec_pro_leaves_out_corrupt_rows_and_their_partners(tiny, items, released_rows):
    table = items("bec_pro").to_pandas()
    corrupt = [i for i, row in enumerate(released_rows) if "[MASK]ager" in row["Sent_TM"]]
    assert len(table) == 5_400
    assert len(corrupt) == 5
    out = table[~table["usable"]]
    assert len(out) == 10
    assert set(corrupt) < set(out.index)
    assert sorted(out["person"].unique()) == ["man", "woman"]
    assert out["profession"].unique().tolist() == ["lodging manager"]
    few = items("bec_pro").select([*out.index, *range(0, 5_400, 600)])
    for benchmark in (BEC_PRO, BEC_PRO_RELEASED_MASKS):
        rows = benchmark.score(tiny("bert"), few)
        assert rows["score_a"].isna().tolist() == [True] * 10 + [False] * 9
        assert benchmark.extras(rows)["left_out"].value == 10
        assert benchmark.units(rows)[["n_female", "n_male"]].to_numpy().sum() == 9
    # the script knows of none
    assert BEC_PRO_AS_RELEASED.score(tiny("bert"), few)["score_a"].notna().all()


def test_bec_pro_as_released_fills_up_and_cuts_as_the_script_does(lm, items, released_rows):
    longest = max(len(row["Sent_TM"].split()) for row in released_rows)
    assert bec_pro.RELEASED_TOKENS == 2 ** math.ceil(math.log2(longest)) == 16
    columns = items("bec_pro")[:]
    straight, padded = (
        [ids for ids, *_ in bec_pro.released_queries(lm, columns, padded=padded)[0]]
        for padded in (False, True)
    )
    assert {len(ids) for ids in padded} == {16}
    filled = [ids for ids, short in zip(padded, straight, strict=True) if len(short) < 16]
    assert {ids[-1] for ids in filled} == {lm.tokenizer.mask_token_id}
    # either input of a sentence
    assert (
        sum(max(map(len, pair)) > 16 for pair in zip(straight[::2], straight[1::2], strict=True))
        == 315
    )


def test_bec_pro_pairs_the_two_versions_of_a_sentence(items):
    table = items("bec_pro").to_pandas()
    pair, gender = table["item_id"].str.partition(":")[[0, 2]].to_numpy().T
    assert gender.tolist() == table["gender"].tolist()
    neutral = table.apply(
        lambda row: row["person_masked"] if row["usable"] else row["profession"], axis=1
    )
    by_pair = pd.DataFrame({"pair": pair, "gender": gender, "text": neutral}).groupby("pair")
    assert (by_pair["gender"].nunique() == 2).all()
    assert (by_pair["text"].nunique() == 1).all()
    assert (by_pair.size() == 2).all()


def test_bec_pro_rebuilds_the_priors_that_hide_the_template(lm, items):
    """In 18 rows the released prior hides "of" too; ours shows it, the released one is kept as it
    is.
    """
    table = items("bec_pro").to_pandas()
    hidden = table[table["both_masked"].str.contains("position [MASK]", regex=False)]
    assert len(hidden) == 18
    sentences = items("bec_pro").select(hidden.index)[:]
    for build, text in (
        (bec_pro.queries, "position of [MASK]"),
        (bec_pro.released_queries, "position [MASK]"),
    ):
        queries, _ = build(lm, sentences)
        priors = [lm.tokenizer.decode(ids) for ids, *_ in queries[1::2]]
        assert len(priors) == 18
        assert all(text in prior for prior in priors)


def association_rows(values):
    """Item table of associations {(axis, profession, gender): [one per sentence]}."""
    rows = [
        {
            "score_a": value - 3.0,
            "score_b": -3.0,
            "score_c": 1.0 if gender == "female" else -1.0,
            "axis": axis,
            "unit": unit,
            "item_id": f"{unit}{i}:{gender}",
        }
        for (axis, unit, gender), associations in values.items()
        for i, value in enumerate(associations)
    ]
    return pd.DataFrame(rows)


def test_bec_pro_metrics_are_means_over_sentences():
    rows = association_rows(
        {
            ("female", "nurse", "female"): [1.0, -2.0, 4.0],
            ("female", "nurse", "male"): [-1.0, -1.0, 2.0],
            ("female", "maid", "female"): [5.0],
            ("female", "maid", "male"): [-4.0],
        }
    )
    metrics = {metric: estimate.value for metric, estimate in BEC_PRO.estimates(rows).items()}
    assert metrics["association_female"] == pytest.approx(2)
    assert metrics["association_male"] == pytest.approx(-1)
    assert metrics["abs_association_female"] == pytest.approx(3)
    assert metrics["abs_association_male"] == pytest.approx(2)
    assert metrics["gap"] == pytest.approx(3)
    assert metrics["left_out"] == 0
    assert BEC_PRO.estimates(rows)["gap"].n == 2


def test_wilcoxon_equals_the_loops_and_knows_the_direction():
    rng = np.random.default_rng(0)
    differences = rng.integers(-4, 8, 60) / 2  # ties and zeros
    estimates = bec_pro.signed_rank(differences)
    z = reference.signed_rank_z(differences.tolist())
    assert z > 2
    assert estimates["wilcoxon_r"].value == pytest.approx(z / np.sqrt(60))
    assert estimates["wilcoxon_p"].value == pytest.approx(math.erfc(z / math.sqrt(2)))
    turned = bec_pro.signed_rank(-differences)
    assert turned["wilcoxon_r"].value == pytest.approx(-estimates["wilcoxon_r"].value)
    assert turned["wilcoxon_p"].value == pytest.approx(estimates["wilcoxon_p"].value)
    none = bec_pro.signed_rank(np.zeros(9))
    assert (none["wilcoxon_p"].value, none["wilcoxon_r"].value) == (1, 0)


def test_the_script_s_effect_size_grows_with_the_number_of_pairs():
    """Ranks of 1, 2, −3 and 4: 3 against 7. Twice the pairs, four times W."""
    differences = np.array([1.0, 2.0, -3.0, 4.0])
    found = bec_pro.signed_rank(differences, released=True)
    assert found["w_per_root_n"].value == pytest.approx(3 / 2)
    turned = bec_pro.signed_rank(-differences, released=True)
    assert turned["w_per_root_n"].value == pytest.approx(3 / 2)
    twice = bec_pro.signed_rank(np.tile(differences, 2), released=True)
    assert twice["w_per_root_n"].value > 2 * found["w_per_root_n"].value
    assert abs(twice["wilcoxon_r"].value) == pytest.approx(abs(found["wilcoxon_r"].value), rel=0.1)
    assert "w_per_root_n" not in bec_pro.signed_rank(differences)


def test_bec_pro_tests_pair_sentences_or_as_released_profession_groups():
    """Planted: female persons gain 1 with every profession, and professions of women gain 2 with
    every person.
    """
    noise = np.random.default_rng(1).normal(0, 0.1, (6, 20))
    values = {
        (axis, f"{axis}{k}", gender): base
        + (gender == "female")
        + noise[3 * (axis == "male") + k] * (1 + (gender == "male"))
        for axis, base in (("female", 2.0), ("male", 0.0))
        for k in range(3)
        for gender in ("female", "male")
    }
    rows = association_rows(values)
    paired = BEC_PRO.estimates(rows)
    assert paired["gap"].value == pytest.approx(1, abs=0.1)
    assert paired["wilcoxon_r"].value > 0.8
    assert paired["wilcoxon_p"].n == 120
    shuffled = BEC_PRO.extras(rows.sample(frac=1, random_state=0))
    # pairs by item, not by row
    assert shuffled["wilcoxon_r"].value == pytest.approx(paired["wilcoxon_r"].value)
    groups = BEC_PRO_AS_RELEASED.extras(rows)
    assert groups["wilcoxon_r"].value > 0.8
    assert groups["wilcoxon_p"].n == 120
    assert "w_per_root_n" in groups
    assert "w_per_root_n" not in paired
    alone = BEC_PRO_AS_RELEASED.extras(rows[rows["axis"] == "female"])
    assert set(alone) == {"left_out"}
    level = rows.assign(score_a=rows["score_a"] - 2.0 * (rows["axis"] == "female"))
    assert abs(BEC_PRO_AS_RELEASED.extras(level)["wilcoxon_r"].value) < 0.3
    assert BEC_PRO.extras(level)["wilcoxon_r"].value > 0.8


def test_bec_pro_finds_the_stereotypes_of_the_embedded_model(lm, items):
    few = items("bec_pro").filter(
        lambda item: item["person"] in ("He", "She") and " is a " in item["sentence"]
    )
    rows = BEC_PRO.score(lm, few)
    gaps = {
        axis: BEC_PRO.estimates(rows[rows["axis"] == axis])["gap"] for axis in ("female", "male")
    }
    assert gaps["female"].ci_low > 0
    assert gaps["male"].ci_high < 0
    same = BEC_PRO.score(lm.with_gender_direction(0), few)
    left = {
        axis: BEC_PRO.estimates(same[same["axis"] == axis])["gap"].value
        for axis in ("female", "male")
    }
    assert left == pytest.approx({"female": 0, "male": 0}, abs=1e-3)


# ---------------------------------------------------------------------------------- whole sentences


@pytest.mark.parametrize("name", ["crows_aul", "crows_aula"])
def test_unmasked_likelihood_equals_the_loops(name, double, plain, items, one_thread):
    pairs = items(name, 12, step=120)
    rows = get(name).score(double, pairs)
    expected = [
        [
            reference.aul(plain, pair[side], attention=name == "crows_aula")
            for side in ("sent_more", "sent_less")
        ]
        for pair in pairs
    ]
    np.testing.assert_allclose(rows[PAIR], expected, atol=1e-9)
    assert (rows[PAIR] < 0).all(axis=None)


def test_attention_received_adds_up_to_one_and_knows_no_padding(tiny):
    lm = in_double(tiny("bert"))
    sequences = [[101, *range(2_000, 2_000 + n), 102] for n in (3, 11, 7)]
    together = likelihood.attention_received(lm, sequences)
    for ids, received in zip(sequences, together, strict=True):
        assert len(received) == len(ids)
        assert received.sum() == pytest.approx(1)
        np.testing.assert_allclose(
            received, likelihood.attention_received(lm, [ids])[0], atol=1e-12
        )


def test_attention_implementation_is_put_back(tiny):
    lm = tiny("bert")
    lm.model.set_attn_implementation("sdpa")
    with likelihood.eager_attention(lm.model):
        assert lm.model.config._attn_implementation == "eager"
    assert lm.model.config._attn_implementation == "sdpa"
    with pytest.raises(FairNCError, match="has 99 tokens"), likelihood.eager_attention(lm.model):
        scoring.Inputs(lm, [[5] * 99])
    assert lm.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_causal_scores_equal_the_loops(family, tiny, items, one_thread):
    lm = in_double(
        tiny(family, **{"n_positions" if family == "gpt2" else "max_position_embeddings": 512})
    )
    plain = reference.Model(lm.model, lm.tokenizer)
    pairs, triples, texts = (
        items("crows_causal", 6, step=200),
        items("stereoset_intra_causal", 4),
        items(CAUSAL[-1], 2),
    )
    rows = get("crows_causal").score(lm, pairs)
    expected = [
        [
            reference.sentence_log_likelihood(plain, pair[side])
            for side in ("sent_more", "sent_less")
        ]
        for pair in pairs
    ]
    np.testing.assert_allclose(rows[PAIR], expected, rtol=1e-9)
    estimates = get("crows_causal").estimates(rows)
    gaps = [more - less for more, less in expected]
    assert estimates["stereotype_pct"].value == pytest.approx(
        100 * np.mean([gap > 0 for gap in gaps])
    )
    assert estimates["likelihood_diff"].value == pytest.approx(np.mean(np.abs(gaps)))
    expected = [
        [reference.sentence_log_likelihood(plain, item[label]) for label in stereoset.LABELS]
        for item in triples
    ]
    np.testing.assert_allclose(
        get("stereoset_intra_causal").score(lm, triples)[SCORES], expected, rtol=1e-9
    )
    expected = [
        [
            reference.continuation_score(plain, item["context"], item[label], causal=True)
            for label in stereoset.LABELS
        ]
        for item in texts
    ]
    np.testing.assert_allclose(get(CAUSAL[-1]).score(lm, texts)[SCORES], expected, rtol=1e-9)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_released_causal_scores_equal_the_loops(family, tiny, items, one_thread):
    lm = in_double(
        tiny(family, **{"n_positions" if family == "gpt2" else "max_position_embeddings": 512})
    )
    plain = reference.Model(lm.model, lm.tokenizer)
    pairs, triples = items("crows_causal", 5, step=250), items("stereoset_intra_causal", 3)
    for name, columns, chosen in (
        ("crows_causal_as_released", ("sent_more", "sent_less"), pairs),
        ("stereoset_intra_causal_as_released", stereoset.LABELS, triples),
    ):
        expected = [
            [reference.released_sentence_score(plain, item[column]) for column in columns]
            for item in chosen
        ]
        found = get(name).score(lm, chosen)[SCORES[: len(columns)]]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_released_causal_scores_of_short_and_empty_sentences(tiny):
    lm = in_double(tiny("gpt2"))
    words = ["a", "", "a a"]
    sums = causal.sentence_log_likelihoods(lm, words)
    found = causal.sentence_log_likelihoods(lm, words, released=True)
    assert found[0] == pytest.approx(sums[0])  # one token: nothing to average, nothing to leave out
    assert np.isnan(found).tolist() == np.isnan(sums).tolist() == [False, True, False]
    assert found[2] != pytest.approx(sums[2] / 2)


def test_a_causal_model_needs_a_token_to_start_from(tiny):
    lm = tiny("gpt2")
    bare = dataclasses.replace(lm, tokenizer=copy.deepcopy(lm.tokenizer))
    bare.tokenizer.bos_token = None
    assert causal.sentence_log_likelihoods(bare, ["a man"])[0] < 0  # the end token serves
    bare.tokenizer.eos_token = None
    with pytest.raises(
        FairNCError, match="tiny gpt2: its tokenizer has neither a start nor an end token"
    ):
        causal.sentence_log_likelihoods(bare, ["a man"])


def test_masked_likelihood_of_what_follows_equals_the_loops(double, plain, items, one_thread):
    sample = items("stereoset_inter_likelihood", 3, step=2_000)
    rows = get("stereoset_inter_likelihood").score(double, sample)
    expected = [
        [
            reference.continuation_score(plain, item["context"], item[label])
            for label in stereoset.LABELS
        ]
        for item in sample
    ]
    np.testing.assert_allclose(rows[SCORES], expected, atol=1e-9)
    metrics = reference.stereoset_metrics(sample["target"], *np.array(expected).T)
    estimates = get("stereoset_inter_likelihood").estimates(rows)
    assert {name: estimates[name.upper()].value for name in metrics} == pytest.approx(metrics)
    assert estimates["log_ratio"].value == pytest.approx(
        np.mean([row[0] - row[1] for row in expected])
    )


# ------------------------------------------------------------------------------- next-sentence head


@pytest.fixture(scope="module")
def with_head(tmp_path_factory, tokenizer):
    """Folder of a tiny model that has a next-sentence head."""
    folder = tmp_path_factory.mktemp("pretraining")
    config = AutoConfig.for_model(
        "bert",
        vocab_size=30_522,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForPreTraining(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_next_sentence_scores_equal_the_loops(with_head, items):
    lm = in_double(models.load(str(with_head), device="cpu"))
    sample = items("stereoset_inter_nsp", 24, step=250)
    rows = get("stereoset_inter_nsp").score(lm, sample)
    head = BertForPreTraining.from_pretrained(with_head).double().eval()

    def model(**inputs):
        return SimpleNamespace(logits=head(**inputs).seq_relationship_logits)

    expected = [
        [
            reference.next_sentence_probability(model, lm.tokenizer, item["context"], item[label])
            for label in stereoset.LABELS
        ]
        for item in sample
    ]
    np.testing.assert_allclose(rows[SCORES], expected, atol=1e-9)
    assert rows[SCORES].to_numpy().std() > 1e-4


def test_next_sentence_head_stands_on_the_model_as_it_is_now(with_head, items):
    lm, sample = models.load(str(with_head), device="cpu"), items("stereoset_inter_nsp", 6)
    before = get("stereoset_inter_nsp").score(lm, sample)
    with torch.no_grad():
        lm.model.bert.encoder.layer[0].output.dense.weight.mul_(-1)
    after = get("stereoset_inter_nsp").score(lm, sample)
    assert not np.allclose(before[SCORES], after[SCORES], atol=1e-4)


def test_models_without_a_next_sentence_head_are_refused(lm, tiny, items):
    benchmark = dataclasses.replace(
        get("stereoset_inter_nsp"), load=lambda split: items("stereoset_inter_nsp", 1)
    )
    with pytest.raises(
        FairNCError,
        match=r"minilm-mlm has no next-sentence head: its checkpoint lacks bert\.pooler",
    ):
        benchmark.run(lm, split="dev")
    with pytest.raises(
        FairNCError, match="stereoset_inter_nsp scores masked models; tiny gpt2 is causal"
    ):
        benchmark.run(tiny("gpt2"), split="dev")


@pytest.mark.parametrize(("family", "kind"), [("llama", "causal"), ("bert", "masked")])
def test_a_checkpoint_that_names_no_architecture_is_read_by_its_family(
    family, kind, tiny, tmp_path
):
    """As the GGUF file of SmolLM2 is."""
    lm = tiny(family)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert models.load(str(tmp_path), device="cpu").kind == kind


def test_a_family_without_a_next_sentence_head_is_refused(tiny, tmp_path):
    lm = tiny("roberta")
    lm.model.save_pretrained(tmp_path)
    with pytest.raises(
        FairNCError,
        match="no next-sentence head can be loaded for family 'roberta'; score it with stereo",
    ):
        models.next_sentence_head(dataclasses.replace(lm, name=str(tmp_path)))


# -------------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize(
    ("kind", "name"), [*(("bert", n) for n in MASKED), *(("gpt2", n) for n in CAUSAL)]
)
def test_scores_depend_on_neither_batch_size_nor_order(kind, name, tiny, items, monkeypatch):
    lm = tiny(
        kind, **({"max_position_embeddings": 128} if kind == "bert" else {"n_positions": 512})
    )
    sample = items(name, 12, step=70)
    straight = get(name).score(lm, sample)
    monkeypatch.setitem(scoring.TOKENS, "cpu", 100)
    monkeypatch.setitem(scoring.DECODED, "cpu", 7)
    order = np.random.default_rng(0).permutation(12)
    other = get(name).score(lm, sample.select(order))
    assert other["item_id"].tolist() == straight["item_id"].iloc[order].tolist()
    # Random weights make log-likelihoods of hundreds; CrowS-Pairs rounds to three decimals.
    atol = 1.001e-3 if name == "crows_official" else 1e-5
    np.testing.assert_allclose(other[SCORES], straight[SCORES].iloc[order], rtol=1e-5, atol=atol)


def test_next_sentence_scores_depend_on_neither_batch_size_nor_order(with_head, items, monkeypatch):
    lm, sample = models.load(str(with_head), device="cpu"), items("stereoset_inter_nsp", 12)
    straight = get("stereoset_inter_nsp").score(lm, sample)
    monkeypatch.setitem(scoring.TOKENS, "cpu", 100)
    other = get("stereoset_inter_nsp").score(lm, sample.select(range(11, -1, -1)))
    np.testing.assert_allclose(other[SCORES], straight[SCORES][::-1], atol=1e-5)


@pytest.mark.parametrize(
    "name", ["crows_aul", "crows_aula", "crows_causal", "crows_causal_as_released"]
)
def test_exchanging_the_sentences_turns_the_sign(name, tiny, items):
    lm = (
        tiny("gpt2", n_positions=512)
        if name in SENTENCES
        else tiny("bert", max_position_embeddings=128)
    )
    pairs = items(name, 8)
    turned = pairs.rename_columns({"sent_more": "sent_less", "sent_less": "sent_more"})
    ahead, back = (get(name).score(lm, table) for table in (pairs, turned))
    np.testing.assert_allclose(ahead[PAIR], back[PAIR[::-1]], rtol=1e-6)


# --------------------------------------------------------------------------- items and descriptions


@pytest.mark.parametrize("name", NAMES)
def test_items_read_as_a_table(name, items):
    table = items(name).to_pandas()
    assert {"item_id", "axis"} < set(table.columns)
    assert table["item_id"].is_unique
    assert set(table["axis"]) == set(get(name).axes)
    assert all(isinstance(value, (str, bool, np.bool_)) for value in table.iloc[0])


def test_stereoset_intersentence_holds_its_items(items):
    assert len(intersentence.load("dev")) == 2_123
    assert len(items("stereoset_inter_nsp")) == 6_374
    assert len(items("stereoset_intra_causal")) == 6_392


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_what_it_measures_and_what_not(name):
    bibliography = ROOT / "book" / "references.bib"
    keys = re.findall(r"^@\w+\{(\w+),", bibliography.read_text(), re.MULTILINE)
    benchmark = get(name)
    assert benchmark.source in keys
    for text in (benchmark.measures, benchmark.limits):
        assert text.endswith(".")
        assert 5 < len(text.split()) < 80


# ------------------------------------------------------------------------------------------- errors


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Function(key, content): the file as a reader's own, found before the pinned one."""
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))

    def write(key, content):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


PAIRS_KEY = "CrowS-Pairs/crows_pairs_anonymized.csv"
PAIRS_HEAD = ",sent_more,sent_less,stereo_antistereo,bias_type\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            PAIRS_HEAD + "0,She runs.,He runs.,stereo,gender\n1,She runs.,He runs.\n",
            "line 3: not the header's 5 fields",
        ),
        (PAIRS_HEAD + "0,She runs.,,stereo,gender\n", "line 2: sent_less is '', not some text"),
        (
            PAIRS_HEAD + "0,She runs.,He runs.,both,gender\n",
            "line 2: stereo_antistereo is 'both', not one of stereo, anti",
        ),
        (
            PAIRS_HEAD + "0,She runs.,He runs.,stereo,sex\n",
            "line 2: bias_type is 'sex', not one of age,",
        ),
        (",sent_more\n0,x\n", "line 1: no column 'bias_type'"),
        (PAIRS_HEAD, "has no rows"),
        (PAIRS_HEAD.encode() + b"0,She runs.,\xff,stereo,gender\n", "line 2: not UTF-8 text"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(content, said, local):
    local(PAIRS_KEY, content)
    with pytest.raises(FairNCError, match=re.escape(PAIRS_KEY) + ".*" + re.escape(said)) as error:
        crows_pairs.load("all")
    assert "$FAIRNC_DATA" in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"data":\n {"intrasentence": [,]}}', "line 2: Expecting value"),
        ("[]", 'line 1: no list "data" → "intrasentence"'),
        (
            '{"data": {"intrasentence": [{"id": "x"}]}}',
            "example 1 of intrasentence is not as it should be (KeyError(",
        ),
        (
            json.dumps(
                {
                    "data": {
                        "intrasentence": [
                            {
                                "id": "x",
                                "bias_type": "gender",
                                "target": "t",
                                "context": "no blank",
                                "sentences": [
                                    {"gold_label": label, "sentence": "a b"}
                                    for label in stereoset.LABELS
                                ],
                            }
                        ]
                    }
                }
            ),
            "example 1 of intrasentence is not as it should be (ValueError",
        ),
    ],
)
def test_a_malformed_document_is_named_with_its_line(content, said, local):
    local("StereoSet/dev.json", content)
    with pytest.raises(FairNCError, match=r"StereoSet/dev\.json.*" + re.escape(said)):
        stereoset.load("dev")


def test_a_reader_s_own_file_is_read(local, tiny):
    local(PAIRS_KEY, PAIRS_HEAD + '7,"She runs, fast.",He runs.,stereo,gender\n')
    rows = get("crows_aul").run(tiny("bert"), split="all", axis="gender")
    assert rows["item_id"].tolist() == ["7"]


@pytest.mark.parametrize("name", NAMES)
def test_unknown_splits_and_axes_are_refused(name):
    with pytest.raises(FairNCError, match=f"{name} has no split 'train': choose"):
        get(name).check(split="train", axis="all")
    with pytest.raises(FairNCError, match=f"{name} has no axis 'hair': choose all"):
        get(name).check(split=get(name).splits[0], axis="hair")


@pytest.mark.parametrize(
    "name", [name for name in MASKED if name not in ("crows_aul", "crows_aula")]
)
def test_a_model_without_a_mask_token_is_refused(name, tiny, items):
    lm = tiny("bert")
    bare = dataclasses.replace(lm, tokenizer=copy.deepcopy(lm.tokenizer))
    bare.tokenizer.mask_token = None
    with pytest.raises(FairNCError, match="tiny bert has no mask token"):
        get(name).score(bare, items(name, 2))


@pytest.mark.parametrize("name", MASKED)
def test_an_item_that_is_too_long_is_one_clear_error(name, tiny, items):
    lm = tiny("bert", max_position_embeddings=6)
    with pytest.raises(
        FairNCError, match=r"an item has \d+ tokens; tiny bert reads 6 at most: shorten or drop it"
    ):
        get(name).score(lm, items(name, 2))


@pytest.mark.parametrize("name", SENTENCES)
def test_masked_models_are_refused_by_causal_benchmarks(name, tiny):
    with pytest.raises(FairNCError, match=f"{name} scores causal models; tiny bert is masked"):
        get(name).run(tiny("bert"), split=get(name).splits[0])
