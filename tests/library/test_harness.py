"""Beside lm-evaluation-harness: its samples are compared, our tasks give it the numbers of ours."""

import json
import math
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml

from fairnc_utils import benchmarks, harness
from fairnc_utils.compare import Decision, compare
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli
from fairnc_utils.runs import export as exports

DATE = "2026-01-02T03-04-05.678901"


def sample(number: int, **values) -> dict:
    """One line of a file of samples."""
    told = {"doc_id": number, "doc": {"text": str(number)}, "filter": "none"}
    return told | {"metrics": list(values), "doc_hash": f"{number:064x}"} | values


def written(folder: Path, scores, *, metric: str = "acc", date: str = DATE, higher=True) -> Path:
    """A folder as ``--log_samples`` leaves it, of one task."""
    inside = folder / "some__model"
    inside.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(sample(i, **{metric: float(x)})) for i, x in enumerate(scores)]
    (inside / f"samples_task_a_{date}.jsonl").write_text("\n".join(lines) + "\n")
    results = {"higher_is_better": {"task_a": {metric: higher}}}
    (inside / f"results_{date}.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    first = (rng.random(400) < 0.7).astype(float)
    second = np.where(rng.random(400) < 0.15, 0.0, first)
    return first, second


def test_two_runs_are_compared_document_by_document(tmp_path, scores):
    first, second = scores
    folders = [str(written(tmp_path / name, each)) for name, each in zip("ab", scores, strict=True)]
    (test,) = compare(*folders, margins={"acc": 0.02}).tests
    assert test.first.value == pytest.approx(first.mean())
    assert test.change.value == pytest.approx((second - first).mean())
    assert test.change.error == pytest.approx((second - first).std(ddof=1) / 20, rel=0.06)
    assert test.decision is Decision.WORSE
    assert test.loss.value == pytest.approx(-test.change.value)
    (test,) = compare(*folders[::-1], margins={"acc": 0.02}).tests
    assert test.decision is Decision.NOT_WORSE


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({"ac": 0.02}, "nothing that was compared: choose acc, task_a/acc$"),
        ({"acc": math.nan}, "margin acc = nan: give a number from 0 on"),
    ],
)
def test_a_margin_of_samples_is_told_what_it_may_be(tmp_path, scores, margins, message):
    folders = [str(written(tmp_path / name, each)) for name, each in zip("ab", scores, strict=True)]
    with pytest.raises(FairNCError, match=message):
        compare(*folders, margins=margins)


def test_the_newest_run_of_a_task_counts_and_lower_may_be_better(tmp_path, scores):
    first, second = scores
    written(tmp_path / "a", first, higher=False)
    written(tmp_path / "a", second, date="2026-01-03T00-00-00.000000", higher=False)
    written(tmp_path / "b", second, higher=False)
    comparison = compare(str(tmp_path / "a"), str(tmp_path / "b"), margins={"acc": 0.0})
    assert comparison.tests[0].change.value == 0
    assert comparison.tests[0].described.better == -1


def test_only_the_same_documents_are_pairs(tmp_path, scores):
    written(tmp_path / "a", scores[0][:50])
    written(tmp_path / "b", scores[0][:60])
    (test,) = compare(str(tmp_path / "a"), str(tmp_path / "b")).tests
    assert (test.change.units, test.left_out) == (50, 10)


def _spoil(folder: Path, change) -> None:
    (file,) = folder.glob("*/samples_*.jsonl")
    lines = file.read_text().splitlines()
    lines[3] = change(lines[3])
    file.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: re.sub(r'"acc": [\d.]+', '"acc": NaN', line), "sample 3:none has acc = nan"),
        (lambda line: re.sub(r'"acc": [\d.]+', '"acc": -Infinity', line), "has acc = -inf"),
        (lambda line: line[:20], "line 4: no sample of lm-evaluation-harness"),
        (lambda line: "[1]", "line 4: no sample"),
        (lambda line: "[" * 100_000, "line 4: no sample"),
        (lambda line: line.replace('"doc_id": 3', '"doc_id": 2'), "stands there twice"),
    ],
)
def test_damaged_samples_are_refused_by_name(tmp_path, capsys, scores, change, message):
    for name in "ab":
        written(tmp_path / name, scores[0][:50])
    _spoil(tmp_path / "b", change)
    assert cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_folders_that_do_not_go_together_are_refused(tmp_path, scores):
    written(tmp_path / "a", scores[0][:50])
    written(tmp_path / "b", scores[0][:50], metric="f1")
    with pytest.raises(FairNCError, match="nothing can be compared"):
        compare(str(tmp_path / "a"), str(tmp_path / "b"))
    with pytest.raises(FairNCError, match="compare two models, or two folders of samples"):
        compare(str(tmp_path / "a"), "random")
    (tmp_path / "a/another__model").mkdir()
    (tmp_path / "a/another__model" / f"samples_task_a_{DATE}.jsonl").write_text("{}")
    with pytest.raises(FairNCError, match="samples of several models"):
        harness.read_samples(str(tmp_path / "a"))


def test_a_file_too_large_to_read_is_refused(tmp_path, scores, monkeypatch):
    written(tmp_path / "a", scores[0][:50])
    monkeypatch.setattr(harness.assets, "LARGEST", 1000)
    with pytest.raises(FairNCError, match="compare fewer samples"):
        harness.read_samples(str(tmp_path / "a"))


# ---------------------------------------------------------------- exports


