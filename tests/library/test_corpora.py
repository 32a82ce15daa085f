"""Corpora and batches: every text once, nothing lost to padding, and sentences instead of
tracebacks.
"""

import json

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnc_utils import batching, corpora
from fairnc_utils.errors import FairNCError


@pytest.mark.parametrize(
    ("split", "texts"), [("development", 2_000), ("validation", 454), ("test", 2_000)]
)
def test_gap_has_its_texts(split, texts):
    corpus = corpora.load("gap", split)
    assert corpus.column_names == ["text"]
    assert len(corpus) == texts
    assert all(text == text.strip() and len(text) > 20 for text in corpus["text"])


def test_gap_splits_share_no_text_and_test_is_the_default():
    sets = {split: set(corpora.load("gap", split)["text"]) for split in corpora.splits("gap")}
    assert not sets["development"] & sets["test"]
    assert not sets["validation"] & sets["test"]
    assert set(corpora.load("gap")["text"]) == sets["test"]


def test_text_file_keeps_its_lines(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\ufeffOne café.\r\n\n   \n  Two — “quoted”.  \n", encoding="utf-8")
    assert list(corpora.load(str(path))["text"]) == ["One café.", "Two — “quoted”."]


def test_bad_corpora_are_named(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(FairNCError, match="is empty"):
        corpora.load(str(tmp_path / "empty.txt"))
    with pytest.raises(FairNCError, match=r"not UTF-8 text \(byte 3\)"):
        corpora.load(str(tmp_path / "latin.txt"))
    with pytest.raises(FairNCError, match="No such file"):
        corpora.load(str(tmp_path / "absent.txt"))
    with pytest.raises(FairNCError, match="unknown corpus 'wiki': choose gap, bug"):
        corpora.load("wiki")
    with pytest.raises(
        FairNCError, match="gap has no split 'dev': choose development, validation, test"
    ):
        corpora.load("gap", "dev")


TEXTS = ["She met him.", "  ", "Two\u2028lines.\nOne text."]


def test_a_file_of_objects_is_a_corpus(tmp_path):
    path = tmp_path / "mine.jsonl"
    lines = [json.dumps({"id": 1, "text": text}, ensure_ascii=False) for text in TEXTS]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    assert list(corpora.load(str(path))["text"]) == ["She met him.", "Two\u2028lines.\nOne text."]
    with pytest.raises(FairNCError, match="it has no split 'test'"):
        corpora.load(str(path), "test")


@pytest.mark.parametrize(
    "line",
    ["She met him.", '{"sentence": "She met him."}', '["text"]', '{"text": null}', "[" * 10**5],
)
def test_a_line_that_is_no_object_with_a_text_is_named(tmp_path, line):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "He met her."}\n' + line)
    with pytest.raises(FairNCError, match=r"mine.jsonl, line 2: not an object with a text"):
        corpora.load(str(path))


def test_a_folder_that_datasets_saved_is_a_corpus(tmp_path):
    table = datasets.Dataset.from_dict({"title": ["a", "b", "c"], "text": [*TEXTS[:2], None]})
    table.save_to_disk(tmp_path / "one")
    assert corpora.splits(str(tmp_path / "one")) == ("all",)
    # blank and absent texts are left out
    assert list(corpora.load(str(tmp_path / "one"))["text"]) == ["She met him."]
    datasets.DatasetDict(
        {"train": table, "test": table.select([0]).remove_columns("text")}
    ).save_to_disk(tmp_path / "two")
    path = str(tmp_path / "two")
    assert corpora.splits(path) == ("train", "test")
    assert list(corpora.load(path, "train")["text"]) == ["She met him."]
    # the last split, and its first column of strings
    assert list(corpora.load(path)["text"]) == ["a"]
    with pytest.raises(FairNCError, match="no split 'dev': choose train, test"):
        corpora.load(path, "dev")


def test_a_folder_that_is_no_corpus_is_named(tmp_path):
    with pytest.raises(
        FairNCError,
        match=r"is a folder that cannot be read .*: give one saved by datasets \(save_to_disk\)",
    ):
        corpora.load(str(tmp_path))
    datasets.Dataset.from_dict({"number": [1]}).save_to_disk(tmp_path / "numbers")
    with pytest.raises(FairNCError, match="numbers has no column of text; it has number"):
        corpora.load(str(tmp_path / "numbers"))


def test_fingerprint_is_of_the_content_and_its_borders():
    assert corpora.fingerprint(["a", "b"]) == corpora.fingerprint(("a", "b"))
    different = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["a b"]]
    assert len({corpora.fingerprint(texts) for texts in different}) == len(different)


def test_tokens_are_cut_at_the_longest_input(tokenizer):
    short, long = batching.tokenize(["hello", "word " * 50], tokenizer, max_length=16)
    assert short[0] == long[0] == tokenizer.cls_token_id
    assert short[-1] == long[-1] == tokenizer.sep_token_id
    assert (len(short), len(long)) == (3, 16)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), max_size=40),
    tokens=st.integers(1, 200),
)
def test_batches_hold_every_sequence_once(lengths, tokens):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 99, n).tolist() for n in lengths]
    seen, widths = [], []
    for batch in batching.bucketed(sequences, pad_id=0, tokens=tokens):
        rows, width = batch.input_ids.shape
        assert rows == 1 or rows * max(width, 1) <= tokens
        widths.append(width)
        for row, i in enumerate(batch.index):
            real = batch.attention_mask[row].bool()
            assert batch.input_ids[row][real].tolist() == sequences[i]
            assert real.tolist() == [True] * len(sequences[i]) + [False] * (
                width - len(sequences[i])
            )
            assert not batch.input_ids[row][~real].any()
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(len(sequences)))
    assert widths == sorted(widths, reverse=True)


def test_padding_stays_small():
    lengths = np.random.default_rng(0).integers(5, 120, 1_000)
    batches = list(batching.bucketed([[1] * n for n in lengths], pad_id=0, tokens=2_048))
    assert sum(batch.input_ids.numel() for batch in batches) < 1.05 * lengths.sum()


def test_packed_rows_run_on():
    rows = batching.packed([[1, 2, 3], [4, 5], [6, 7, 8, 9]], width=4)
    assert rows.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert rows.dtype == torch.int32
