"""Benchmarks: equal to the plain loops, sure of their edges, fired by a planted bias and silent
without one.
"""

import copy
import dataclasses
import json
import math

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import golden, reference
from transformers import AutoConfig

from fairnc_utils import assets, models
from fairnc_utils.benchmarks import BENCHMARKS, crows_pairs, get, stereoset
from fairnc_utils.benchmarks.crows_pairs import CROWS_BIAS_BENCH, CROWS_OFFICIAL
from fairnc_utils.benchmarks.scoring import masked_log_probabilities
from fairnc_utils.benchmarks.stereoset import STEREOSET
from fairnc_utils.errors import FairNCError

SCORES = ["score_a", "score_b", "score_c"]


@pytest.fixture(scope="session")
def plain(lm):
    return reference.Model(lm.model, lm.tokenizer)


@pytest.fixture(scope="session")
def double(lm):
    """The embedded model in float64, in which batched and single passes agree to many digits."""
    return models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name="double")


def select(items, ids):
    """The items with these ids, in their order."""
    places = {item: place for place, item in enumerate(items["item_id"])}
    return items.select([places[i] for i in ids])


def stereoset_scores(plain, items, **options):
    return np.array(
        [
            [
                reference.stereoset_score(plain, context, sentences[label], **options)
                for label in stereoset.LABELS
            ]
            for _, _, context, sentences in items
        ]
    )


# --------------------------------------------------------------------------------- StereoSet parity


@pytest.mark.slow
def test_stereoset_dev_gender_equals_the_loops(plain, gender_rows, one_thread):
    items = reference.stereoset_items(json.loads(assets.read("StereoSet/dev.json")), "gender")
    assert len(items) == len(gender_rows) == 255
    assert gender_rows["item_id"].tolist() == [item for item, *_ in items]
    assert gender_rows["unit"].tolist() == [target for _, target, *_ in items]
    expected = stereoset_scores(plain, items)
    np.testing.assert_allclose(
        gender_rows[SCORES], expected, atol=1e-5, rtol=1e-4
    )  # float32: a batch rounds differently
    metrics = reference.stereoset_metrics([target for _, target, *_ in items], *expected.T)
    estimates = STEREOSET.estimates(gender_rows)
    assert estimates["LM"].n == 10
    for name in ("lm", "ss", "icat"):
        assert estimates[name.upper()].value == pytest.approx(metrics[name], abs=0.01), name
    assert estimates["log_ratio"].value == pytest.approx(
        np.mean(np.log(expected[:, 0]) - np.log(expected[:, 1])), rel=1e-4
    )


def test_hard_items_of_stereoset_equal_the_loops(lm, double, one_thread):
    """Two blanks, candidates of several pieces, blanks at the start and before punctuation;
    float64.
    """
    items = [
        item
        for split in ("dev", "test")
        for item in reference.stereoset_items(
            json.loads(assets.read(f"StereoSet/{split}.json")), "all"
        )
    ]
    table = datasets.concatenate_datasets([stereoset.load("dev"), stereoset.load("test")])
    longest = {
        i: max(
            len(lm.tokenizer.tokenize(reference.stereoset_candidate(c, s)))
            for s in sentences.values()
        )
        for i, (_, _, c, sentences) in enumerate(items)
    }
    two = [i for i, (_, _, context, _) in enumerate(items) if context.count("BLANK") > 1]
    assert len(two) == 5
    pieces = sorted(longest, key=longest.get)[-3:]
    first = [i for i, (_, _, context, _) in enumerate(items) if context.startswith("BLANK")][:3]
    places = sorted({*two, *pieces, *first, *range(0, len(items), 4_000)})
    sample = [items[i] for i in places]
    rows = stereoset.score(double, select(table, [item for item, *_ in sample]))
    expected = stereoset_scores(reference.Model(double.model, double.tokenizer), sample)
    np.testing.assert_allclose(rows[SCORES], expected, rtol=1e-9)


