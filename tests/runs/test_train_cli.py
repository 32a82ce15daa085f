"""`fairnc train`: what `study.train` does, from a file; bad configurations are one line; a killed
run goes on.
"""

import json
import os
import signal
import subprocess
import time

import pytest
import yaml
from helpers import commands

from fairnc_utils import models, runs
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli
from fairnc_utils.runs.rows import load

TINY = {
    "model": "random",
    "device": "cpu",
    "method": "bec",
    "texts": 12,
    "batch_size": 8,
    "steps": 4,
    "evaluation_texts": 12,
    "min_count": 2,
    "log_every": 2,
    "evaluate_every": 2,
}


@pytest.fixture(scope="module")
def run():
    return runs.train(**TINY, regularizer="corrected", lam=3)


def test_train_gives_rows_before_and_after(run):
    assert set(run.results["metric"]) == {
        "nc3",
        "unc3",
        "masked_perplexity",
        "loss",
        "task",
        "penalty",
        "gradient_norm",
    }
    base, trained = run.select(method="base"), run.select(method="bec")
    assert set(base["metric"]) == {"nc3", "unc3", "masked_perplexity"}
    assert base["lam"].unique() == [0]
    assert set(trained["regularizer"]) == {"corrected"}
    assert trained["lam"].unique() == [3]
    value = trained.set_index("metric")["value"]
    assert value["loss"] == pytest.approx(value["task"] + value["penalty"])
    assert value["masked_perplexity"] != base.set_index("metric")["value"]["masked_perplexity"]
    assert run.provenance["evidence"]["recipe"]["lr"] == 2e-5


def test_train_scores_what_is_asked_for_after_training(lm):
    options = TINY | {"benchmarks": ["occupation_slope:bls"]}
    scored = runs.train(**options)
    rows = scored.select(benchmark="occupation_slope")
    assert set(rows["method"]) == {"bec"}
    assert {"slope", "lean"} <= set(rows["metric"])
    assert set(scored.items["benchmark"]) == {"training", "occupation_slope"}
    refused = {
        "occupation_slope:dev": "no split 'dev'",
        "stereoset:dev:sex": "no axis 'sex'",
        "weat": "unknown",
    }
    for wanted, message in refused.items():
        with pytest.raises(FairNCError, match=message):
            runs.train(**options | {"benchmarks": [wanted]})


def test_recorded_runs_are_marked_and_whole(run, tmp_path, capsys):
    run.save(tmp_path / "runs")
    assert cli.main(["record", str(tmp_path / "runs"), "--to", str(tmp_path / "kept")]) == 0
    assert capsys.readouterr().out.strip() == run.run_id
    kept = load(tmp_path / "kept")
    assert set(kept["origin"]) == {"recorded"}
    assert kept["value"].tolist() == run.results["value"].tolist()
    assert (
        json.loads((tmp_path / "kept" / run.run_id / "provenance.json").read_text())
        == run.provenance
    )
    assert cli.main(["record", str(tmp_path / "nothing")]) == 2
    assert "no run below" in capsys.readouterr().err


def test_train_items_are_the_learning_curve(run):
    curve = run.items.pivot(index="item_id", columns="unit", values="score_a")
    assert set(run.items["benchmark"]) == {"training"}
    assert list(curve.index) == ["0", "2", "4"]
    assert curve["unc3"].notna().all()
    assert curve["task"].notna().tolist() == [False, True, True]


def test_seed_decides(run):
    again, other = (
        runs.train(**TINY, regularizer="corrected", lam=3, seed=seed) for seed in (0, 1)
    )
    steady = [metric for metric in run.items["unit"].unique() if metric != "seconds_per_step"]
    values = [
        r.items[r.items["unit"].isin(steady)]["score_a"].tolist() for r in (run, again, other)
    ]
    assert values[0] == values[1] != values[2]
    assert run.run_id == again.run_id != other.run_id


def test_released_weight_and_mapping():
    short = TINY | {"steps": 1}
    released = runs.train(**short, regularizer="as_released").select(method="bec")
    assert released["lam"].unique() == [100]
    assert released["regularizer"].unique() == ["as_released"]
    listed = runs.train(**short, regularizer="as_released", nc3_words="gender").select(method="bec")
    assert listed["regularizer"].unique() == ["as_released,words=gender"]
    penalty = [rows.set_index("metric")["value"]["penalty"] for rows in (released, listed)]
    assert penalty[0] != penalty[1]
    mapped = runs.train(**short, regularizer={"kind": "align"}).select(method="bec")
    assert mapped["lam"].unique() == [10]
    assert mapped["regularizer"].unique() == ["corrected,kind=align"]


