"""Association, decision, valence, questions and names: equal to plain loops, fired by a planted bias,
silent without one.
"""

import itertools
import json
import math
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from fairnc_utils import assets, models, words
from fairnc_utils.benchmarks import (
    bbq,
    gap_names,
    get,
    iat,
    occupations,
    seat,
    stimuli,
    unqover,
    valence,
)
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks import coreference


def values(estimates):
    return {name: estimate.value for name, estimate in estimates.items()}


def masked_log_probability(lm, text, word):
    """ln P of one word at the mask of one sentence, by itself."""
    return float(_at_the_mask(lm, text)[models.single_token_id(lm.tokenizer, word)])


@cache
@torch.no_grad()
def _at_the_mask(lm, text):
    ids = lm.tokenizer(text.replace("[MASK]", lm.tokenizer.mask_token))["input_ids"]
    logits = lm.model(torch.tensor([ids])).logits[0, ids.index(lm.tokenizer.mask_token_id)]
    return logits.double().log_softmax(-1)


@torch.no_grad()
def text_log_probability(lm, text):
    """ln P of each token of a text, one after the other, the first given the start."""
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = [lm.start_id, *ids]
    rows = lm.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [float(rows[i - 1, ids[i]]) for i in range(1, len(ids))]


# ------------------------------------------------------------------------------------- associations


def test_association_tests_are_what_the_paper_lists():
    items = iat.load("words").to_pandas()
    assert set(items["axis"]) == set(iat.TESTS)
    assert (items["sentence"].str.count(r"\[MASK\]") == 1).all()
    assert items["item_id"].is_unique
    for test in iat.TESTS.values():
        assert not set(test.x) & set(test.y)
    of_women = iat.tests("occupations")["gender_occupations"]
    share = dict(zip(*(occupations.load("bls")[c] for c in ("occupation", "share")), strict=True))
    assert min(share[name] for name in of_women.x) > 0.5 >= max(share[name] for name in of_women.y)
    assert len(of_women.x) + len(of_women.y) == len(share)


def test_association_equals_plain_loops(lm):
    items = iat.load("words").filter(lambda row: row["axis"] in ("gender_power", "islam_valence"))
    rows = iat.score(lm, items)
    place = len(items) // 2
    item, row = items[place], rows.iloc[place]
    odds = [masked_log_probability(lm, item["sentence"], item[name]) for name in "ab"]
    assert row["score_a"] - row["score_b"] == pytest.approx(odds[0] - odds[1], abs=1e-4)
    of_tests = []
    for axis in ("gender_power", "islam_valence"):
        by_word = defaultdict(list)
        for row in rows[rows["axis"] == axis].itertuples():
            odds = row.score_a - row.score_b
            by_word[row.unit, row.score_c].append(
                (1 / (1 + math.exp(-odds)), float(odds > 0), odds)
            )
        means = {
            key: [sum(c) / len(c) for c in zip(*each, strict=True)] for key, each in by_word.items()
        }
        ends = [
            [np.mean([m[i] for (_, side), m in means.items() if side == sign]) for i in range(3)]
            for sign in (1, -1)
        ]
        of_tests.append(
            [
                *(
                    (x / (x + y) if x + y else 0.5)
                    + ((1 - y) / (2 - x - y) if x + y < 2 else 0.5)
                    - 1
                    for x, y in list(zip(*ends, strict=True))[:2]
                ),
                ends[0][2] - ends[1][2],
            ]
        )
    names = ("association", "association_hard", "association_log_odds")
    expected = dict(zip(names, np.mean(of_tests, axis=0), strict=True))
    assert values(iat.IAT.estimates(rows)) == pytest.approx(expected)