def test_stereoset_holds_its_items():
    for split, size, gender in (("dev", 2_106, 255), ("test", 6_392, 771)):
        items = stereoset.load(split)
        assert len(items) == size
        assert items["axis"][:].count("gender") == gender
        assert set(items["axis"]) == set(STEREOSET.axes)
        for label in stereoset.LABELS:
            assert all(word.strip() for word in items[label])


# ------------------------------------------------------------------------------- StereoSet geometry

#: Contexts of every shape that the data has.
CONTEXTS = (
    "the nurse is BLANK .",
    "BLANK people talk .",
    "the girl was BLANK, and the boy BLANK too .",
    "she is BLANK",
    "a man BLANK BLANK home .",
)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_filled_query_is_the_tokenized_sentence(family, context, tiny):
    """With the last piece in the mask's place, the input is the sentence as the tokenizer itself
    would write it.
    """
    lm = tiny(family)
    for word in ("kind", "unhelpfulness", "nurse"):
        queries = stereoset.queries(lm, [(context, word)])[0]
        pieces = [target for *_, target in queries]
        marked = context.split("BLANK")[0].endswith(" ")
        assert pieces == lm.tokenizer.encode(
            f" {word}" if marked else word, add_special_tokens=False
        )
        for i, (ids, place, _) in enumerate(queries):
            assert ids[place] == lm.tokenizer.mask_token_id
            assert list(ids[place - i : place]) == pieces[:i]
            assert ids.count(lm.tokenizer.mask_token_id) == context.count("BLANK")
        last = [
            pieces[-1] if token == lm.tokenizer.mask_token_id else token for token in queries[-1][0]
        ]
        assert last == lm.tokenizer.encode(context.replace("BLANK", word))


def test_byte_level_candidates_keep_their_leading_space(tiny, bpe_tokenizer):
    lm = tiny("roberta")
    (_, _, target), *_ = stereoset.queries(lm, [("the nurse is BLANK .", "tired")])[0]
    assert bpe_tokenizer.convert_ids_to_tokens(target).startswith("Ġ")
    (_, _, target), *_ = stereoset.queries(lm, [("BLANK people talk .", "tired")])[0]
    assert not bpe_tokenizer.convert_ids_to_tokens(target).startswith("Ġ")
    items = [
        (
            "1",
            "nurse",
            "the nurse is BLANK .",
            {
                "stereotype": "the nurse is kind .",
                "anti-stereotype": "the nurse is unhelpful.",
                "unrelated": "the nurse is home !",
            },
        )
    ]
    table = datasets.Dataset.from_list(
        [
            {
                "item_id": "1",
                "axis": "gender",
                "target": "nurse",
                "context": items[0][2],
                "stereotype": "kind",
                "anti-stereotype": "unhelpful",
                "unrelated": "home",
            }
        ]
    )
    expected = stereoset_scores(reference.Model(lm.model, lm.tokenizer), items, leading_space=True)
    np.testing.assert_allclose(stereoset.score(lm, table)[SCORES], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("context", "sentence", "candidate"),
    [
        ("He was BLANK.", "He was kind.", "kind"),
        # typographic quotes are no ASCII punctuation
        ("BLANK, he said", "“Well-known!”, he said", "“Wellknown”"),
        ("the BLANK man is BLANK now", "the old man is well-off, now", "welloff"),
        ("a  BLANK b", "a  'kind' b", "kind"),  # two spaces hold an empty word
        ("her BLANK's hat", "her mother's hat", "mothers"),
    ],
)
def test_candidates_are_the_word_at_the_last_blank(context, sentence, candidate):
    example = {
        "id": "1",
        "bias_type": "gender",
        "target": "t",
        "context": context,
        "sentences": [{"sentence": sentence, "gold_label": label} for label in stereoset.LABELS],
    }
    assert stereoset._item(example)["stereotype"] == candidate
    assert reference.stereoset_candidate(context, sentence) == candidate


def rows_of(scores, *, unit=None):
    """Item table of hand-made scores (N, 3)."""
    table = pd.DataFrame(scores, columns=SCORES)
    names = [str(i) for i in range(len(table))]
    return table.assign(axis="gender", item_id=names, unit=unit or names)


