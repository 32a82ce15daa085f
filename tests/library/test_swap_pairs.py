"""The pairs that swap collapse is trained on: no sentence of a test, no occupation unless wanted,
names of one gender.
"""

import re

import pytest

from fairnc_utils import _io, first_names, swap
from fairnc_utils.benchmarks import occupations
from fairnc_utils.debias import swap_pairs
from fairnc_utils.debias.base import gap_sentences
from fairnc_utils.debias.swap_pairs import SwapOptions
from fairnc_utils.errors import FairNCError


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def test_sentences_that_name_an_occupation_are_left_out():
    names = set(swap_pairs.slope_occupations())
    assert len(names) == 60
    forms = names | {f"{name}s" for name in names} | {"secretaries"}
    every, rest = (swap_pairs.sentences("gap", occupations=wanted) for wanted in (True, False))
    assert set(every) == set(gap_sentences())
    assert set(rest) == {text for text in every if not words(text) & forms}
    assert 0 < len(rest) < len(every)


def test_bug_joins_without_its_gold_part():
    gold = {
        row["sentence_text"].strip() for row in _io.table("BUG/gold_BUG.csv", ("sentence_text",))
    }
    both = set(swap_pairs.sentences("gap+bug", occupations=True))
    assert set(gap_sentences()) < both
    assert not both & gold
    assert len(both) > 100_000


def test_times_named_counts_texts_in_singular_and_plural():
    texts = ["A nurse met a nurse.", "Nurses and secretaries.", "The nursery.", "SECRETARY"]
    assert swap_pairs.times_named(texts) == {"nurse": 2, "secretary": 2}


def test_rare_occupations_are_those_that_the_text_names_less_often():
    for split, (texts, fewer_than) in occupations.RARE.items():
        rare = set(occupations.load(split)["occupation"])
        named = occupations.times_named(texts)
        assert rare == {name for name in swap_pairs.slope_occupations() if named[name] < fewer_than}
        assert 0 < len(rare) < 60


def test_first_names_have_one_gender_and_are_no_titles():
    pairs = first_names.paired()
    women, men = (set(side) for side in zip(*pairs, strict=True))
    assert len(women) == len(men) == len(pairs) > 100
    assert not women & men
    assert {"Mary", "Elizabeth"} <= women
    assert {"John", "Robert"} <= men
    assert not (women | men) & {"King", "Queen", "Father", "Miss", "Mr"}
    text = "Mary said that she met John."
    assert not swap.slots(text)[0].evidence
    assert swap.slots(text, names=pairs)[0].evidence


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "sum"}, "form = 'sum': choose ratio, margin, even"),
        ({"texts": "bug"}, "texts = 'bug': choose gap, gap[+]bug"),
        ({"names": 1}, "names = 1: choose true, false"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(FairNCError, match=f"swap collapse option {message}"):
        SwapOptions(**options)
