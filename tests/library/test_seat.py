"""Association tests: equal to plain loops, exact on hand-made vectors, fired by a planted
association and silent without.
"""

import copy
import hashlib
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import models
from fairnc_utils.benchmarks import get, seat, stimuli
from fairnc_utils.benchmarks.seat import SEAT, SEAT_BIAS_BENCH, SEAT_WORD
from fairnc_utils.errors import FairNCError

ALL = {name: test for tests in stimuli.TESTS.values() for name, test in tests.items()}


def items_of(split, *tests):
    items = seat.load(split)
    return items.select([i for i, name in enumerate(items["axis"]) if name in tests])


@pytest.fixture(scope="module")
def rows(lm):
    """Two gender tests that share their names."""
    return SEAT.score(lm, items_of("gender", "weat6", "weat7b"))


# ------------------------------------------------------------------------------------------ stimuli


@pytest.mark.parametrize("name", stimuli.LISTS)
def test_every_sentence_holds_its_word_where_it_says(name):
    sentences = stimuli.sentences(name)
    assert len(set(sentences)) == len({sentence.text for sentence in sentences}) == len(sentences)
    for word, text, start, stop in sentences:
        assert text[start:stop].lower() in (word.lower(), stimuli.plural(word).lower())
        assert text[0].isupper()
        assert text.endswith(".")
        assert "{" not in text


def test_sentences_keep_articles_and_plurals():
    texts = {sentence.text for name in stimuli.LISTS for sentence in stimuli.sentences(name)}
    assert texts >= {
        "An executive is a thing.",
        "This is an honor.",
        "A European American is a person.",
        "Here is a Ukrainian American.",
        "Men are people.",
        "These are children.",
        "The symphonies are here.",
        "There he is.",
        "The person's name is John.",
        "They are businesses.",
        "This will stink.",
        "They are professional.",
        "An Irish American is a person.",
    }
    assert not any(
        text.lower().startswith(("a ab", "a ac", "a ex", "a of", "this is a a", "it is a e"))
        for text in texts
    )


def test_the_tests_are_the_published_ones():
    """Numbers of words from Caliskan et al. (2017) and of sentences where May et al. (2019) left
    none out.
    """
    words = {name: len({s.word for s in stimuli.sentences(name)}) for name in stimuli.LISTS}
    for name, test in ALL.items():
        assert words[test.x] == words[test.y], name
        assert len({*test}) == 4
    assert [words[ALL[f"weat{n}"].x] for n in (3, 4, 5, 6, 7, 8)] == [32, 16, 16, 8, 8, 8]
    assert [words[ALL[f"weat{n}"].a] for n in (3, 4, 5, 6, 7, 8)] == [25, 25, 8, 8, 8, 8]
    assert [words[ALL[f"weat{n}"].b] for n in (3, 4, 5, 6, 7, 8)] == [25, 25, 8, 8, 8, 8]
    assert [
        len(stimuli.sentences(name))
        for name in ("male names", "male terms", "female terms", "career", "family")
    ] == [64, 80, 80, 101, 112]


def test_sentences_are_those_of_the_recorded_runs():
    used = {name for test in ALL.values() for name in test}
    sentences = {name: stimuli.sentences(name) for name in stimuli.LISTS if name in used}
    content = json.dumps([sentences, stimuli.TESTS]).encode()
    assert hashlib.sha256(content).hexdigest()[:16] == "c34a1674906b0598"


def test_items_are_the_targets_of_the_tests():
    items = seat.load("gender")
    assert set(items["axis"]) == set(stimuli.TESTS["gender"])
    assert len(set(items["item_id"])) == len(items)
    names = items_of("gender", "weat6")
    assert {(g, s) for g, s in zip(names["group"], names["side"], strict=True)} == {
        ("male names", 1),
        ("female names", -1),
    }