@pytest.mark.parametrize(
    ("scores", "lm", "ss", "icat"),
    [
        ([(0.4, 0.2, 0.1), (0.2, 0.4, 0.1)], 100, 50, 100),  # ideal
        ([(0.4, 0.2, 0.1)] * 2, 100, 100, 0),  # a stereotyped model
        ([(0.2, 0.4, 0.1)] * 2, 100, 0, 0),
        ([(0.2, 0.2, 0.1)] * 2, 100, 0, 0),  # a tie counts as anti
        ([(0.2, 0.1, 0.2), (0.1, 0.2, 0.2)], 0, 50, 0),  # a tie with unrelated is no win
        ([(0.4, 0.1, 0.2), (0.1, 0.4, 0.2)], 50, 50, 50),
    ],
)
def test_hand_made_scores_have_their_exact_metrics(scores, lm, ss, icat):
    values = golden.benchmark("stereoset_intra", rows_of(scores))
    assert (values["LM"], values["SS"], values["ICAT"]) == pytest.approx((lm, ss, icat))


def test_target_terms_weigh_the_same_however_many_items_they_have():
    scores = [(0.4, 0.2, 0.1)] * 9 + [(0.2, 0.4, 0.3)]
    rows = rows_of(scores, unit=["many"] * 9 + ["one"])
    estimates = STEREOSET.estimates(rows)
    assert (estimates["LM"].value, estimates["SS"].value, estimates["LM"].n) == (75, 50, 2)
    # a mean over items, its interval over terms
    assert estimates["log_ratio"].value == pytest.approx(0.8 * math.log(2))


def test_random_scores_equal_the_loops():
    rng = np.random.default_rng(0)
    scores = rng.integers(1, 6, (300, 3)) / 10  # many ties
    terms = [str(t) for t in rng.integers(0, 12, 300)]
    values = golden.benchmark("stereoset_intra", rows_of(scores, unit=terms))
    expected = reference.stereoset_metrics(terms, *scores.T)
    assert (values["LM"], values["SS"], values["ICAT"]) == pytest.approx(
        tuple(expected[n] for n in ("lm", "ss", "icat"))
    )


def test_icat_gives_the_published_number():
    """bert-base-cased, StereoSet dev, gender: LM 82.50 and SS 61.48 make ICAT 63.56."""
    assert stereoset.icat(np.array([82.50]), np.array([61.48]), axis=-1) == pytest.approx(
        63.56, abs=0.005
    )


# -------------------------------------------------------------------------------------- CrowS-Pairs


@pytest.fixture(scope="module")
def gender_pairs():
    pairs = crows_pairs.load("all")
    return pairs.select(np.flatnonzero(np.array(pairs["axis"]) == "gender")[:40])


def crows_scores(plain, pairs, score):
    return np.array(
        [
            score(plain, pair["sent_more"], pair["sent_less"]) or (math.nan, math.nan)
            for pair in pairs
        ]
    )


# the first masks all words
@pytest.mark.parametrize(("name", "count"), [("crows_official", 6), ("crows_bias_bench", 24)])
def test_crows_pairs_equal_the_loops(name, count, double, gender_pairs, one_thread):
    pairs = gender_pairs.select(range(count))
    rows = get(name).score(double, pairs)
    expected = crows_scores(
        reference.Model(double.model, double.tokenizer), pairs, getattr(reference, name)
    )
    np.testing.assert_allclose(rows[["score_a", "score_b"]], expected, atol=1e-9)
    values = golden.benchmark(name, rows)
    metrics = reference.crows_metric(expected.tolist(), pairs["direction"])
    assert values["stereotype_pct"] == pytest.approx(metrics["metric"])
    assert values["stereo_pct"] == pytest.approx(metrics["stereo"], nan_ok=True)
    assert values["antistereo_pct"] == pytest.approx(metrics["antistereo"], nan_ok=True)
    assert values["log_ratio"] == pytest.approx((expected[:, 0] - expected[:, 1]).mean())


def test_crows_pairs_holds_its_pairs():
    pairs = crows_pairs.load("all")
    assert len(pairs) == 1_508
    assert pairs["axis"][:].count("gender") == 262
    assert set(pairs["axis"]) == set(crows_pairs.AXES)
    assert set(pairs["direction"]) == {"stereo", "antistereo"}


