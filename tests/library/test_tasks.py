"""Tasks: metrics equal those of scikit-learn and scipy; files of every format are read; a broken
line is named.
"""

import csv
import io
import os
from collections import Counter
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from fairnc_utils import assets, hub, tasks, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.tasks import base, biographies, glue, nli

# ------------------------------------------------------------------------------------------ metrics

CLASSES = {
    base.accuracy: sklearn.metrics.accuracy_score,
    base.f1: sklearn.metrics.f1_score,
    base.matthews: sklearn.metrics.matthews_corrcoef,
}
NUMBERS = {base.pearson: scipy.stats.pearsonr, base.spearman: scipy.stats.spearmanr}


@pytest.mark.parametrize("metric", CLASSES, ids=lambda metric: metric.__name__)
def test_class_metrics_equal_scikit_learns_row_by_row(metric):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (6, 50)).astype(float)
    predicted = np.where(rng.random((6, 50)) < 0.7, label, 1 - label)
    expected = [100 * CLASSES[metric](y, p) for y, p in zip(label, predicted, strict=True)]
    np.testing.assert_allclose(metric(predicted, label, axis=-1), expected, atol=1e-10)


@pytest.mark.parametrize("metric", NUMBERS, ids=lambda metric: metric.__name__)
def test_number_metrics_equal_scipys_row_by_row(metric):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, (6, 50)).astype(float)  # with ties
    predicted = label + rng.normal(0, 2, (6, 50)).round(1)
    expected = [
        100 * NUMBERS[metric](p, y).statistic for y, p in zip(label, predicted, strict=True)
    ]
    np.testing.assert_allclose(metric(predicted, label, axis=-1), expected, atol=1e-10)


@pytest.mark.parametrize(
    "metric",
    [base.f1, base.matthews, base.pearson, base.spearman],
    ids=lambda metric: metric.__name__,
)
def test_a_constant_prediction_scores_nothing(metric):
    label = np.array([0.0, 1, 1, 0])
    assert metric(np.zeros(4), label) == 0
    assert metric(label, label) == 100


# --------------------------------------------------------------------------------------------- GLUE