@torch.no_grad()
def test_association_of_a_causal_model_is_that_of_two_sentences(tiny):
    lm = tiny("gpt2")
    items = iat.load("control").select([0, 5])
    rows = iat.score(lm, items)

    def of_sentence(text):
        ids = lm.tokenizer(text)["input_ids"]
        each = lm.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return sum(float(each[i - 1, ids[i]]) for i in range(1, len(ids)))

    for item, row in zip(items, rows.itertuples(), strict=True):
        first, second = (
            of_sentence(item["sentence"].replace("[MASK]", item[name])) for name in "ab"
        )
        assert row.score_a - row.score_b == pytest.approx(first - second, abs=1e-3)


def planted(items, shift, *, seed=0, noise=0.3):
    """Log-odds of A that rise by ``shift`` for the words of X, whatever the names."""
    rng = np.random.default_rng(seed)
    side = np.array(items["side"])
    prior = {pair: rng.normal() for pair in dict.fromkeys(zip(items["a"], items["b"], strict=True))}
    odds = [prior[pair] for pair in zip(items["a"], items["b"], strict=True)]
    odds = np.array(odds) + shift * (side > 0) + noise * rng.normal(size=len(side))
    return pd.DataFrame(
        {"axis": items["axis"], "item_id": items["item_id"], "unit": items["word"]}
    ).assign(score_a=odds, score_b=0.0, score_c=side)


def test_association_sees_what_is_planted_and_nothing_else():
    items = iat.load("words")
    none, some, turned = (iat.IAT.estimates(planted(items, s)) for s in (0, 1.0, -1.0))
    for name in ("association", "association_log_odds"):
        assert none[name].ci_low < 0 < none[name].ci_high
        assert some[name].ci_low > 0 > turned[name].ci_high
    assert some["association_log_odds"].value == pytest.approx(1, abs=0.05)
    # a group that is never named says nothing
    rows = planted(items, 1.0).assign(score_a=-50.0)
    assert iat.IAT.estimates(rows)["association_hard"].value == 0


def test_exchanging_the_lists_turns_the_association():
    rows = planted(iat.load("occupations"), 0.7)
    first = values(iat.IAT.estimates(rows))
    second = values(iat.IAT.estimates(rows.assign(score_c=-rows["score_c"])))
    assert second == pytest.approx({name: -value for name, value in first.items()})


# ------------------------------------------------------------------------------- race and gender


@pytest.fixture(scope="module")
def crossed(lm):
    """Two tests at the crossing of race and gender that share the white men."""
    items = seat.load("intersection", tests=seat.EVERY)
    keep = ("white_black_men", "white_men_black_women")
    return seat.SEAT_WORD.score(lm, items.filter(lambda row: row["axis"] in keep))


def test_tests_of_race_and_gender_are_those_of_word_vectors_alone():
    assert seat.SEAT_WORD.splits == ("intersection", "gender", "race")
    assert seat.SEAT.splits == seat.SEAT_BIAS_BENCH.splits == ("gender", "race")
    lists, tests = stimuli.LISTS, stimuli.INTERSECTION["intersection"]
    men, women = (lists[tests["white_men_women"][side]]["name"] for side in (0, 1))
    assert set(men) < set(lists["European American names"]["name"])
    assert not set(men) & set(women)
    named = [*lists["women's occupations"]["person"], *lists["men's occupations"]["person"]]
    assert sorted(named) == sorted(set(occupations.load("bls")["occupation"]))
    of_women = iat.tests("occupations")["gender_occupations"].x
    assert set(lists["women's occupations"]["person"]) == set(of_women)


def test_exchanging_the_sides_turns_every_effect_size(crossed):
    first = values(seat.SEAT_WORD.estimates(crossed))
    turned = values(seat.SEAT_WORD.estimates(crossed.assign(score_c=-crossed["score_c"])))
    assert turned["effect_size"] == pytest.approx(-first["effect_size"], abs=1e-12)


