"""Word lists: only words that are one token, a reason for each that is not, and controls that are
fair.
"""

import hashlib
import json

import numpy as np
import pytest

from fairnc_utils import words
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import single_token_id


@pytest.mark.parametrize("axis", words.AXES)
def test_every_list_resolves_and_explains_what_it_dropped(axis, tokenizer):
    word_list = words.load(axis, tokenizer)
    assert len(word_list) >= 9
    assert (
        len(word_list.words)
        == len(word_list.groups)
        == len(word_list.token_ids)
        == len(set(word_list.token_ids))
    )
    offered = {word for word, _ in words.AXES[axis]()}
    assert offered == set(word_list.words) | set(word_list.dropped)
    assert not set(word_list.words) & set(word_list.dropped)
    assert all(reason for reason in word_list.dropped.values())
    for word, token_id in zip(word_list.words, word_list.token_ids, strict=True):
        assert tokenizer.encode(f"a {word} b", add_special_tokens=False)[1:-1] == [token_id], word


def test_gender_words_stand_on_their_own_side(tokenizer):
    sides = dict(words.gender_words())
    female = "she her hers herself woman women girl mother daughter sister aunt queen princess actress wife lady mrs".split()
    male = "he him his himself man men boy father son brother uncle king prince actor husband mr sir".split()
    assert {sides[word] for word in female} == {"female"}
    assert {sides[word] for word in male} == {"male"}
    groups = words.load("gender", tokenizer).groups
    assert 0.4 < groups.count("female") / len(groups) < 0.6


@pytest.mark.parametrize(
    ("axis", "digest"), [("gender", "925e0ffa6865e81e"), ("neutral", "a4ffed139d9d6088")]
)
def test_lists_of_the_package_are_those_of_the_recorded_runs(axis, digest):
    assert hashlib.sha256(json.dumps(words.AXES[axis]()).encode()).hexdigest()[:16] == digest


def test_neutral_words_name_no_person(tokenizer):
    people = {
        word
        for axis in ("gender", "profession", "race", "religion")
        for word, _ in words.AXES[axis]()
    }
    neutral = [word for word, _ in words.neutral_words()]
    assert not set(neutral) & people
    assert len(neutral) == len(set(neutral))


def test_a_word_of_many_pieces_is_dropped_and_not_cut(tokenizer):
    first = tokenizer.encode("unhelpfulness", add_special_tokens=False)
    assert len(first) > 1
    word_list = words.resolve("x", [("unhelpfulness", "a"), ("king", "b")], tokenizer)
    assert word_list.words == ("king",)
    assert word_list.dropped == {"unhelpfulness": "not a single token"}
    assert first[0] not in word_list.token_ids


@pytest.mark.parametrize("word", ["[MASK]", "[PAD]", "☃", "", " ", "she he"])
def test_special_unknown_and_blank_words_are_no_classes(word, tokenizer):
    assert single_token_id(tokenizer, word) is None


def test_repeated_and_accented_words_count_once(tokenizer):
    word_list = words.resolve(
        "x", [("king", "a"), ("king", "a"), ("King", "a"), ("kíng", "a"), ("café", "a")], tokenizer
    )
    assert word_list.words == ("king", "café")
    assert word_list.dropped == {"King": "same token as 'king'", "kíng": "same token as 'king'"}


def test_no_word_in_the_vocabulary_is_an_error(tokenizer):
    with pytest.raises(FairNCError, match="'mine': none of its 2 words is one token"):
        words.resolve("mine", [("unhelpfulness", "a"), ("qqqqqq", "a")], tokenizer)
    with pytest.raises(FairNCError, match="unknown word list 'colour': choose gender, neutral"):
        words.load("colour", tokenizer)


# ---------------------------------------------------------------- a file of one's own


def written(folder, content):
    path = folder / "my.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_a_file_is_a_list_with_groups(tmp_path, tokenizer):
    lines = [
        "group,note,word",
        "care,, nurse ",
        "",
        "craft,x,farmer",
        "care,,nurse",
        "craft,,unhelpfulness",
        "",
    ]
    path = written(tmp_path, "\ufeff" + "\r\n".join(lines))
    mine = words.load(path, tokenizer)
    assert (mine.name, mine.words, mine.groups) == (path, ("nurse", "farmer"), ("care", "craft"))
    assert mine.dropped == {"unhelpfulness": "not a single token"}
    assert mine.token_ids == tuple(single_token_id(tokenizer, word) for word in mine.words)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("words,group\nnurse,care\n", "my.csv, line 1: no column 'word'; correct it"),
        ("word,group\nnurse,care\nfarmer\n", "my.csv, line 3: not the header's 2 fields"),
        ("word,group\nnurse,\n", "my.csv, line 2: group is '', not some text"),
        (
            "word,group\nnurse,care\n\nnurse,craft\n",
            "my.csv, line 4: 'nurse' is of 'care' in line 2; keep one",
        ),
        ("word,group\n", "my.csv has no rows"),
        ("", "my.csv, line 1: no column 'word'"),
        ("word,group\nunhelpfulness,x\n", "my.csv': none of its 1 words is one token"),
        ("word,group\ncaf\u00e9,x\n".encode("latin-1"), r"my.csv: not UTF-8 text \(byte 14\)"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, tokenizer, content, message):
    with pytest.raises(FairNCError, match=message):
        words.load(written(tmp_path, content), tokenizer)


def test_an_absent_file_is_named(tokenizer):
    with pytest.raises(FairNCError, match=r"absent.csv: No such file or directory"):
        words.load("absent.csv", tokenizer)


