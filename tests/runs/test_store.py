"""The run store: what is there is not computed again, what differs is, and a trained model comes
back with its run.
"""

import pandas as pd
import pytest

from fairnc_utils import models, runs
from fairnc_utils.debias import train as debiasing
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import store
from fairnc_utils.runs.rows import Run, load, make

TRAIN = {
    "model": "random",
    "device": "cpu",
    "method": "bec",
    "steps": 1,
    "batch_size": 4,
    "texts": 16,
    "evaluation_texts": 60,
    "min_count": 2,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(store.ENVIRONMENT, str(tmp_path / "store"))
    return tmp_path / "store"


def counting():
    """A stored function of the shape of those of ``runs``, and the list of its calls."""
    calls = []

    @store.stored
    def measure(*compared: Run, **options) -> Run:
        calls.append(options)
        evidence = {"words": {"b": 1, "a": [2, float("nan")]}}
        items = pd.DataFrame({"item_id": ["x"], "score_a": [0.5]}, index=[7])
        row = {"metric": "nc3", "value": len(calls), "ci_low": float("nan")}
        return make(dict(options), [row], items, device="cpu", evidence=evidence)

    return measure, calls


def test_every_run_can_be_stored():
    computing = set(runs.__all__) - {"recorded_trajectory"}
    assert {name for name in computing if hasattr(getattr(runs, name), "__wrapped__")} == computing


def test_without_a_store_everything_is_computed(monkeypatch):
    monkeypatch.delenv(store.ENVIRONMENT, raising=False)
    measure, calls = counting()
    measure(seed=0), measure(seed=0)
    assert len(calls) == 2


def test_a_run_that_is_there_is_read_back_as_it_was(folder):
    measure, calls = counting()
    first, second = measure(seed=0, words=["gender"]), measure(seed=0, words=["gender"])
    assert len(calls) == 1
    pd.testing.assert_frame_equal(first.results, second.results)
    pd.testing.assert_frame_equal(first.items.reset_index(drop=True), second.items)
    assert list(second.provenance["evidence"]["words"]) == [
        "b",
        "a",
    ]  # in the order in which tables show them
    assert second.run_id == first.run_id


def test_other_options_and_other_compared_runs_are_other_entries(folder):
    measure, calls = counting()
    first, second = measure(seed=0), measure(seed=1)
    measure(first, second), measure(second, first), measure(first, second)
    assert len(calls) == 4


def test_a_file_that_an_option_names_counts_by_its_content(folder, tmp_path):
    measure, calls = counting()
    (tmp_path / "model").mkdir()
    for name, text in (("mine.txt", "she"), ("model/config.json", "{}")):
        file = tmp_path / name
        options = {"words": [{"file": str(file if file.suffix == ".txt" else file.parent)}]}
        before = len(calls)
        for content in (text, text, text + " "):
            file.write_text(content)
            measure(**options)
        assert len(calls) == before + 2


def test_a_damaged_entry_is_made_anew(folder):
    measure, calls = counting()
    measure(seed=0)
    (file,) = folder.rglob("results.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    measure(seed=0), measure(seed=0)
    assert len(calls) == 2


def test_a_store_that_cannot_be_written_costs_no_run(folder, capsys):
    folder.write_text("no folder")
    measure, _ = counting()
    assert measure(seed=0).results["value"].tolist() == [1]
    assert "is not kept" in capsys.readouterr().err


def test_a_saved_run_stays_when_its_chapter_is_drawn_anew(folder, tmp_path):
    measure, _ = counting()
    saved = measure(seed=0).save(tmp_path / "results")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*")}
    run = measure(seed=0).save(tmp_path / "results")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*")} == before
    changed = Run(run.run_id, run.results.assign(value=9.0), run.items, run.provenance)
    changed.save(tmp_path / "results")
    assert load(tmp_path / "results")["value"].tolist() == [9] != saved.results["value"].tolist()


def test_runs_that_a_chapter_did_not_make_are_no_part_of_the_book(tmp_path):
    measure, _ = counting()
    ours, other = (measure(seed=seed).save(tmp_path / "01-chapter") for seed in (0, 1))
    assert set(load(tmp_path)["run_id"]) == {ours.run_id, other.run_id}
    (tmp_path / "01-chapter/runs.txt").write_text(f"{ours.run_id}\n")
    assert set(load(tmp_path)["run_id"]) == set(load(tmp_path, "items")["run_id"]) == {ours.run_id}


@pytest.mark.slow
def test_a_trained_model_comes_back_with_its_run(folder, tmp_path, monkeypatch):
    output = tmp_path / "models/bec"
    first = runs.train(**TRAIN, output=output)
    weights = (output / "model.safetensors").read_bytes()
    monkeypatch.setattr(debiasing, "train", lambda *_, **__: pytest.fail("it was trained already"))
    runs.train(**TRAIN, output=output)  # it lies there as the run left it
    for file in output.iterdir():
        file.unlink()
    output.rmdir()  # as Snakemake empties what a chapter wrote
    again = runs.train(**TRAIN, output=output)
    assert (output / "model.safetensors").read_bytes() == weights
    assert models.load(str(output), device="cpu").kind == "masked"
    pd.testing.assert_frame_equal(first.results, again.results)
    elsewhere = runs.train(**TRAIN, output=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/model.safetensors").read_bytes() == weights
    assert elsewhere.run_id == first.run_id


@pytest.mark.slow
def test_a_folder_with_something_else_is_not_taken_for_the_model(folder, tmp_path):
    runs.train(**TRAIN, output=tmp_path / "bec")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(FairNCError, match=r"other has notes\.txt, which was not written by it"):
        runs.train(**TRAIN, output=tmp_path / "other")
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["notes.txt"]