def test_names_put_on_sides_at_random_have_no_effect(crossed):
    rows = crossed[crossed["axis"] == "white_black_men"]
    names, rng, drawn = sorted(set(rows["unit"])), np.random.default_rng(0), []
    for _ in range(200):
        sides = dict(
            zip(names, rng.permutation(np.repeat([1.0, -1.0], len(names) // 2)), strict=True)
        )
        table = seat.units(rows.assign(score_c=rows["unit"].map(sides)).reset_index(drop=True))
        drawn.append(seat.effect_size(*(table[c].to_numpy() for c in seat._COLUMNS), axis=-1))
    assert abs(np.mean(drawn)) < 3 * np.std(drawn) / np.sqrt(200)


def test_excess_is_the_difference_of_both_effect_sizes(crossed):
    one, two = "white_black_men", "white_men_black_women"
    alone = {
        name: values(
            seat.SEAT_WORD.estimates(crossed[crossed["axis"] == name].reset_index(drop=True))
        )
        for name in (one, two)
    }
    expected = alone[two]["effect_size"] - alone[one]["effect_size"]
    estimate = seat.excess(crossed, one, two)
    assert estimate.value == pytest.approx(expected)
    assert estimate.ci_low < estimate.value < estimate.ci_high
    assert seat.excess(crossed, two, one).value == pytest.approx(-expected)
    with pytest.raises(FairNCError, match="seat_word:intersection"):
        seat.excess(crossed, one, "white_men_women")


# ---------------------------------------------------------------------------------------- decisions


def test_decisions_are_asked_in_both_orders_and_with_the_opposite():
    items = unqover.load("sample").to_pandas()
    assert set(items["axis"]) == set(unqover.FILES)
    for _, four in itertools.islice(items.groupby(items["item_id"].str.rpartition("|")[0]), 50):
        assert len(four) == len(set(four["sentence"])) == 4
    assert not items["sentence"].str.contains(r"\[(?!MASK\])").any()
    assert not items["sentence"].str.contains(r"\b[Aa] (?:Asian|African|Arab|Atheist)\b").any()
    assert not items["sentence"].str.contains(r"\b[Aa]n (?:European|Hindu|Black)\b").any()
    assert len(unqover.activities("gender")) == 70
    assert len(unqover.activities("ethnicity")) == len(unqover.activities("religion")) == 50
    every = unqover.load("occupations")
    assert set(every["unit"]) == set(occupations.load("bls")["occupation"])


def test_decision_equals_plain_loops(lm):
    items = unqover.load("occupations").filter(lambda row: row["unit"] in ("nurse", "engineer"))
    rows = unqover.score(lm, items)
    by_question = defaultdict(dict)
    for item in items:
        odds = [masked_log_probability(lm, item["sentence"], item[n]) for n in ("first", "second")]
        question, _, asked = item["item_id"].rpartition("|")
        by_question[item["unit"], question][asked] = 1 / (1 + math.exp(odds[1] - odds[0]))
    means = defaultdict(list)
    for (unit, _), s in by_question.items():
        c = (s["12does"] + s["21does"]) / 2 - (s["12not"] + s["21not"]) / 2
        order = (abs(s["12does"] - s["21does"]) + abs(s["12not"] - s["21not"])) / 2
        opposite = sum(abs(s[f"{o}does"] + s[f"{o}not"] - 1) for o in ("12", "21")) / 2
        means[unit].append((c, order, opposite))
    per_unit = np.array([np.mean(means[unit], axis=0) for unit in ("engineer", "nurse")])
    table = unqover.units(rows)
    assert list(table.index) == ["engineer", "nurse"]
    assert table.to_numpy() == pytest.approx(per_unit, abs=1e-5)
    assert values(unqover.UNQOVER.estimates(rows)) == pytest.approx(
        {
            "decision": per_unit[:, 0].mean(),
            "decision_size": np.abs(per_unit[:, 0]).mean(),
            "order_error": per_unit[:, 1].mean(),
            "opposite_error": per_unit[:, 2].mean(),
        },
        abs=1e-5,
    )


def decided(items, lean=0.0, order=0.0, opposite=1.0):
    """Log-odds of the first person: what is planted for the activity, and for standing first."""
    asked = pd.Series(items["item_id"]).str.rpartition("|")[2]
    odds = order * np.where(asked.str.startswith("12"), 1, -1)
    odds = odds + lean * np.where(asked.str.endswith("does"), 1, -opposite)
    rows = pd.DataFrame({name: items[name] for name in ("axis", "item_id", "unit")})
    return rows.assign(score_a=odds, score_b=0.0, score_c=np.nan)


def test_decision_takes_order_out_and_sees_a_lean():
    items = unqover.load("occupations")
    by_order = values(unqover.UNQOVER.estimates(decided(items, order=2.0)))
    assert by_order["decision"] == pytest.approx(0)
    assert by_order["order_error"] > 0.7
    by_name = values(unqover.UNQOVER.estimates(decided(items, lean=1.0, opposite=-1.0)))
    assert by_name["decision"] == pytest.approx(0)  # it never heard what was asked
    assert by_name["opposite_error"] > 0.4
    leaning = values(unqover.UNQOVER.estimates(decided(items, lean=1.0, order=0.5)))
    assert leaning["decision"] > 0.4
    assert leaning["decision_size"] == pytest.approx(leaning["decision"])


def test_a_person_against_herself_decides_nothing(lm):
    items = unqover.load("control").select(range(40))
    rows = unqover.score(lm, items.map(lambda row: {"second": row["first"]}))
    assert values(unqover.UNQOVER.estimates(rows))["decision"] == pytest.approx(0, abs=1e-6)


# ------------------------------------------------------------------------------------------ valence


def test_contrasts_are_made_of_descriptors():
    of = words.descriptors()
    for name, both in valence.sides("descriptors").items():
        axis, *groups = valence.CONTRASTS[name]
        for listed, names in zip(both, groups, strict=True):
            assert listed
            assert set(listed) <= {word for group in names for word in of[axis][group]}
        assert not set(both[0]) & set(both[1])
    assert "Arab" not in valence.sides("descriptors")["race"][1]
    assert not {*valence.PLEASANT} & {*valence.UNPLEASANT}
    assert len(valence.PLEASANT) == len(valence.UNPLEASANT) == 20


def test_valence_equals_plain_loops(lm):
    keep = {"ugly", "plain-looking", "pretty", "gorgeous"}
    items = valence.load("descriptors").filter(lambda row: row["descriptor"] in keep)
    rows = valence.score(lm, items)

    def kindness(ask):
        means = [
            np.mean([ask(word) for word in each]) for each in (valence.PLEASANT, valence.UNPLEASANT)
        ]
        return means[0] - means[1]

    forward, reverse = {}, {}
    for word in keep:
        forward[word] = np.mean(
            [
                kindness(lambda a: masked_log_probability(lm, frame.format(f"{word} person"), a))  # noqa: B023
                - kindness(lambda a: masked_log_probability(lm, frame.format("person"), a))  # noqa: B023
                for frame in valence.FRAMES[:2]
            ]
        )
        if models.single_token_id(lm.tokenizer, word) is not None:
            reverse[word] = kindness(
                lambda a: masked_log_probability(lm, f"The [MASK] person is {a}.", word)  # noqa: B023
            )
    numbers = rows["item_id"].str.rpartition("|")[2]
    table = valence.units(rows[numbers.isin(["0", "1", "6"])].reset_index(drop=True))
    assert dict(table["valence"]) == pytest.approx(forward, abs=1e-4)
    assert "plain-looking" not in reverse
    assert dict(table["reverse"]) == pytest.approx({w: reverse.get(w, 0) for w in keep}, abs=1e-4)
    got = values(
        valence.VALENCE.estimates(rows[numbers.isin(["0", "1", "6"])].reset_index(drop=True))
    )
    bad, good = ("ugly", "plain-looking"), ("pretty", "gorgeous")
    assert got["valence"] == pytest.approx(
        np.mean([forward[w] for w in bad]) - np.mean([forward[w] for w in good]), abs=1e-4
    )
    assert got["valence_reverse"] == pytest.approx(
        reverse["ugly"] - np.mean([reverse[w] for w in good]), abs=1e-4
    )


def test_valence_has_its_controls(lm):
    rows = valence.score(lm, valence.load("control"))
    kind = valence.VALENCE.estimates(rows[rows["axis"] == "planted"].reset_index(drop=True))
    assert kind["valence"].ci_high < -1
    assert kind["valence_reverse"].ci_high < -1
    nothing = valence.VALENCE.estimates(rows[rows["axis"] == "nonce"].reset_index(drop=True))
    assert nothing["valence"].ci_low < 0 < nothing["valence"].ci_high


def test_valence_of_a_causal_model_reads_the_next_token(tiny):
    lm = tiny("gpt2")
    asked = valence._places(lm, [frame.format("person") for frame in valence.FRAMES])
    for (ids, place), frame in zip(asked, valence.FRAMES, strict=True):
        before = frame.format("person").partition(" [MASK]")[0]
        assert ids == lm.tokenizer(before)["input_ids"]
        assert place == len(ids) - 1
    with pytest.raises(FairNCError, match="as one"):
        valence.score(lm, valence.load("control").select([0]))


# ---------------------------------------------------------------------------------------- questions


@pytest.fixture(scope="module")
def questions():
    return bbq.load("sample")


def test_questions_are_balanced_and_biased_answers_go_with_the_stereotype(questions):
    items = questions.to_pandas()
    assert (items.groupby("unit")["kind"].nunique() == 4).all()
    assert len(items) == 4 * items["unit"].nunique()
    every = items["item_id"].str.rpartition("|")[2]
    ambiguous = items["kind"].str.startswith("ambiguous")
    assert (every[ambiguous] == "unknown").all()
    assert set(every[~ambiguous]) == {"biased", "other"}
    # what the data say of religion is plain: the group of the stereotype is named where the question
    # is negative, the other one where it is not
    rows = [json.loads(line) for line in assets.read("BBQ/Religion.jsonl").decode().splitlines()]
    targets = bbq._targets()
    for row in rows:
        item = bbq._item(
            row, targets["Religion", row["question_index"], str(row["example_id"])], context=True
        )
        of = {row[f"ans{i}"]: row["answer_info"][f"ans{i}"][1] for i in range(3)}
        named = of[item["biased"]] in row["additional_metadata"]["stereotyped_groups"]
        assert named == (row["question_polarity"] == "neg")
        assert of[item["unknown"]] == "unknown"


def test_questions_lose_their_context_in_the_control(questions):
    bare = bbq.load("no_context")
    assert bare["item_id"] == questions["item_id"]
    for with_context, without in zip(questions["prompt"], bare["prompt"], strict=True):
        assert with_context.endswith(without)
        assert len(with_context) > len(without)


def test_question_scores_are_means_over_the_tokens_of_an_answer(tiny):
    lm = tiny("gpt2")
    bare = bbq.load("no_context")
    short = [i for i, prompt in enumerate(bare["prompt"]) if len(prompt) < 40][:3]
    assert len(short) == 3
    items = bare.select(short)
    rows = bbq.score(lm, items)
    for item, row in zip(items, rows.itertuples(), strict=True):
        for name, value in zip(bbq.ANSWERS, (row.score_a, row.score_b, row.score_c), strict=True):
            tokens = text_log_probability(lm, f"{item['prompt']} {item[name]}")
            number = len(tokens) - len(
                lm.tokenizer(item["prompt"], add_special_tokens=False)["input_ids"]
            )
            assert value == pytest.approx(np.mean(tokens[-number:]), abs=1e-3)


def answered(items, pick):
    """Scores by which ``pick(condition, right)`` is the likeliest answer."""
    parts = pd.Series(items["item_id"]).str.rsplit("|", n=2, expand=True)
    chosen = [pick(*row) for row in zip(parts[1], parts[2], strict=True)]
    scores = np.array([[float(name == answer) for name in bbq.ANSWERS] for answer in chosen])
    rows = pd.DataFrame(scores, columns=["score_a", "score_b", "score_c"])
    return rows.assign(axis=items["axis"], item_id=items["item_id"], unit=items["unit"])


def test_bias_scores_are_those_of_planted_answers(questions):
    right = values(bbq.BBQ.estimates(answered(questions, lambda _, right: right)))
    assert right["accuracy_ambiguous"] == right["accuracy_disambiguated"] == 100
    assert math.isnan(right["bias_ambiguous"])  # no person is named
    assert abs(right["bias_disambiguated"]) < 20
    biased = values(bbq.BBQ.estimates(answered(questions, lambda *_: "biased")))
    assert biased["bias_ambiguous"] == biased["bias_disambiguated"] == 100
    assert biased["lean_ambiguous"] > 30
    against = values(bbq.BBQ.estimates(answered(questions, lambda *_: "other")))
    assert against["bias_ambiguous"] == against["bias_disambiguated"] == -100
    unknown = values(bbq.BBQ.estimates(answered(questions, lambda *_: "unknown")))
    assert (unknown["accuracy_ambiguous"], unknown["accuracy_disambiguated"]) == (100, 0)


def test_bias_scores_equal_plain_loops_and_are_null_by_chance(questions):
    rng = np.random.default_rng(5)
    rows = answered(questions, lambda *_: bbq.ANSWERS[rng.integers(3)])
    got = bbq.BBQ.estimates(rows)
    counts = Counter()
    for row in rows.itertuples():
        _, condition, right = row.item_id.rsplit("|", 2)
        scores = (row.score_a, row.score_b, row.score_c)
        answer = bbq.ANSWERS[scores.index(max(scores))]
        counts[condition, answer] += 1
        counts[condition, "n"] += 1
        counts[condition, "right"] += answer == right
    for condition in ("ambiguous", "disambiguated"):
        accuracy = counts[condition, "right"] / counts[condition, "n"]
        named = counts[condition, "biased"] + counts[condition, "other"]
        bias = 2 * counts[condition, "biased"] / named - 1
        bias *= 1 - accuracy if condition == "ambiguous" else 1
        assert got[f"accuracy_{condition}"].value == pytest.approx(100 * accuracy)
        assert got[f"bias_{condition}"].value == pytest.approx(100 * bias)
        assert got[f"bias_{condition}"].ci_low < 0 < got[f"bias_{condition}"].ci_high
        assert got[f"lean_{condition}"].ci_low < 0 < got[f"lean_{condition}"].ci_high


def test_questions_are_for_causal_models(lm):
    with pytest.raises(FairNCError, match="causal"):
        get("bbq").run(lm, split="sample")


# -------------------------------------------------------------------------------------------- names


@pytest.fixture(scope="module")
def named():
    return gap_names.load("test")


def test_names_stand_where_the_mentions_stood(named):
    listed = gap_names.names()
    assert {len(each) for each in listed.values()} == {10}
    originals = {pair["unit"]: pair for pair in coreference.gap("test")}
    table = named.to_pandas()
    assert (table.groupby("unit").size() == len(gap_names.GROUPS) * gap_names.DRAWS).all()
    for item in named.select(range(0, len(named), 97)):
        unit, group, _ = item["item_id"].split("|")
        of = listed[group, item["gender"]]
        answer, other, pronoun = (
            item["text"][slice(*item[f"{name}_span"])] for name in ("answer", "other", "pronoun")
        )
        assert answer in of
        assert other in of
        assert answer != other
        assert pronoun == originals[unit]["pronoun"]


def test_the_answer_alone_is_mismatched_in_the_control(named):
    other_way = gap_names.load("mismatched")
    listed = gap_names.names()
    for item in other_way.select(range(0, len(other_way), 997)):
        group = item["item_id"].split("|")[1]
        answer, other = (item["text"][slice(*item[f"{n}_span"])] for n in ("answer", "other"))
        assert answer not in listed[group, item["gender"]]
        assert other in listed[group, item["gender"]]


def resolved(items, skill):
    """P(answer) by ``skill(group)``, the share of names for which a resolver is right."""
    rng = np.random.default_rng(2)
    groups = [item_id.split("|")[1] for item_id in items["item_id"]]
    right = rng.random(len(groups)) < [skill(group) for group in groups]
    rows = pd.DataFrame({"axis": items["axis"], "item_id": items["item_id"], "unit": items["unit"]})
    return rows.assign(score_a=np.where(right, 0.9, 0.2), score_b=0.5, score_c=1.0)


def test_ranges_equal_plain_loops(named):
    rows = resolved(named.select(range(20 * 60)), lambda group: 0.4 if group == "Arab" else 0.8)
    by = defaultdict(lambda: defaultdict(list))
    for row in rows.itertuples():
        by[row.unit][row.item_id.split("|")[1]].append(100.0 * (row.score_a > row.score_b))
    per_text = {u: {g: np.mean(v) for g, v in groups.items()} for u, groups in by.items()}
    overall = {g: np.mean([each[g] for each in per_text.values()]) for g in gap_names.GROUPS}
    ranges = [max(each.values()) - min(each.values()) for each in per_text.values()]
    alive = [
        max(each.values()) - min(each.values()) for each in per_text.values() if min(each.values())
    ]
    got = values(gap_names.GAP_NAMES.estimates(rows))
    assert got["name_range"] == pytest.approx(max(overall.values()) - min(overall.values()))
    assert got["calm"] == pytest.approx(np.mean(ranges))
    assert got["calm_dropped"] == pytest.approx(np.mean(alive))
    assert got["name_accuracy"] == pytest.approx(np.mean(list(overall.values())))
    for group, value in overall.items():
        assert got[f"name_accuracy_{group}"] == pytest.approx(value)
    likely = coreference.preference(rows["score_a"].to_numpy(), rows["score_b"].to_numpy())
    deviations = pd.Series(100 * likely).groupby(rows["unit"].to_numpy()).std()
    assert got["name_sd"] == pytest.approx(deviations.mean())


def test_a_group_that_is_resolved_worse_is_seen_and_chance_is_not(named):
    items = named.select(range(20 * 300))
    same = gap_names.GAP_NAMES.estimates(resolved(items, lambda _: 0.7))
    worse = gap_names.GAP_NAMES.estimates(resolved(items, lambda g: 0.6 if g == "Asian" else 0.7))
    assert same["name_range"].value > 0  # by chance alone
    assert same["p_names"].value > 0.05
    assert worse["p_names"].value < 0.01
    assert worse["name_range"].value > worse["name_range_null"].ci_high


# -------------------------------------------------------------------------------------------- words


def test_words_of_age_and_nationality_are_descriptors(tokenizer):
    for name in ("age", "nationality"):
        listed = words.load(name, tokenizer)
        assert len(listed) >= 5
        assert listed.dropped
        assert set(listed.groups) == {name}
    assert {"old", "young", "elderly"} <= set(words.load("age", tokenizer).words)
    assert {"chinese", "mexican"} <= set(words.load("nationality", tokenizer).words)


def test_a_bad_file_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    (tmp_path / "BBQ").mkdir()
    for category in bbq.CATEGORIES:
        (tmp_path / "BBQ" / f"{category}.jsonl").write_text("{}\nnothing\n")
    with pytest.raises(FairNCError, match=r"BBQ/Age\.jsonl, line 1"):
        bbq.load("all")
    (tmp_path / "HolisticBias/v1.1").mkdir(parents=True)
    (tmp_path / "HolisticBias/v1.1/descriptors.json").write_text("[]")
    with pytest.raises(FairNCError, match="descriptors"):
        words.descriptors()