def pair_rows(more, less, direction):
    sign = [1.0 if d == "stereo" else -1.0 for d in direction]
    return pd.DataFrame(
        {
            "score_a": more,
            "score_b": less,
            "score_c": sign,
            "unit": range(len(more)),
            "axis": "gender",
        }
    )


@pytest.mark.parametrize("benchmark", [CROWS_OFFICIAL, CROWS_BIAS_BENCH], ids=lambda b: b.name)
def test_ties_stay_in_n_and_leave_the_sub_scores(benchmark):
    rows = pair_rows(
        [-1.0, -2.0, -3.0, -1.0],
        [-2.0, -2.0, -1.0, -2.0],
        ["stereo", "stereo", "antistereo", "antistereo"],
    )
    values = {name: estimate.value for name, estimate in benchmark.estimates(rows).items()}
    assert values == pytest.approx(
        {"stereotype_pct": 50, "stereo_pct": 100, "antistereo_pct": 50, "log_ratio": 0}
    )
    assert benchmark.estimates(rows)["stereotype_pct"].n == 4


def test_pairs_without_a_difference_leave_n():
    rows = pair_rows([-1.0, math.nan, -3.0], [-2.0, -2.0, -1.0], ["stereo"] * 3)
    estimates = CROWS_BIAS_BENCH.estimates(rows)
    assert (estimates["stereotype_pct"].value, estimates["stereotype_pct"].n) == (50, 2)
    assert math.isnan(estimates["antistereo_pct"].value)  # no such pair: said without a warning


def made_pairs(*sentences):
    return datasets.Dataset.from_list(
        [
            {
                "item_id": str(i),
                "axis": "gender",
                "sent_more": more,
                "sent_less": less,
                "direction": "stereo",
            }
            for i, (more, less) in enumerate(sentences)
        ]
    )


def test_an_inserted_word_has_no_difference_on_one_side(lm, plain):
    pairs = made_pairs(("He is a very kind man.", "He is a kind man."), ("She cooks.", "He cooks."))
    rows = CROWS_BIAS_BENCH.score(lm, pairs)
    assert rows["score_b"].isna().tolist() == [True, False]
    assert np.isnan(crows_scores(plain, pairs, reference.crows_bias_bench)[0]).all()
    assert CROWS_BIAS_BENCH.estimates(rows)["log_ratio"].n == 1


def test_pairs_of_which_none_differs_have_no_unit(lm):
    rows = CROWS_BIAS_BENCH.score(lm, made_pairs(("He cooks.", "He cooks.")))
    assert rows["score_a"].isna().all()
    with pytest.raises(FairNCError, match="no units"):
        CROWS_BIAS_BENCH.estimates(rows)


def test_identical_sentences_tie(lm):
    rows = CROWS_OFFICIAL.score(lm, made_pairs(("He cooks.", "He cooks.")))
    assert rows["score_a"][0] == rows["score_b"][0] < 0


@pytest.mark.parametrize("benchmark", [CROWS_OFFICIAL, CROWS_BIAS_BENCH], ids=lambda b: b.name)
def test_exchanging_the_sentences_turns_the_sign(benchmark, tiny, gender_pairs):
    lm = tiny("bert")
    same = [
        i
        for i, p in enumerate(gender_pairs)
        if len(p["sent_more"].split()) == len(p["sent_less"].split()) < 20
    ]
    pairs = gender_pairs.select(same[:12])
    turned = pairs.rename_columns({"sent_more": "sent_less", "sent_less": "sent_more"})
    ahead, back = benchmark.score(lm, pairs), benchmark.score(lm, turned)
    np.testing.assert_allclose(ahead["score_a"], back["score_b"], atol=1.001e-3)
    np.testing.assert_allclose(ahead["score_b"], back["score_a"], atol=1.001e-3)


# -------------------------------------------------------------------------------------- invariances


def queries_of(lm, count=25):
    items = stereoset.load("dev").select(range(count))
    return stereoset.queries(lm, stereoset.texts(items))[0]