def test_only_lists_that_may_change_are_evidence(tmp_path):
    path = written(tmp_path, "word,group\nnurse,care\n")
    assert words.evidence(["gender", "random", "vocabulary"]) == {}
    first = words.evidence(["gender", path])["word_lists"]
    assert set(first) == {path}
    written(tmp_path, "word,group\nnurse,craft\n")
    assert words.evidence([path])["word_lists"] != first


def test_byte_level_words_are_asked_for_behind_a_space(bpe_tokenizer):
    """The token inside a sentence is the one with the space, which is another than that at the
    start.
    """
    inside = bpe_tokenizer.encode("the nurse said", add_special_tokens=False)[1]
    assert single_token_id(bpe_tokenizer, "nurse") == inside
    assert bpe_tokenizer.convert_ids_to_tokens(inside) == "Ġnurse"
    word_list = words.resolve(
        "x", [("nurse", "a"), ("she", "a"), ("unhelpfulness", "a")], bpe_tokenizer
    )
    assert word_list.words == ("nurse", "she")


def test_a_token_that_only_starts_a_sentence_is_not_the_word(bpe_tokenizer):
    """ "the" begins every training sentence; a word that is whole only there is several tokens
    inside a sentence.
    """
    only_at_the_start = [
        bpe_tokenizer.convert_tokens_to_string([token])
        for token, i in bpe_tokenizer.get_vocab().items()
        if token.isalpha()
        and token.isascii()
        and bpe_tokenizer.encode(token, add_special_tokens=False) == [i]
        and len(bpe_tokenizer.encode(f" {token}", add_special_tokens=False)) > 1
    ]
    assert only_at_the_start
    assert [single_token_id(bpe_tokenizer, word) for word in only_at_the_start] == [None] * len(
        only_at_the_start
    )


@pytest.fixture(scope="module")
def counts(tokenizer):
    """A made-up corpus: counts that fall like Zipf's law over a shuffled vocabulary."""
    ranks = np.random.default_rng(0).permutation(len(tokenizer)) + 1
    counts = (30_000 / ranks).astype(int)
    # as in text, words for people are frequent
    counts[list(words.load("gender", tokenizer).token_ids)] *= 20
    return counts


@pytest.fixture(scope="module")
def seen(tokenizer, counts):
    return [i for i in words.load("gender", tokenizer).token_ids if counts[i] >= 2]


def test_random_controls_avoid_what_is_excluded(tokenizer, counts, seen):
    drawn = words.control_words(tokenizer, counts, size=60, exclude=seen, seed=3)
    assert len(drawn) == 60
    assert set(drawn.groups) == {"random"}
    assert not set(drawn.token_ids) & set(seen)
    assert all(counts[i] >= 10 for i in drawn.token_ids)
    for word, i in zip(drawn.words, drawn.token_ids, strict=True):
        assert tokenizer.convert_ids_to_tokens(i) == word
        assert word.isalpha()


def test_matched_controls_are_about_as_frequent(tokenizer, counts, seen):
    drawn = words.control_words(tokenizer, counts, size=len(seen), match=seen, min_count=2, seed=3)
    assert len(drawn) == len(seen)
    assert not set(drawn.token_ids) & set(seen)
    wanted, logs_of_control = (
        np.sort(np.log(counts[list(seen)])),
        np.sort(np.log(counts[list(drawn.token_ids)])),
    )
    assert np.abs(wanted - logs_of_control).max() < 0.5
    assert abs(wanted.mean() - logs_of_control.mean()) < 0.05
    free = words.control_words(tokenizer, counts, size=len(seen), exclude=seen, min_count=2, seed=3)
    # the match does something
    assert abs(np.log(counts[list(free.token_ids)]).mean() - wanted.mean()) > 1


@pytest.mark.parametrize("matched", [False, True])
def test_controls_depend_on_their_seed_alone(tokenizer, counts, seen, matched):
    options = {"size": 12, "min_count": 2, "exclude": seen, "match": seen if matched else None}
    first, again, other = (
        words.control_words(tokenizer, counts, seed=s, **options) for s in (1, 1, 2)
    )
    assert first == again
    assert first.token_ids != other.token_ids


def test_controls_of_an_empty_corpus_are_an_error(tokenizer):
    with pytest.raises(FairNCError, match="no whole word is seen 10 times"):
        words.control_words(tokenizer, np.zeros(len(tokenizer), int), size=5)


def test_controls_are_at_most_what_is_seen(tokenizer):
    counts = np.zeros(len(tokenizer), int)
    counts[[single_token_id(tokenizer, word) for word in ("river", "house", "engine")]] = 20
    assert set(words.control_words(tokenizer, counts, size=5).words) == {"river", "house", "engine"}


@pytest.mark.parametrize(
    ("method", "ids", "digest"),
    [("bec", 287, "11b612e8c791529a"), ("ase", 271, "8cea34baef8541cc")],
)
def test_released_list_has_the_indices_that_the_released_code_ships(tokenizer, method, ids, digest):
    """``digest``: of the sorted indices in its files for ADEPT and ASE. Pieces of longer words are
    in: "and", "me", "so".
    """
    word_list = words.released(method, tokenizer)
    assert len(set(word_list.token_ids)) == len(word_list) == ids
    joined = " ".join(str(token) for token in sorted(word_list.token_ids))
    assert hashlib.sha256(joined.encode()).hexdigest().startswith(digest)
    assert {"and", "so", "to", "me", "air"} <= set(
        tokenizer.convert_ids_to_tokens(list(word_list.token_ids))
    )
    assert {"female", "male"} == set(word_list.groups)
