"""Nothing that a user has is lost where a run or a model is saved, and what cannot be saved is said
before the work starts.
"""

import shutil

import pandas as pd
import pytest
import yaml

from fairnc_utils import models, runs, training
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli, recording
from fairnc_utils.runs.rows import Run

TINY = {
    "model": "random",
    "device": "cpu",
    "method": "bec",
    "texts": 12,
    "batch_size": 8,
    "steps": 1,
    "evaluation_texts": 12,
    "min_count": 2,
}


@pytest.fixture
def untrained(monkeypatch):
    """Nothing is trained, nor even measured: whoever tries fails."""

    def fail(*arguments, **options):
        pytest.fail("the work has started")

    monkeypatch.setattr(training, "fit", fail)
    monkeypatch.setattr(models, "load", fail)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a model that `fairnc train` has saved."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    runs.train(**TINY, output=folder)
    return folder


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refused(folder, tmp_path, capsys, message, **options):
    """The command says in one line what is wrong with the option, and everything is as it was."""
    before = content(tmp_path)
    config = tmp_path.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(TINY | options))
    assert cli.main(["train", "--config", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert content(tmp_path) == before


def test_a_folder_with_other_files_is_not_replaced(untrained, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    folder = tmp_path / "thesis"
    refused(
        folder, tmp_path, capsys, f"option output: {folder} has chapter.tex", output=str(folder)
    )


def test_the_current_folder_is_not_replaced(untrained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(".", tmp_path, capsys, "is the current folder", output=".")
    (tmp_path / "notes").write_text("mine")
    refused(".", tmp_path, capsys, "has notes", output=".")


def test_a_file_is_not_replaced(untrained, tmp_path, capsys):
    (tmp_path / "model").write_text("mine")
    refused("model", tmp_path, capsys, "is a file", output=str(tmp_path / "model"))
    refused("model", tmp_path, capsys, "is a file", output=str(tmp_path / "model" / "inside"))
    refused("model", tmp_path, capsys, "is a file", checkpoint=str(tmp_path / "model"))


def test_a_model_that_is_not_ours_is_not_replaced(untrained, trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "model")
    (tmp_path / "model" / "fairnc.json").unlink()
    refused(
        "model", tmp_path, capsys, "choose a new or empty folder", output=str(tmp_path / "model")
    )


@pytest.mark.parametrize("name", ["notes.md", "config.json"])
def test_a_model_of_ours_with_work_of_the_user_is_not_replaced(
    untrained, trained, tmp_path, capsys, name
):
    shutil.copytree(trained, tmp_path / "model")
    (tmp_path / "model" / name).write_text("mine")
    refused("model", tmp_path, capsys, f"has {name}", output=str(tmp_path / "model"))


def test_new_and_empty_folders_and_older_models_of_ours_are_written_to(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "older")
    (tmp_path / "empty").mkdir()
    for name in ("older", "empty", "a/new"):
        runs.train(**TINY | {"seed": 1}, output=tmp_path / name)
        assert models.load(str(tmp_path / name), device="cpu").kind == "masked"
        assert content(tmp_path / name).keys() == content(trained).keys()
        assert content(tmp_path / name) != content(trained)
    assert {path.name for path in tmp_path.iterdir()} == {"older", "empty", "a"}


def test_what_others_put_beside_a_run_stays_when_it_is_saved_again(tmp_path):
    run = Run("run", pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}), {"run_id": "run"})
    run.save(tmp_path)
    (tmp_path / "run" / "notes.md").write_text("mine")
    (tmp_path / "run" / "plots").mkdir()
    (tmp_path / "run" / "plots" / "one.png").write_text("mine")
    Run("run", pd.DataFrame({"a": [2]}), run.items, run.provenance).save(tmp_path)
    assert pd.read_csv(tmp_path / "run" / "results.csv")["a"].tolist() == [2]
    assert (tmp_path / "run" / "notes.md").read_text() == "mine"
    assert (tmp_path / "run" / "plots" / "one.png").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("command", ["train", "measure", "study"])
def test_a_file_as_folder_of_runs_is_refused_at_once(untrained, tmp_path, capsys, command):
    (tmp_path / "runs").write_text("mine")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(TINY))
    config = {"study": str(tmp_path / "run.yaml"), "train": str(tmp_path / "run.yaml")}.get(command)
    options = ["--config", config] if config else []
    assert cli.main([command, *options, "--out", str(tmp_path / "runs")]) == 2
    assert f"{tmp_path / 'runs'} is a file" in capsys.readouterr().err
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_study_is_not_recorded_over_other_files(tmp_path):
    run = Run("run", pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}), {"run_id": "run"})
    run.save(tmp_path / "runs")
    before = content(tmp_path)
    with pytest.raises(
        FairNCError, match="is of something else than a recorded study: choose a new"
    ):
        recording.gather(tmp_path / "runs", target=tmp_path / "runs" / "run")
    assert content(tmp_path) == before


def test_a_checkpoint_that_is_none_is_said_and_stays(tmp_path):
    import torch

    torch.save({"weight": torch.zeros(2)}, tmp_path / "checkpoint.pt")
    before = content(tmp_path)
    with pytest.raises(FairNCError, match="is no checkpoint"):
        runs.train(**TINY, checkpoint=tmp_path)
    assert content(tmp_path) == before