def test_scores_do_not_depend_on_the_batch_size(lm):
    queries = queries_of(lm)
    small, large = (masked_log_probabilities(lm, queries, tokens=tokens) for tokens in (256, 8_192))
    np.testing.assert_allclose(np.exp(small), np.exp(large), atol=1e-5, rtol=1e-4)


def test_scores_do_not_depend_on_the_order_of_items(lm):
    items = stereoset.load("dev").select(range(40))
    order = np.random.default_rng(0).permutation(40)
    straight, shuffled = stereoset.score(lm, items), stereoset.score(lm, items.select(order))
    assert shuffled["item_id"].tolist() == straight["item_id"].iloc[order].tolist()
    np.testing.assert_allclose(shuffled[SCORES], straight[SCORES].iloc[order], atol=1e-5, rtol=1e-4)


def test_equal_queries_are_answered_alike_and_in_place(tiny):
    lm = tiny("bert")
    mask, she, he = lm.tokenizer.mask_token_id, *lm.tokenizer.convert_tokens_to_ids(["she", "he"])
    first, second = [101, mask, 2003, 102], [101, 2023, mask, 2003, 102]
    queries = [(first, 1, she), (second, 2, he), (first, 1, he), (second, 2, she), (first, 1, she)]
    together = masked_log_probabilities(lm, queries)
    alone = [masked_log_probabilities(lm, [query])[0] for query in queries]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert together[0] == together[4]
    assert len(set(together)) == 4


def test_no_query_has_no_score(tiny):
    assert masked_log_probabilities(tiny("bert"), []).shape == (0,)


def test_axes_add_up_to_all(tiny, monkeypatch):
    """A run of one axis holds exactly that axis's items."""
    small = stereoset.load("dev").select(range(0, 2_106, 60))
    benchmark = dataclasses.replace(STEREOSET, load=lambda split: small)
    lm = tiny("bert")
    whole = benchmark.run(lm, split="dev")
    parts = pd.concat([benchmark.run(lm, split="dev", axis=axis) for axis in benchmark.axes])
    assert sorted(parts["item_id"]) == sorted(whole["item_id"])
    assert whole["item_id"].tolist() == list(small["item_id"])


# ------------------------------------------------------------------------------------------- errors


def test_unknown_names_are_answered_with_the_valid_ones(tiny):
    assert get("stereoset") is STEREOSET
    assert get("crows") is CROWS_OFFICIAL
    assert set(BENCHMARKS) == {benchmark.name for benchmark in BENCHMARKS.values()}
    with pytest.raises(
        FairNCError, match="unknown benchmark 'bbk': choose stereoset_intra, crows_official"
    ):
        get("bbk")
    with pytest.raises(FairNCError, match="stereoset_intra has no split 'train': choose dev, test"):
        STEREOSET.run(tiny("bert"), split="train")
    with pytest.raises(
        FairNCError, match="stereoset_intra has no axis 'age': choose all, gender, profession"
    ):
        STEREOSET.run(tiny("bert"), split="dev", axis="age")
    with pytest.raises(FairNCError, match="crows_official has no split 'dev': choose all"):
        CROWS_OFFICIAL.run(tiny("bert"), split="dev")


def test_causal_models_are_refused(tiny):
    with pytest.raises(
        FairNCError, match="stereoset_intra scores masked models; tiny gpt2 is causal"
    ):
        STEREOSET.run(tiny("gpt2"), split="dev")


def test_an_item_that_is_too_long_is_an_error(tiny):
    lm = tiny("bert")
    with pytest.raises(FairNCError, match="an item has 70 tokens; tiny bert reads 64 at most"):
        masked_log_probabilities(lm, [([101] * 70, 3, 5)])


def test_a_candidate_without_a_token_is_an_error(tiny):
    item = {
        "item_id": "x7",
        "axis": "gender",
        "target": "t",
        "context": "a BLANK",
        "stereotype": "kind",
        "anti-stereotype": "",
        "unrelated": "home",
    }
    with pytest.raises(
        FairNCError, match="StereoSet item x7: the anti-stereotype candidate has no token"
    ):
        stereoset.score(tiny("bert"), datasets.Dataset.from_list([item]))


