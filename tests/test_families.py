"""Each family of models as a user has it, a folder: ``fairnc measure`` and ``fairnc score`` run on it."""

import json

import pytest
from conftest import TINY

from fairnc_utils.runs import cli

pytestmark = pytest.mark.usefixtures("one_thread")

MASKED = [family for family, (_, kind, *_) in TINY.items() if kind == "masked"]


def values(capsys, *arguments):
    """Metric → value of the rows that a command prints."""
    assert cli.main([*arguments, "--device", "cpu", "--json"]) == 0
    rows = map(json.loads, capsys.readouterr().out.splitlines())
    return {row["metric"]: row["value"] for row in rows}


@pytest.fixture
def saved(tiny, tmp_path):
    """Function(family) → the folder of a tiny model."""

    def save(family, **overrides):
        lm = tiny(family, **overrides)
        lm.model.save_pretrained(tmp_path)
        lm.tokenizer.save_pretrained(tmp_path)
        return str(tmp_path)

    return save


@pytest.mark.parametrize("family", TINY)
def test_measure(family, saved, capsys):
    options = "--texts 20 --words vocabulary --min-counts 5 --draws 0".split()
    found = values(capsys, "measure", "--model", saved(family), *options)
    assert 0 < found["unc3"] < 1
    assert -1 < found["nc3"] < 1


@pytest.mark.parametrize("family", MASKED)
def test_score(family, saved, capsys):
    options = "--benchmark stereoset_intra --split dev --axis religion".split()
    folder = saved(family, max_position_embeddings=258)  # tiny vocabularies spell most words out
    found = values(capsys, "score", "--model", folder, *options)
    assert 0 <= found["SS"] <= 100


def test_an_unknown_device_is_status_2_and_one_line(capsys):
    assert cli.main(["measure", "--model", "random", "--device", "gpu"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "device 'gpu' cannot be used here; choose auto, cpu" in captured.err.splitlines()[-1]
