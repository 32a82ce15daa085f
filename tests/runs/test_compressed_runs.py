"""Runs with a compressor: what is measured is the compressed model, and a treatment is trained once for
all of them.
"""

import json
import sys

import pandas as pd
import pytest

from fairnc_utils import models, runs
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import grid, recording

SMALL = {
    "model": "random",
    "device": "cpu",
    "evaluation_texts": 40,
    "min_count": 2,
    "collapse": ["gender", "matched"],
    "benchmarks": ["occupation_slope:bls"],
}
TRAINED = {"method": "bec", "steps": 2, "batch_size": 4, "texts": 8}


@pytest.fixture
def module():
    module = sys.modules[runs.train.__module__]
    module._TREATED.clear()
    return module


def slope(run):
    (row,) = run.select(benchmark="occupation_slope", metric="slope", axis="all").itertuples()
    return row.method, row.value


def test_rows_are_of_the_compressed_model(module):
    plain = runs.train(method="base", **SMALL)
    coarse = runs.train(method="base", compression="rtn2", **SMALL)
    same = runs.train(method="base", compression="noise@0", **SMALL)
    assert slope(plain)[0] == "base"
    assert slope(coarse)[0] == "base+rtn2"
    assert slope(coarse)[1] != slope(plain)[1]
    assert slope(same) == ("base+noise@0", slope(plain)[1])
    training = coarse.select(benchmark="training", metric="nc3")
    assert list(training["method"]) == ["base", "base+rtn2"]
    assert (
        training["value"].iloc[0]
        == plain.select(benchmark="training", metric="nc3")["value"].iloc[0]
    )


def test_one_training_serves_all_compressors(module, monkeypatch):
    calls = []
    train = module.Treatment.apply

    def counted(self, lm, **options):
        calls.append(self.columns["method"])
        return train(self, lm, **options)

    monkeypatch.setattr(module.Treatment, "apply", counted)
    first = runs.train(compression="rtn2", **TRAINED, **SMALL)
    second = runs.train(compression="prune@0.5", **TRAINED, **SMALL)
    plain = runs.train(**TRAINED, **SMALL)
    assert calls == ["bec"]
    assert [slope(run)[0] for run in (first, second, plain)] == ["bec+rtn2", "bec+prune@0.5", "bec"]
    module._TREATED.clear()
    assert slope(runs.train(compression="rtn2", **TRAINED, **SMALL)) == slope(first)
    module._TREATED.clear()
    assert slope(runs.train(**TRAINED, **SMALL)) == slope(plain)
    runs.train(compression="rtn2", seed=1, **TRAINED, **SMALL)
    assert calls == ["bec"] * 4


def test_a_score_is_of_the_compressed_model():
    options = {"benchmark": "occupation_slope", "model": "random", "device": "cpu"}
    coarse = runs.score(compression="rtn2", **options)
    erased = runs.score(compression="rtn4", gender_scale=0.0, **options)
    assert slope(coarse)[0] == "base+rtn2"
    assert slope(erased) == ("gender×0+rtn4", pytest.approx(0, abs=1e-3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "rtn5"}, "option compression: compressor 'rtn5': choose int8"),
        ({"compression": "layers@9"}, "the model has 2 hidden layers: 9 cannot be kept"),
    ],
)
def test_a_bad_compressor_is_said_in_a_line(options, message):
    with pytest.raises(FairNCError, match=message):
        runs.train(method="base", **options, **SMALL)


def test_rounded_inputs_cannot_be_saved(tmp_path):
    with pytest.raises(FairNCError, match="int8 rounds the inputs of layers too"):
        runs.train(method="base", compression="int8", output=tmp_path / "m", **SMALL)


def test_a_compressed_model_is_saved_as_it_is(tmp_path, module):
    runs.train(method="base", compression="layers@1", output=tmp_path / "m", **SMALL)
    assert models.load(str(tmp_path / "m"), device="cpu").layers == 1


def test_cells_are_named_after_their_compressor_and_lie_beside_their_treatment():
    sweep = {
        "options": {"method": "bec", "model": "random"},
        "grid": {"compression": [None, "int8", "rtn4"], "seed": [0, 1]},
    }
    cells = grid.cells(grid.plan({"study": {"sweeps": {"a": sweep}}}))
    labels = {cell.label for cell in cells.values()}
    assert labels == {"bec", "bec+int8", "bec+rtn4"}
    ordered = [cell.config.seed for cell in grid.part(cells, 1, 1).values()]
    assert ordered in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])


def test_recorded_rows_of_the_untrained_model_come_from_its_own_run(tmp_path, module):
    for compression in (None, "rtn2"):
        run = runs.train(method="base", compression=compression, **SMALL)
        run.save(tmp_path / "runs")
    provenance = recording.gather(tmp_path / "runs", target=tmp_path / "study")
    assert len(provenance["runs"]) == 2
    results = pd.read_parquet(tmp_path / "study/results.parquet")
    by_run = results.groupby("run_id")["method"].unique().map(list).tolist()
    assert sorted(by_run) == [["base"], ["base+rtn2"]]
    units = pd.read_parquet(tmp_path / "study/units.parquet")
    assert {"gender", "matched"} <= set(units.loc[units["benchmark"] == "collapse", "axis"])
    json.dumps(provenance)