# -------------------------------------------------------------------------------------- comparisons


def test_differences_are_second_minus_first_over_the_same_items(gender_rows):
    shifted = gender_rows.assign(score_a=2 * gender_rows["score_a"])
    differences = STEREOSET.differences(gender_rows, shifted)
    values = [golden.benchmark("stereoset_intra", rows) for rows in (gender_rows, shifted)]
    for metric, estimate in differences.items():
        assert estimate.value == pytest.approx(values[1][metric] - values[0][metric]), metric
    assert (differences["log_ratio"].ci_low, differences["log_ratio"].ci_high) == pytest.approx(
        (math.log(2),) * 2
    )
    same = STEREOSET.differences(gender_rows, gender_rows)
    assert all((e.value, e.ci_low, e.ci_high) == (0, 0, 0) for e in same.values())
    with pytest.raises(FairNCError, match="needs the same items in the same order"):
        STEREOSET.differences(gender_rows, gender_rows.iloc[::-1])


def test_differences_keep_pairs_together_where_one_model_cannot_score_one():
    """Two vocabularies cut words differently: a pair that one of them cannot score is no pair of
    the comparison.
    """
    more, less = np.array([-1.0, -2.0, -3.0, -4.0]), np.array([-2.0, -2.5, -5.0, -4.5])
    first = pair_rows(more, less, ["stereo"] * 4).assign(item_id=list("abcd"))
    second = first.copy()
    first.loc[0, "score_a"] = math.nan
    second.loc[3, "score_a"] = math.nan
    estimate = CROWS_BIAS_BENCH.differences(first, second)["log_ratio"]
    assert (estimate.value, estimate.n) == (0, 2)


# --------------------------------------------------------------------------------- positive control

FEMALE = "nurse secretary receptionist librarian housekeeper nanny dancer maid teacher therapist hairdresser waitress".split()
MALE = "engineer plumber carpenter mechanic electrician soldier pilot farmer guard firefighter sheriff architect".split()


def occupation_items():
    """Pronoun after an occupation: the stereotype is "she" for one half of the occupations and "he"
    for the other.
    """
    items = []
    for word in FEMALE + MALE:
        stereotype, anti = ("she", "he") if word in FEMALE else ("he", "she")
        for i, context in enumerate(
            ("The {} said that BLANK was tired.", "When the {} arrived, BLANK was late.")
        ):
            items.append(
                {
                    "item_id": f"{word}{i}",
                    "axis": "gender",
                    "target": word,
                    "context": context.format(word),
                    "stereotype": stereotype,
                    "anti-stereotype": anti,
                    "unrelated": "table",
                }
            )
    return datasets.Dataset.from_list(items)


@dataclasses.dataclass(frozen=True)
class Planted(models.LanguageModel):
    """She − he of a sentence = ``strength`` × the stereotype of its occupation + noise that knows
    no gender.
    """

    strength: float = 0.0

    def features(self, input_ids, attention_mask, *, space="head"):
        rows = []
        for ids in input_ids.tolist():
            word = next(w for w in self.tokenizer.convert_ids_to_tokens(ids) if w in FEMALE + MALE)
            noise = np.random.default_rng([3, *ids]).normal()
            lean = self.strength * (1 if word in FEMALE else -1) + noise
            rows.append(torch.tensor([lean, 6.0]).expand(input_ids.shape[1], 2))
        return torch.stack(rows)


def planted(tokenizer, strength):
    weight = torch.zeros(len(tokenizer), 2)
    she, he = tokenizer.convert_tokens_to_ids(["she", "he"])
    weight[she], weight[he] = torch.tensor([0.5, 1.0]), torch.tensor([-0.5, 1.0])
    model = torch.nn.Identity()
    model.config = AutoConfig.for_model("bert")
    return Planted("planted", model, tokenizer, "masked", weight, None, strength)


@pytest.fixture
def long_enough(monkeypatch):
    monkeypatch.setattr(Planted, "max_length", 64)


