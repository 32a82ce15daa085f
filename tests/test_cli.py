"""The command line: rows on standard output, messages on standard error, status 2 on bad input."""

import json

import pytest

from fairnc_utils import runs
from fairnc_utils.runs import cli


def run(capsys, *arguments):
    status = cli.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_measure_prints_the_rows_of_study(capsys):
    options = "--model random --device cpu --texts 40 --words gender --min-counts 3 --draws 0".split()
    status, out, _ = run(capsys, "measure", *options, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    expected = runs.measure(
        model="random", device="cpu", texts=40, words=("gender",), min_counts=(3,), draws=0
    ).results  # fmt: skip
    assert status == 0
    assert [row["value"] for row in rows] == pytest.approx(expected["value"].tolist())
    status, out, _ = run(capsys, "measure", *options)
    assert status == 0
    assert "unc3" in out


def test_score_prints_rows_and_saves_the_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = "score --model random --device cpu --benchmark stereoset --split dev --axis religion".split()
    status, out, err = run(capsys, *arguments, "--json", "--out", "runs")
    rows = {row["metric"]: row for row in map(json.loads, out.splitlines())}
    assert status == 0
    assert 0 <= rows["SS"]["value"] <= 100
    assert rows["SS"]["axis"] == "religion"
    assert (tmp_path / "runs" / rows["SS"]["run_id"] / "results.parquet").is_file()  # relative to the current folder
    assert "saved" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "--benchmark", "steroset", "--split", "dev"], "unknown benchmark 'steroset': choose stereoset_intra"),
        (["score", "--benchmark", "stereoset", "--split", "train"], "no split 'train': choose dev, test"),
        (["score", "--benchmark", "stereoset", "--split", "dev", "--axis", "hair"], "no axis 'hair': choose all, gender"),
        (["measure", "--words", "gendre"], "gendre"),
        (["measure", "--model", "random", "--corpus", "missing.txt"], "missing.txt"),
        (["measure", "--model", "models/none"], "models/none"),
        (["assets", "numpy"], "the pinned ones are"),
    ],
)
def test_bad_input_is_status_2_and_one_line(capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err.splitlines()[-1]


def test_missing_arguments_are_status_2(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["score"])
    assert stop.value.code == 2
