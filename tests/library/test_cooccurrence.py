"""Co-occurrence of gender and class: shares reach their target, doses are nested, nothing else moves."""

import math
from collections import Counter

import datasets
import numpy as np
import pytest

from fairnc_utils import cooccurrence, swap, tasks
from fairnc_utils.cooccurrence import (
    Cooccurrence,
    bayes_effects,
    counts,
    log_odds,
    scrubbed,
    swapped,
)
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks.biographies import HIDDEN

DOSES = (-1, 0, 0.5, 0.75, 0.9, 1, 1.5, 2)


def made(sizes=None, seed=0):
    """Items of made-up texts: profession → (men's, women's), in a drawn order."""
    sizes = sizes or {"nurse": (30, 70), "coach": (80, 20), "judge": (50, 50), "rare": (9, 1)}
    rows = [
        {"profession": name, "gender": gender, "label": place}
        for place, (name, of_class) in enumerate(sizes.items())
        for gender, size in zip(("male", "female"), of_class, strict=True)
        for _ in range(size)
    ]
    np.random.default_rng(seed).shuffle(rows)
    for number, row in enumerate(rows):
        pronoun = "she" if row["gender"] == "female" else "he"
        row |= {"text": f"The {HIDDEN} said that {pronoun} is {number}", "item_id": str(number)}
    return datasets.Dataset.from_list(rows)


@pytest.fixture(scope="module")
def bug():
    return tasks.get("bug_profession").load("train")


def moved(before, after):
    return {
        place
        for place, pair in enumerate(zip(before["text"], after["text"], strict=True))
        if pair[0] != pair[1]
    }


@pytest.mark.parametrize("alpha", DOSES)
def test_a_dose_reaches_its_share_and_keeps_every_text(alpha):
    items = made()
    after = Cooccurrence("swap", alpha).apply(items, seed=3)
    assert {name: sum(pair) for name, pair in counts(after).items()} == {
        name: sum(pair) for name, pair in counts(items).items()
    }
    for name, (male, female) in counts(items).items():
        target = 1 / (1 + math.exp(-alpha * math.log((female + 0.5) / (male + 0.5))))
        assert counts(after)[name][1] == round((male + female) * target)
    assert after["label"][:] == items["label"][:]
    assert after["item_id"][:] == items["item_id"][:]
    for place in moved(items, after):
        assert after["text"][place] == swapped(items["text"][place])
        assert after["gender"][place] != items["gender"][place]
    same = set(range(len(items))) - moved(items, after)
    assert all(after["gender"][place] == items["gender"][place] for place in same)


def test_one_is_as_is_and_zero_is_balanced():
    items = made()
    assert Cooccurrence("swap", 1).apply(items).to_list() == items.to_list()
    assert all(abs(a - b) <= 1 for a, b in counts(Cooccurrence("swap", 0).apply(items)).values())


def test_doses_are_nested_on_either_side_of_one():
    items = made()
    sets = {
        alpha: moved(items, Cooccurrence("swap", alpha).apply(items, seed=5)) for alpha in DOSES
    }
    for nearer, further in (
        (0.9, 0.75),
        (0.75, 0.5),
        (0.5, 0),
        (0, -1),
        (1, 0.9),
        (1.5, 2),
        (1, 1.5),
    ):
        assert sets[nearer] <= sets[further]
    assert len(sets[-1]) > len(sets[0]) > len(sets[0.5]) > 0


def test_the_seed_decides_which_texts():
    items = made()
    first, again, other = (
        moved(items, Cooccurrence("swap", 0).apply(items, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) == len(other)


def test_placebo_moves_texts_and_no_share():
    items = made()
    after = Cooccurrence("placebo", 0).apply(items)
    assert counts(after) == counts(items)
    places = moved(items, after)
    by_gender = Counter((items["profession"][i], items["gender"][i]) for i in places)
    assert by_gender["nurse", "male"] == by_gender["nurse", "female"] == 10
    assert by_gender["rare", "male"] == by_gender["rare", "female"] == 1  # all that there are
    full = moved(items, Cooccurrence("swap", 0).apply(items))
    assert len(full) - 8 <= len(places) <= len(full)


def test_resampling_reaches_the_share_with_texts_that_are_there():
    items = made()
    after = Cooccurrence("resample", 0).apply(items, seed=1)
    assert counts(after) == counts(Cooccurrence("swap", 0).apply(items))
    assert set(after["text"][:]) < set(items["text"][:])
    assert len(after) == len(items)
    assert after["profession"][:] == items["profession"][:]
    with pytest.raises(FairNCError, match="has none of one gender to draw"):
        Cooccurrence("resample", 0).apply(made({"coach": (20, 0), "nurse": (5, 5)}))


def test_shares_on_bug_are_those_of_the_plan(bug):
    """Share of swapped texts at each dose, by a loop over professions."""
    for alpha, percent in {-1: 57.8, 0: 28.9, 0.5: 12.3, 1: 0, 1.5: 7.5, 2: 11.8}.items():
        change = Cooccurrence("swap", alpha)
        swaps = sum(abs(change.shift(of_class)) for of_class in counts(bug).values())
        assert 100 * swaps / len(bug) == pytest.approx(percent, abs=0.05)


# ------------------------------------------------------------------------------------------- texts


def test_a_hidden_profession_keeps_its_place_and_its_pronoun():
    assert swapped(f"She met her {HIDDEN} and Mary .") == f"He met his {HIDDEN} and John ."
    assert scrubbed(f"She met her {HIDDEN} and Mary .") == f"_ met _ {HIDDEN} and _ ."


def test_a_scrubbed_text_is_that_of_its_copy(bug):
    """The control of the benchmark: nothing that the swap knows of gender is left."""
    texts = bug["text"][::9]
    assert all(scrubbed(text) == scrubbed(swapped(text)) for text in texts)
    assert all(swapped(text) != text for text in texts)
    back = sum(swapped(swapped(text)) == text for text in texts)
    assert 0.98 < back / len(texts) < 1


def test_scrubbing_takes_words_whichever_way_they_are_swapped():
    assert swap.scrubbed("The hostess thanked a host, HER guest.") == "The _ thanked a _, _ guest."
    assert swap.scrubbed("Ada left", names=[("Ada", "Alan")]) == "_ left"
    after = Cooccurrence("scrub").apply(made())
    assert not any(word in text.split() for text in after["text"] for word in ("she", "he"))
    assert after["gender"][:] == made()["gender"][:]


# ----------------------------------------------------------------------------------------- numbers


def test_bayes_rule_from_counts_by_hand():
    of_classes = {"a": (30, 10), "b": (10, 30), "c": (60, 60)}
    effects = bayes_effects(of_classes)
    assert effects == pytest.approx({"a": 10 - 30, "b": 30 - 10, "c": 0})
    balanced = {name: (sum(pair) // 2, sum(pair) // 2) for name, pair in of_classes.items()}
    assert set(bayes_effects(balanced).values()) == {0.0}
    assert log_odds((10, 10)) == 0 > log_odds((10, 9))


def test_bad_input_is_named():
    with pytest.raises(FairNCError, match="choose swap, placebo, resample, scrub"):
        Cooccurrence("swop")
    with pytest.raises(FairNCError, match="alpha = nan"):
        Cooccurrence("swap", float("nan"))
    with pytest.raises(FairNCError, match="these have no gender: choose a task such as"):
        Cooccurrence().apply(made().remove_columns("gender"))
    assert [str(Cooccurrence("swap", 0.9)), str(Cooccurrence("scrub"))] == ["swap@0.9", "scrub"]
    assert cooccurrence.other("male") == "female"