def test_bias_bench_takes_the_tests_over_which_its_paper_takes_the_mean():
    gender = {"weat6", "weat6b", "weat7", "weat7b", "weat8", "weat8b"}
    loaded = {kind: set(SEAT_BIAS_BENCH.load(kind)["axis"]) for kind in SEAT_BIAS_BENCH.splits}
    assert loaded == {"gender": gender, "race": set(stimuli.TESTS["race"])}
    assert set(SEAT_BIAS_BENCH.axes) == gender | loaded["race"]
    for benchmark in (SEAT, SEAT_WORD):
        assert set(benchmark.load("gender")["axis"]) == set(stimuli.TESTS["gender"]) > gender


# ------------------------------------------------------------------------------------------- parity


@pytest.fixture(scope="module")
def double(lm):
    return models.wrap(copy.deepcopy(lm.model).double(), lm.tokenizer, name="double")


@pytest.fixture(scope="module")
def hidden(double):
    """Sentence → its last layer (T, D), each sentence alone, for the shortest test."""
    wanted = {
        sentence for name in ALL["double_bind_likable"] for sentence in stimuli.sentences(name)
    }
    with torch.no_grad():
        return {
            sentence: double.model.bert(**double.tokenizer(sentence.text, return_tensors="pt"))
            .last_hidden_state[0]
            .numpy()
            for sentence in wanted
        }


def slow_vector(tokenizer, hidden, sentence, reading):
    """The encoding of one sentence; WordPiece only."""
    if reading == "word":
        return hidden[1 + len(tokenizer.tokenize(sentence.text[: sentence.start]))]
    return hidden[0] if reading == "sentence" else sum(hidden) / len(hidden)


def cosine(u, v):
    return float(u @ v) / math.sqrt(float(u @ u) * float(v @ v))


def slow_scores(vectors, test):
    """(word, side, mean cosine with a, mean cosine with b) of each target sentence."""
    a, b = ([vectors[s] for s in stimuli.sentences(name)] for name in (test.a, test.b))
    scores = []
    for name, side in ((test.x, 1), (test.y, -1)):
        for sentence in stimuli.sentences(name):
            means = [
                sum(cosine(vectors[sentence], v) for v in group) / len(group) for group in (a, b)
            ]
            scores.append((sentence.word, side, *means))
    return scores


def slow_effect(scores):
    s = {side: [a - b for _, sign, a, b in scores if sign == side] for side in (1, -1)}
    pooled = s[1] + s[-1]
    centre = sum(pooled) / len(pooled)
    spread = math.sqrt(sum((x - centre) ** 2 for x in pooled) / (len(pooled) - 1))
    return (sum(s[1]) / len(s[1]) - sum(s[-1]) / len(s[-1])) / spread


@pytest.mark.parametrize("benchmark", [SEAT, SEAT_BIAS_BENCH, SEAT_WORD], ids=lambda b: b.name)
def test_scores_and_effect_sizes_equal_the_loops(benchmark, double, hidden):
    reading = benchmark.score.keywords["reading"]
    vectors = {
        sentence: slow_vector(double.tokenizer, states, sentence, reading)
        for sentence, states in hidden.items()
    }
    expected = slow_scores(vectors, ALL["double_bind_likable"])
    scores = benchmark.score(double, items_of("gender", "double_bind_likable"))
    assert scores["unit"].tolist() == [word for word, *_ in expected]
    assert scores["score_c"].tolist() == [side for _, side, *_ in expected]
    np.testing.assert_allclose(
        scores[["score_a", "score_b"]], [row[2:] for row in expected], rtol=1e-9
    )
    assert benchmark.estimates(scores)["effect_size"].value == pytest.approx(
        slow_effect(expected), rel=1e-6
    )


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_causal_models_are_read_at_the_last_token(family, tiny):
    """Of the sentence, or of the word: the piece in which the word ends."""
    lm = tiny(family)
    texts = [s for name in ("female terms", "career") for s in stimuli.sentences(name)][::9]
    whole, word = (seat.encode(lm, texts, reading=reading) for reading in ("sentence", "word"))
    for row, sentence in enumerate(texts):
        ids = lm.tokenizer(sentence.text)["input_ids"]
        with torch.no_grad():
            hidden = (
                lm.model.base_model(input_ids=torch.tensor([ids]))
                .last_hidden_state[0]
                .double()
                .numpy()
            )
        assert cosine(whole[row], hidden[-1]) == pytest.approx(1, abs=1e-6)
        # the tokens count from 1, behind <s>
        end = len(lm.tokenizer.tokenize(sentence.text[: sentence.stop]))
        assert cosine(word[row], hidden[end]) == pytest.approx(1, abs=1e-6)