#: Task → (header and rows of its file, the items that they are).
FILES = {
    "cola": (
        "src\t1\t\tThey drank the pub dry.\nsrc\t0\t*\tThey drank the pub.",
        [("They drank the pub dry.", 1), ("They drank the pub.", 0)],
    ),
    "sst2": (
        'sentence\tlabel\na "quoted start \t1\nflat \t0',
        [('a "quoted start ', 1), ("flat ", 0)],
    ),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe left .\tHe went .\n0\t7\t8\tHe left .\tShe stayed .",
        [("He left .", "He went .", 1), ("He left .", "She stayed .", 0)],
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow come?\t1\n5\t6\ttorn\n"
        "4\t2\t3\tWhy?\tWho?\t0",
        [("Why?", "How come?", 1), ("Why?", "Who?", 0)],
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tg\tf\ty\t1\ts\ts\tA plane.\tAn air plane.\t4.75\n1\tg\tf\ty\t2\ts\ts\tA man.\tA dog.\t0.000",
        [("A plane.", "An air plane.", 4.75), ("A man.", "A dog.", 0.0)],
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
        "\tsentence1\tsentence2\tlabel1\tgold_label\n0\t1\t2\tg\tb\tb\tp\tp\tHe ran.\tHe moved.\tentailment\tentailment\n"
        "1\t1\t3\tg\tb\tb\tp\tp\tHe ran.\tHe sat.\tneutral\tcontradiction",
        [("He ran.", "He moved.", 0), ("He ran.", "He sat.", 2)],
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n0\tWho?\tAda did.\tentailment\n1\tWho?\tIt rains.\tnot_entailment",
        [("Who?", "Ada did.", 0), ("Who?", "It rains.", 1)],
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n1\tC.\tD.\tentailment",
        [("A.", "B.", 1), ("C.", "D.", 0)],
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n1\tC.\tD.\t0",
        [("A.", "B.", 1), ("C.", "D.", 0)],
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty $FAIRNC_DATA."""
    monkeypatch.setenv("FAIRNC_DATA", str(tmp_path))
    return tmp_path


def write(folder, key, content):
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def file_of(name, split):
    form = next(form for form in glue.FORMATS if form.name == name)
    return f"glue/{form.folder}/{dict(form.files)[split]}.tsv"


def test_every_glue_task_is_tried():
    assert set(FILES) == set(glue.GLUE)
    assert len(glue.GLUE) == 9


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["unix", "dos"])
def test_files_of_the_glue_download_are_read(name, newline, folder, tokenizer):
    task, (content, expected) = tasks.get(name), FILES[name]
    for split in task.splits:
        write(folder, file_of(name, split), content.replace("\n", newline) + newline)
        items = task.items(split)
        columns = [column for column in items.column_names if column != "item_id"]
        assert columns[-1] == "label"
        assert [tuple(item[column] for column in columns) for item in items] == expected
        assert items["item_id"][:] == ["0", "1"]
    row = task.inputs(tokenizer, items, 32)[0]
    assert tokenizer.decode(row["input_ids"]).count("[SEP]") == len(columns) - 1
    assert max(row["token_type_ids"]) == len(columns) - 2


def test_metrics_are_those_of_the_paper():
    assert {name: next(iter(task.metrics)) for name, task in glue.GLUE.items()} == {
        "cola": "matthews",
        "sst2": "accuracy",
        "mrpc": "f1",
        "qqp": "f1",
        "stsb": "spearman",
        "mnli": "accuracy",
        "qnli": "accuracy",
        "rte": "accuracy",
        "wnli": "accuracy",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rte",
            "index\tsentence1\tlabel\n0\tA.\tentailment",
            "train.tsv, line 1: there is no column 'sentence2' among index",
        ),
        (
            "rte",
            "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n1\tA.\tB.",
            "glue/RTE/train.tsv, line 3: 3 fields set apart by tabs; there should be 4",
        ),
        (
            "rte",
            "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tyes",
            "RTE/train.tsv, line 2: label 'yes' is none of",
        ),
        (
            "rte",
            "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t2",
            "line 2: label '2' is none of entailment, not_entailment",
        ),
        ("cola", "src\t1\t\tFine.\nsrc\t1\tFine.", "glue/CoLA/train.tsv, line 2: 3 fields"),
        (
            "stsb",
            FILES["stsb"][0].replace("4.75", "high"),
            "STS-B/train.tsv, line 2: 'high' is no number",
        ),
        ("sst2", b"sentence\tlabel\nna\xefve\t1", "glue/SST-2/train.tsv is not UTF-8 text"),
        ("sst2", "sentence\tlabel\n", "the split train has no items"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(name, content, message, folder):
    write(folder, file_of(name, "train"), content)
    with pytest.raises(FairNCError, match=message):
        tasks.get(name).items("train")


def test_a_missing_task_names_both_remedies(folder):
    with pytest.raises(
        FairNCError,
        match=r"no file \$FAIRNC_DATA/glue/RTE/train.tsv .* copy at \$FAIRNC_DATA/nyu-mll/glue",
    ):
        tasks.get("rte").items("train")


def test_the_hub_is_asked_for_the_split_that_it_has(folder, monkeypatch):
    asked = []

    def dataset(name, split, config=None):
        asked.append((name, config, split))
        return datasets.Dataset.from_dict(
            {"premise": ["a"], "hypothesis": ["b"], "label": [2], "idx": [0]}
        )

    monkeypatch.setattr(hub, "dataset", dataset)
    for split in tasks.get("mnli").splits:
        assert tasks.get("mnli").items(split)[0] == {
            "premise": "a",
            "hypothesis": "b",
            "label": 2,
            "item_id": "0",
        }
    assert asked == [
        ("nyu-mll/glue", "mnli", part)
        for part in ("train", "validation_matched", "validation_mismatched")
    ]


def test_a_hub_that_does_not_answer_is_asked_once(folder, monkeypatch):
    asked = []

    def silent(url, timeout):
        asked.append(url)
        raise ConnectionError("nobody there")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.utils.get_session(), "head", silent)
    assets.hub_silence.cache_clear()
    for name in ("rte", "snli"):
        with pytest.raises(
            FairNCError, match=r"the hub does not answer \(nobody there\); put a copy at"
        ):
            tasks.get(name).items("train")
    assets.hub_silence.cache_clear()
    assert len(asked) == 1


REAL = {"cola": (8_551, 1_043), "rte": (2_490, 277), "sst2": (67_349, 872)}


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_have_their_sizes(name):
    if not (Path(os.environ.get("FAIRNC_DATA", "/nowhere")) / file_of(name, "train")).is_file():
        pytest.skip(f"$FAIRNC_DATA has no {file_of(name, 'train')}")
    for split, size in zip(("train", "validation"), REAL[name], strict=True):
        items = tasks.get(name).items(split)
        assert len(items) == size
        assert set(items["label"]) == {0, 1}


# ---------------------------------------------------------------------------------------- inference

SICK = "pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set\n"


def test_sick_is_split_as_published(folder):
    write(
        folder,
        nli.SICK,
        SICK
        + "1\tA man.\tA dog.\tNEUTRAL\t4.5\tTRAIN\n4\tHe ran.\tHe moved.\tENTAILMENT\t3\tTRIAL\n"
        "6\tHe ran.\tHe sat.\tCONTRADICTION\t2\tTEST\n",
    )
    first_items = [tasks.get("sick").items(split)[0] for split in tasks.get("sick").splits]
    assert [(item["item_id"], item["premise"], item["label"]) for item in first_items] == [
        ("1", "A man.", 1),
        ("4", "He ran.", 0),
        ("6", "He ran.", 2),
    ]
    write(folder, nli.SICK, SICK + "1\tA man.\tA dog.\tNEUTRAL\t4.5\tDEV\n")
    with pytest.raises(
        FairNCError, match=r"sick/SICK.txt, line 2: SemEval_set 'DEV' is none of TRAIN, TRIAL, TEST"
    ):
        tasks.get("sick").items("train")


def test_tasks_of_inference_make_one_kind_of_model_and_say_what_they_learned_from():
    assert {
        (task.name, task.kind, task.corpus)
        for task in tasks.TASKS.values()
        if task.labels == glue.ENTAILMENT
    } == {("snli", "nli", "SNLI"), ("sick", "nli", "SICK"), ("mnli", "nli", "GLUE MNLI")}


def test_missing_inference_data_names_its_place(folder):
    with pytest.raises(
        FairNCError, match=r"sick: sick/SICK.txt .* put it at \$FAIRNC_DATA/sick/SICK.txt"
    ):
        tasks.get("sick").items("train")
    with pytest.raises(FairNCError, match=r"put a copy at \$FAIRNC_DATA/stanfordnlp/snli"):
        tasks.get("snli").items("train")


def test_pairs_without_a_label_are_left_out(monkeypatch):
    table = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [-1, 2]}
    monkeypatch.setattr(hub, "dataset", lambda name, split: datasets.Dataset.from_dict(table))
    assert list(tasks.get("snli").items("test")) == [
        {"premise": "b", "hypothesis": "d", "label": 2}
    ]


# -------------------------------------------------------------------------------------- professions


@pytest.fixture(scope="module")
def bug():
    return {
        split: tasks.get("bug_profession").items(split) for split in ("train", "validation", "test")
    }


def test_professions_are_hidden_everywhere(bug):
    for profession in ("nurse", "engineer"):
        texts = [item["text"] for item in bug["test"] if item["profession"] == profession]
        assert len(texts) > 20
        assert all(biographies.HIDDEN in text for text in texts)
        assert not any(
            word.casefold() in (profession, f"{profession}s")
            for text in texts
            for word in text.split()
        )
    assert biographies.hide("Nurses, a nurse and a wet-nurse nursed.", "nurse") == (
        "[PROFESSION], a [PROFESSION] and a wet-[PROFESSION] nursed."
    )


def test_sentences_stay_on_one_side_whatever_their_capitals(bug):
    seen = {split: {text.casefold() for text in items["text"]} for split, items in bug.items()}
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & (seen["train"] | seen["test"])
    total = sum(map(len, bug.values()))
    for split, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert len(bug[split]) / total == pytest.approx(share, abs=0.01)
        assert len(set(bug[split]["item_id"])) == len(bug[split])
    assert biographies.part_of("The Nurse .") == biographies.part_of("the nurse .")


def test_the_professions_are_those_with_a_hundred_sentences_of_each_gender():
    rows = csv.DictReader(io.StringIO(assets.read("BUG/full_BUG.csv").decode()))
    listed = {word for word, _ in words.profession_words()}
    count = Counter(
        (row["profession"].lower(), row["g"].lower() in {"she", "her", "hers", "herself"})
        for row in rows
    )
    often = {word for word in listed if min(count[word, True], count[word, False]) >= 100}
    assert sorted(often) == list(biographies.BUG_PROFESSIONS)


def test_the_number_of_masks_tells_nothing(bug, tokenizer):
    items = bug["test"].select(range(40))
    inputs = tasks.get("bug_profession").inputs(tokenizer, items, 128)
    for text, row in zip(items["text"], inputs, strict=True):
        assert (
            row["input_ids"].count(tokenizer.mask_token_id) == text.count(biographies.HIDDEN) >= 1
        )


def test_a_broken_bug_file_is_named_with_its_line(folder):
    write(
        folder, "BUG/full_BUG.csv", ",sentence_text,profession\n0,The nurse and her hat .,nurse\n"
    )
    biographies._bug_items.cache_clear()
    with pytest.raises(FairNCError, match=r"BUG/full_BUG.csv, line 1: no column .g."):
        tasks.get("bug_profession").items("train")


def test_biographies_have_names_for_their_numbers(monkeypatch):
    table = {"hard_text": ["She plays .", "He heals ."], "profession": [23, 19], "gender": [1, 0]}
    asked = []
    monkeypatch.setattr(
        hub, "dataset", lambda *name: asked.append(name) or datasets.Dataset.from_dict(table)
    )
    items = tasks.get("bias_in_bios").items("validation")
    assert asked == [("LabHC/bias_in_bios", "dev")]
    triples = [(item["profession"], item["gender"], item["label"]) for item in items]
    assert triples == [("rapper", "female", 23), ("physician", "male", 19)]
    assert len(biographies.BIOS_PROFESSIONS) == 28
    table.pop("gender")
    with pytest.raises(FairNCError, match="no column 'gender'"):
        tasks.get("bias_in_bios").items("train")