def test_words_of_one_s_own_are_trained_on_and_measured(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("word,group\nhe,x\nshe,y\nhis,x\nher,y\n")
    options = TINY | {
        "steps": 1,
        "regularizer": "corrected",
        "nc3_words": str(path),
        "collapse": [str(path)],
    }
    trained = runs.train(**options)
    assert set(trained.select(method="bec")["regularizer"]) == {f"corrected,words={path}"}
    assert trained.select(benchmark="collapse", metric="nc3")["axis"].tolist() == [str(path)]
    assert trained.provenance["evidence"]["word_lists"].keys() == {str(path)}


# ------------------------------------------------------------------------------------- command line


def write(folder, options):
    file = folder / "run.yaml"
    file.write_text(options if isinstance(options, str) else yaml.safe_dump(options))
    return str(file)


def test_train_command_prints_the_rows_and_saves_run_and_model(capsys, tmp_path, run):
    file = write(
        tmp_path, TINY | {"regularizer": "corrected", "lam": 3, "output": str(tmp_path / "model")}
    )
    assert cli.main(["train", "--config", file, "--json", "--out", str(tmp_path / "runs")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["value"] for row in rows] == run.results["value"].tolist()
    assert rows[0]["run_id"] == run.run_id  # where the model goes does not change what the run is
    assert (tmp_path / "runs" / run.run_id / "provenance.json").is_file()
    assert models.load(str(tmp_path / "model"), device="cpu").kind == "masked"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "bce"},
            "unknown method 'bce': choose mlm, bec, mabel, mabel_nli, ase, adept, adept_prefix, cda, clm, dropout",
        ),
        ({"method": "adept_prefix", "regularizer": "corrected"}, "no language modelling head"),
        ({"method": "adept_prefix", "output": "model"}, "cannot be saved: its prefix is no part"),
        (
            {"learning_rate": 1},
            "option learning_rate: no such option; options are model, ",
        ),
        ({"lam": -1}, "option lam = -1: Input should be greater than or equal to 0"),
        (
            {"regularizer": "on"},
            "option regularizer = 'on': choose none, corrected, repaired, as_released, swap or a mapping of kind, ",
        ),
        (
            {"regularizer": {"knd": "align"}},
            "option regularizer.knd: no such NC3 option; options are preset, kind, ",
        ),
        ({"regularizer": {"kind": "aline"}}, "choose uniform, align, both"),
        (
            {"regularizer": "as_released", "method": "mlm"},
            "no released NC3 script for 'mlm': choose bec, ",
        ),
        ("method", "write one option a line"),
        ("a: [", "run.yaml"),
        ("steps: 3", "option method: Field required"),
        (
            "metod: bec",
            "option method: Field required (as `fairnc list methods` names them, or base: nothing is trained); "
            "option metod: no such option; options are model, ",
        ),
        ("metod: bec", "; did you mean method?"),
        ({"stepz": 3, "txts": 9}, "option stepz, txts: no such options; options are model, "),
    ],
)
def test_bad_configuration_is_status_2_and_one_line(capsys, tmp_path, options, message):
    file = write(tmp_path, TINY | options if isinstance(options, dict) else options)
    assert cli.main(["train", "--config", file]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err.splitlines()[-1]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize(
    ("command", "method"), [("train", "bec"), ("trajectory", "bec"), ("trajectory", "base")]
)
def test_causal_models_are_one_line(capsys, tmp_path, tiny, family, method, command):
    lm = tiny(family)
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    kept = TINY.keys() - {"log_every", "evaluate_every"} if command == "trajectory" else TINY.keys()
    options = {key: TINY[key] for key in kept} | {
        "method": method,
        "model": str(tmp_path / "model"),
    }
    assert cli.main([command, "--config", write(tmp_path, options)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    if (command, method) == ("trajectory", "base"):
        assert "unknown method 'base'" in line
    else:
        assert f"method {method} takes masked language models" in line
        assert (
            f"{tmp_path / 'model'} is causal: choose one such as BERT, RoBERTa or DistilBERT"
            in line
        )


def test_missing_file_is_status_2(capsys, tmp_path):
    assert cli.main(["train", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.robustness
def test_killed_run_goes_on_to_the_identical_model(tmp_path):
    """A real SIGKILL after the first checkpoint; weights, dropout, masks and NC3's memory end as if
    nothing had happened.

    Each run is a process of its own, as on a command line: rounding may depend on what a process
    did before.
    """
    options = TINY | {
        "regularizer": "corrected",
        "method": "dropout",
        "steps": 24,
        "checkpoint_every": 2,
        "evaluate_every": 24,
    }
    checkpoint = tmp_path / "run" / "checkpoint.pt"

    def command(name, folder):
        folders = {"checkpoint": str(tmp_path / folder), "output": str(tmp_path / name)}
        return commands.train(tmp_path / f"{name}.yaml", options | folders)

    process = subprocess.Popen(
        command("killed", "run"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not checkpoint.is_file():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()

    with pytest.raises(FairNCError, match="belongs to another run"):
        runs.train(**options | {"seed": 1}, checkpoint=tmp_path / "run")
    rows = []
    for name, folder in {"resumed": "run", "whole": "other"}.items():
        done = subprocess.run(
            command(name, folder), capture_output=True, text=True, check=True, timeout=300
        )
        rows.append([json.loads(line)["value"] for line in done.stdout.splitlines()])
    weights = [
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("resumed", "whole")
    ]
    assert weights[0] == weights[1]
    assert rows[0] == rows[1]
