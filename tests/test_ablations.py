"""Ablations: collapse by layer."""

import pytest

from fairnc_utils import measurement, study
from fairnc_utils.errors import FairNCError

SMALL = {"model": "random", "device": "cpu", "texts": 40, "words": ("gender", "random"), "min_counts": (2, 3), "draws": 0,
         "heldout_split": None, "variants": ("corrected",)}  # fmt: skip


def test_collapse_by_layer_ends_in_the_last_layer():
    run = study.measure(**SMALL, space="encoder", layers="all")
    assert set(run.results["layer"]) == {"1", "2", "last"}
    rows = run.select(min_count=2.0).pivot_table(index=["words", "metric"], columns="layer", values="value")
    assert len(rows) > 20
    assert rows["2"].to_numpy() == pytest.approx(rows["last"].to_numpy(), nan_ok=True)
    assert rows["1"]["gender", "unc3"] != pytest.approx(rows["last"]["gender", "unc3"])
    counts = run.select(metric="nc3").groupby(["words", "min_count"])["n"].nunique()
    assert (counts == 1).all()  # the same classes at every layer
    assert run.items.equals(study.measure(**SMALL, space="encoder").items.assign(run_id=run.run_id))


def test_layers_are_cached_apart():
    readings = [measurement.read("random", device="cpu", texts=5, layer=layer) for layer in (None, 1, 2)]
    assert len({reading.fingerprint for reading in readings}) == 3
    assert not readings[0].statistics.sums.allclose(readings[1].statistics.sums)
    assert [reading.columns["layer"] for reading in readings] == ["last", "1", "2"]


def test_a_layer_that_the_model_lacks_is_refused():
    with pytest.raises(FairNCError, match="random has no hidden layer 3: choose 1 to 2"):
        study.measure(**SMALL, layers=(1, 3))
    with pytest.raises(FairNCError, match="option layers"):
        study.measure(**SMALL, layers=(0,))
