"""Several processes on one run: together they give what one gives alone."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT

from fairnc_utils import batching, collapse, models, processes
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli, rows

MEASURE = "measure --model random --device cpu --texts 60 --words gender random --min-counts 2 --draws 3 --layers 1"
SCORE = "score --model random --device cpu --benchmark crows_bias_bench --axis gender"


def command(text, folder, *, processes):
    """The run of a command, by so many processes."""
    start = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    if processes == 1:
        start = []
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "FAIRNC_PROGRESS": "log",
        "FAIRNC_CACHE": os.environ.get("FAIRNC_CACHE", ""),
    }
    if not environment["FAIRNC_CACHE"]:
        del environment["FAIRNC_CACHE"]
    done = subprocess.run(
        [sys.executable, "-m", *start, "fairnc_utils", *text.split(), "--out", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, rows.load(folder), rows.load(folder, "items")


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(tmp_path):
    """Sums of features are added in another order: float64 rounding, and nothing else, differs."""
    _, alone, alone_items = command(MEASURE, tmp_path / "one", processes=1)
    said, together, items = command(MEASURE, tmp_path / "two", processes=2)
    assert said.count("nc4_no_bias") == 2, "one process prints, for both"
    assert set(alone["metric"]) >= {"nc1", "nc3", "unc3", "nc4", "nc3_gender_percentile"}
    labels = [
        "run_id",
        "benchmark",
        "split",
        "words",
        "variant",
        "layer",
        "min_count",
        "metric",
        "n",
    ]
    pd.testing.assert_frame_equal(alone[labels], together[labels])
    for column in ("value", "ci_low", "ci_high"):
        np.testing.assert_allclose(together[column], alone[column], rtol=1e-9, atol=1e-12)
    exact = alone["metric"].isin(["nc4", "nc4_no_bias"])
    assert (together["value"][exact] == alone["value"][exact]).all()
    assert (items["score_b"] == alone_items["score_b"]).all(), "counts are whole numbers"


@pytest.mark.slow
def test_two_processes_score_what_one_scores_to_the_last_digit(tmp_path):
    said, together, items = command(SCORE, tmp_path / "two", processes=2)
    _, alone, alone_items = command(SCORE, tmp_path / "one", processes=1)
    assert said.count("stereotype_pct") == 1
    pd.testing.assert_frame_equal(items, alone_items, check_exact=True)
    made = ["created"]
    pd.testing.assert_frame_equal(
        together.drop(columns=made), alone.drop(columns=made), check_exact=True
    )


@pytest.fixture
def two(monkeypatch):
    """As if this were one of two processes, of which the other sends nothing."""
    monkeypatch.setattr(processes, "_count", 2)
    monkeypatch.setattr(processes, "total", lambda tensor: tensor)

    def become(rank):
        monkeypatch.setattr(processes, "_rank", rank)

    return become


def test_shares_are_every_batch_once(two):
    shares = []
    for rank in range(2):
        two(rank)
        shares.append(list(processes.mine(range(7))))
    assert shares == [[0, 2, 4, 6], [1, 3, 5]]
    assert not processes.is_first()


def test_alone_everything_is_mine():
    assert list(processes.mine("abc")) == ["a", "b", "c"]
    assert processes.is_first()
    assert not processes.several()
    with processes.joined():
        assert not processes.several()
    tensor = torch.ones(3)
    assert processes.total(tensor) is tensor


def test_merged_statistics_of_shares_are_those_of_all(two, tiny, tokenizer):
    lm = tiny("bert")
    sequences = batching.tokenize(["the nurse met the engineer", "she said so"] * 20, tokenizer)
    batches = list(batching.bucketed(sequences, pad_id=0, tokens=64))
    shares, whole = [], collapse.ClassStatistics(*lm.weight.shape)
    for rank in range(2):
        two(rank)
        share = collapse.ClassStatistics(*lm.weight.shape)
        for batch in processes.mine(batches):
            share.update(*lm.labelled_features(batch.input_ids, batch.attention_mask))
        shares.append(share)
    for batch in batches:
        whole.update(*lm.labelled_features(batch.input_ids, batch.attention_mask))
    merged = shares[0].merge(shares[1])
    assert merged.counts.equal(whole.counts)
    torch.testing.assert_close(merged.sums, whole.sums, rtol=1e-12, atol=1e-12)


def test_what_is_not_shared_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["geometry", "--model", "random"]) == 2
    assert "torchrun is for measure and score" in capsys.readouterr().err


def test_a_device_map_is_refused_where_each_process_has_a_device(two):
    with pytest.raises(FairNCError, match="each process of torchrun has a device of its own"):
        models.load(str(ROOT / "models/minilm-mlm"), device_map="auto")


def test_more_processes_than_gpus_are_one_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(FairNCError, match="give --nproc-per-node 2"), processes.joined():
        pass