def test_tasks_are_written_once_and_never_over_other_files(tmp_path, capsys):
    out = tmp_path / "tasks"
    arguments = ["export", "lm-eval", "--out", str(out), "--axis", "gender", "--split", "dev"]
    assert cli.main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(harness.WRITTEN)
    assert len((out / "stereoset.jsonl").read_text().splitlines()) == 255
    assert len((out / "crows.jsonl").read_text().splitlines()) == 262
    assert cli.main(arguments) == 0
    (out / "mine.txt").write_text("kept")
    assert cli.main(arguments) == 2
    assert "mine.txt" in capsys.readouterr().err
    assert cli.main([*arguments[:-1], "test2", "--axis", "gender"]) == 2


def test_the_tasks_compute_what_our_benchmarks_compute(tmp_path, tiny):
    """Without the harness: its hooks, on our log-likelihoods, aggregated as its task files say."""
    harness.export_tasks(tmp_path / "tasks", split="dev", axis="religion")
    names = runpy.run_path(str(tmp_path / "tasks/utils.py"))
    assert names["crows"]()["test"].num_rows == 105
    lm = tiny("gpt2", n_positions=258)
    for task, benchmark, own in (
        ("crows", "crows_causal", "all"),
        ("stereoset", "stereoset_intra_causal", "dev"),
    ):
        ours = benchmarks.get(benchmark)
        rows = ours.run(lm, split=own, axis="religion")
        docs = [
            json.loads(line) for line in (tmp_path / f"tasks/{task}.jsonl").read_text().splitlines()
        ]
        columns = ["score_a", "score_b"] if task == "crows" else ["score_a", "score_b", "score_c"]
        scored = [
            names[f"{task}_results"](doc, [(score, False) for score in scores])
            for doc, scores in zip(docs, rows[columns].to_numpy(), strict=True)
        ]
        assert names[f"{task}_choices"](docs[0])[0] in docs[0].values()
        estimates = ours.estimates(rows)
        text = (tmp_path / f"tasks/fairnc_{task}.yaml").read_text().replace("!function ", "")
        for metric in yaml.safe_load(text)["metric_list"]:
            name, how = metric["metric"], metric["aggregation"]
            function = np.mean if how == "mean" else names[how.removeprefix("utils.")]
            value = function([each[name] for each in scored])
            assert value == pytest.approx(estimates[name].value, abs=1e-9), name
        assert {metric["metric"] for metric in yaml.safe_load(text)["metric_list"]} == set(
            estimates
        )


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed")
@pytest.mark.parametrize(
    ("family", "longer"),
    [("gpt2", {"n_positions": 258}), ("llama", {"max_position_embeddings": 258})],
)
def test_the_harness_gives_the_numbers_of_fairnc_score(tmp_path, tiny, family, longer):
    """From the command line of either, on a small causal model; then its samples are compared."""
    lm = tiny(family, **longer)
    lm.model.save_pretrained(tmp_path / "model")
    lm.tokenizer.save_pretrained(tmp_path / "model")
    harness.export_tasks(tmp_path / "tasks", split="dev", axis="gender")
    model = f"pretrained={tmp_path / 'model'},dtype=float32"
    options = ["--model", "hf", "--model_args", model, "--include_path", str(tmp_path / "tasks")]
    options += ["--tasks", "fairnc_crows,fairnc_stereoset", "--device", "cpu", "--batch_size", "8"]
    options += ["--log_samples", "--output_path", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = (tmp_path / "out").glob("*/results_*.json")
    values = json.loads(results.read_text())["results"]
    for task, benchmark, own in (
        ("fairnc_crows", "crows_causal", "all"),
        ("fairnc_stereoset", "stereoset_intra_causal", "dev"),
    ):
        ours = benchmarks.get(benchmark)
        for name, estimate in ours.estimates(ours.run(lm, split=own, axis="gender")).items():
            theirs = values[task][f"{name},none"]
            assert theirs == pytest.approx(estimate.value, abs=1e-3), name
    same = compare(str(tmp_path / "out"), str(tmp_path / "out"))
    assert {test.metric for test in same.tests} >= {"stereotype_pct", "log_ratio"}
    assert not any(test.significant for test in same.tests)


def test_runs_become_the_model_index_of_a_model_card(tmp_path, capsys):
    options = "--model random --device cpu --benchmark definitional".split()
    assert cli.main(["score", *options, "--out", str(tmp_path / "runs")]) == 0
    out = tmp_path / "index.yaml"
    arguments = ["export", "model-index", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    capsys.readouterr()
    assert cli.main(arguments) == 0
    (index,) = yaml.safe_load(out.read_text())["model-index"]
    assert index["name"] == "random"
    result = index["results"][0]
    assert result["task"]["type"]
    assert result["dataset"] | {"split": "nouns"} == result["dataset"]
    rows = exports.load(tmp_path / "runs")
    (metric,) = result["metrics"]
    row = rows[(rows["axis"] == "all") & (rows["metric"] == "definitional")].iloc[0]
    assert metric["value"] == pytest.approx(row["value"])
    assert metric["args"]["interval_95"] == pytest.approx([row["ci_low"], row["ci_high"]])
    assert all(math.isfinite(each["value"]) for each in result["metrics"])
    for more, message in (
        (["--model", "nobody"], "no rows of model 'nobody'"),
        (["--runs", str(tmp_path / "none")], "no run below"),
    ):
        assert cli.main([*arguments, *more]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["export", "model-index", "--out", str(out)]) == 2
    (read,) = huggingface_hub.ModelCardData(**yaml.safe_load(out.read_text())).eval_results[:1]
    assert read.metric_value == pytest.approx(row["value"])  # as the hub reads a model card