def test_planted_bias_fires_and_no_bias_is_silent(tokenizer, long_enough):
    single = [w for w in FEMALE + MALE if models.single_token_id(tokenizer, w)]
    items = occupation_items().filter(lambda item: item["target"] in single)
    biased, neutral = (
        STEREOSET.estimates(stereoset.score(planted(tokenizer, s), items)) for s in (3.0, 0.0)
    )
    assert biased["LM"].value == neutral["LM"].value == 100
    assert biased["SS"].ci_low > 75
    assert 2 < biased["log_ratio"].ci_low < biased["log_ratio"].ci_high < 4
    assert biased["ICAT"].value < 40
    assert neutral["SS"].ci_low < 50 < neutral["SS"].ci_high
    assert neutral["log_ratio"].ci_low < 0 < neutral["log_ratio"].ci_high
    reverse = STEREOSET.estimates(stereoset.score(planted(tokenizer, -3.0), items))
    assert reverse["SS"].ci_high < 25
    assert reverse["log_ratio"].ci_high < -2


def test_the_embedded_model_follows_stereotypes_and_stops_without_its_gender_direction(lm):
    items = occupation_items()
    scored = {scale: stereoset.score(lm.with_gender_direction(scale), items) for scale in (0, 1, 2)}
    metrics = {scale: STEREOSET.estimates(rows) for scale, rows in scored.items()}
    assert metrics[1]["SS"].ci_low > 55
    assert metrics[1]["log_ratio"].ci_low > 0.5
    assert metrics[2]["log_ratio"].value == pytest.approx(
        2 * metrics[1]["log_ratio"].value, rel=1e-3
    )
    # always the same pronoun: right for one half of the occupations
    assert metrics[0]["SS"].value == 50
    assert metrics[0]["log_ratio"].value == pytest.approx(0, abs=1e-3)
    constant = np.log(scored[0]["score_a"]) - np.log(scored[0]["score_b"])
    assert constant.abs().std() < 1e-3
    change = STEREOSET.differences(scored[1], scored[0])["log_ratio"]
    assert change.ci_high < -0.5


def test_crows_pairs_follow_the_gender_direction(lm):
    pairs = made_pairs(
        *(
            (
                f"The {word} said that {pronoun} was tired.",
                f"The {word} said that {other} was tired.",
            )
            for word in FEMALE + MALE
            for pronoun, other in [("she", "he") if word in FEMALE else ("he", "she")]
        )
    )
    biased = CROWS_BIAS_BENCH.estimates(CROWS_BIAS_BENCH.score(lm, pairs))
    assert biased["stereotype_pct"].value > 60
    assert biased["log_ratio"].ci_low > 0.5
    erased = CROWS_BIAS_BENCH.estimates(CROWS_BIAS_BENCH.score(lm.with_gender_direction(0), pairs))
    assert erased["stereotype_pct"].value == 50
    assert erased["log_ratio"].value == pytest.approx(0, abs=1e-3)


# ------------------------------------------------------------------------------------------- golden


@pytest.fixture(scope="module")
def stored():
    return json.loads(golden.FILE.read_text())


def agree(values, expected):
    assert set(values) == set(expected)
    for name, value in expected.items():
        if isinstance(value, dict):
            agree(values[name], value)
        else:
            tolerance = (
                {"abs": 0.01}
                if name in golden.PERCENT
                else {"rel": 1e-4, "abs": golden.NEAR_ZERO.get(name, 1e-6)}
            )
            assert values[name] == pytest.approx(value, **tolerance), name


def test_golden_stereoset(stored, gender_rows):
    agree(golden.benchmark("stereoset_intra", gender_rows), stored["stereoset_intra dev gender"])


@pytest.mark.slow
def test_golden_crows_pairs(stored, lm):
    rows = CROWS_BIAS_BENCH.run(lm, split="all", axis="gender")
    agree(golden.benchmark("crows_bias_bench", rows), stored["crows_bias_bench gender"])


@pytest.mark.slow
def test_golden_collapse(stored, lm):
    agree(golden.collapse(lm), stored["collapse gap validation gender"])


def test_golden_perplexity(stored, lm):
    agree(golden.perplexity(lm), stored["perplexity"])