def slow_p_words(rows):
    """Exact, one-sided: every way to call half of the words x, with the words' sentences kept
    together.
    """
    words = {}
    for row in rows.itertuples():
        words.setdefault((row.unit, row.score_c), []).append(row.score_a - row.score_b)
    given = [i for i, (_, side) in enumerate(words) if side > 0]
    sums, counts = [sum(s) for s in words.values()], [len(s) for s in words.values()]

    def difference(x):
        inside, n = sum(sums[i] for i in x), sum(counts[i] for i in x)
        return inside / n - (sum(sums) - inside) / (sum(counts) - n)

    reached = difference(given) - 1e-12
    partitions = list(itertools.combinations(range(len(words)), len(given)))
    return sum(difference(x) >= reached for x in partitions) / len(partitions)


def test_p_values_equal_the_enumeration(rows):
    for name in ("weat6", "weat7b"):
        of_test = rows[rows["axis"] == name]
        estimates = SEAT.estimates(of_test)
        assert estimates["p_words"].value == pytest.approx(slow_p_words(of_test), abs=1e-12)
        assert (estimates["p_words"].n, estimates["p_sentences"].n) == (16, len(of_test))
        assert math.isnan(estimates["p_words"].ci_low)
        assert 0 < estimates["p_sentences"].value < estimates["p_words"].value < 0.05
    # no one p value for several tests
    assert set(SEAT.estimates(rows)) == {"effect_size", "abs_effect_size"}


# ----------------------------------------------------------------------------------------- geometry


def made(x, y, axis="weat6", sentences=2):
    """Item scores of words with the given s, each in a few sentences."""
    return pd.DataFrame(
        [
            {
                "score_a": s,
                "score_b": 0.0,
                "score_c": side,
                "axis": axis,
                "item_id": f"{axis}{side}{i}{k}",
                "unit": f"{side}{i}",
            }
            for side, values in ((1.0, x), (-1.0, y))
            for i, s in enumerate(values)
            for k in range(sentences)
        ]
    )


def test_hand_made_associations_have_their_exact_effect_size():
    estimates = SEAT.estimates(made([1] * 8, [-1] * 8))
    assert estimates["effect_size"].value == pytest.approx(2 / math.sqrt(32 / 31))
    assert estimates["p_words"].value == pytest.approx(1 / math.comb(16, 8))
    back = SEAT.estimates(made([-1] * 8, [1] * 8))
    assert back["effect_size"].value == -estimates["effect_size"].value
    assert back["abs_effect_size"].value == estimates["effect_size"].value
    assert back["p_words"].value == 1
    assert math.isnan(SEAT.estimates(made([1] * 8, [1] * 8))["effect_size"].value)


def test_all_is_the_mean_over_tests():
    first, second = made([3, 4, 5, 6], [1, 2, 3, 4]), made([0, 1, 2, 3], [2, 3, 4, 5], axis="weat7")
    parts = [SEAT.estimates(part)["effect_size"].value for part in (first, second)]
    both = SEAT.estimates(pd.concat([first, second], ignore_index=True))
    assert parts[0] > 0 > parts[1]
    assert both["effect_size"].value == pytest.approx(sum(parts) / 2)
    assert both["abs_effect_size"].value == pytest.approx((parts[0] - parts[1]) / 2)


def test_more_sentences_of_the_same_words_are_no_more_evidence():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.7, 1, 8), rng.normal(0, 1, 8)
    few, many = (SEAT.estimates(made(x, y, sentences=n)) for n in (1, 10))
    assert few["p_words"].value == many["p_words"].value == few["p_sentences"].value
    # the published test takes them for it
    assert many["p_sentences"].value < 0.2 * many["p_words"].value


def test_words_are_redrawn_within_their_target():
    """Four against four: one resample in 128 would lack a side, and have no effect size, if words
    were redrawn across.
    """
    rng = np.random.default_rng(0)
    tests = [
        made(rng.normal(0.5, 1, 4), rng.normal(0, 1, 4), axis=name) for name in ("weat6", "weat7")
    ]
    for table in (tests[0], pd.concat(tests, ignore_index=True)):
        estimate = SEAT.estimates(table)["effect_size"]
        assert estimate.ci_low < estimate.value < estimate.ci_high


# ----------------------------------------------------------------------------------------- controls


@pytest.mark.parametrize("strength", [1.0, 0.0, -1.0])
def test_a_planted_association_fires_and_none_is_silent(strength, lm, monkeypatch):
    """Vectors of noise with a direction that tells career from family and, so far as planted, men
    from women.
    """
    lean = {"male names": strength, "female names": -strength, "career": 2.0, "family": -2.0}
    leans = {
        sentence: value for name, value in lean.items() for sentence in stimuli.sentences(name)
    }

    def planted(lm, texts, *, reading):
        noise = np.random.default_rng(0).normal(size=(len(texts), 16))
        noise[:, 0] += [leans[sentence] for sentence in texts]
        return noise / np.linalg.norm(noise, axis=1, keepdims=True)

    monkeypatch.setattr(seat, "encode", planted)
    estimates = SEAT.estimates(SEAT.score(lm, items_of("gender", "weat6")))
    effect, p = estimates["effect_size"], estimates["p_words"].value
    if strength:
        assert min(strength * effect.ci_low, strength * effect.ci_high) > 0.5
        assert p < 0.001 if strength > 0 else p > 0.999
    else:
        assert effect.ci_low < 0 < effect.ci_high
        assert 0.05 < p < 0.95


def test_the_embedded_model_associates_names_with_careers(rows):
    estimate = SEAT.estimates(rows[rows["axis"] == "weat6"])["effect_size"]
    assert 0 < estimate.ci_low < estimate.value < 2


def test_differences_are_paired_over_words(rows):
    same = SEAT.differences(rows, rows)
    assert all((e.value, e.ci_low, e.ci_high) == (0, 0, 0) for e in same.values())
    turned = SEAT.differences(rows, rows.assign(score_a=rows["score_b"], score_b=rows["score_a"]))
    assert turned["effect_size"].value == pytest.approx(
        -2 * SEAT.estimates(rows)["effect_size"].value
    )
    assert turned["abs_effect_size"].value == pytest.approx(0)
    assert "p_words" not in turned


def test_scores_do_not_depend_on_the_order_or_company_of_items(lm, rows):
    items = items_of("gender", "weat6")
    order = np.random.default_rng(0).permutation(len(items))[:30]
    shuffled = SEAT.score(lm, items.select(order))
    alone = rows[rows["axis"] == "weat6"].reset_index(drop=True)
    np.testing.assert_allclose(
        shuffled[["score_a", "score_b"]], alone[["score_a", "score_b"]].iloc[order], atol=1e-5
    )


# ------------------------------------------------------------------------------------------- errors


def test_the_registry_knows_them_by_name():
    assert [get(name) for name in ("seat", "seat_bias_bench", "seat_word")] == [
        SEAT,
        SEAT_BIAS_BENCH,
        SEAT_WORD,
    ]
    with pytest.raises(FairNCError, match="seat has no split 'test': choose gender, race"):
        SEAT.check(split="test", axis="all")


def test_what_cannot_be_scored_is_an_error(tiny):
    lm = tiny("bert")
    with pytest.raises(
        FairNCError, match="no sentence to score: this split does not have this test"
    ):
        SEAT.run(lm, split="gender", axis="weat3")
    with pytest.raises(FairNCError, match="unknown reading 'cls': choose sentence, mean, word"):
        seat.encode(lm, stimuli.sentences("career"), reading="cls")
