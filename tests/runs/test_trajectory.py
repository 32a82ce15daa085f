"""Trajectories: the same words at every snapshot, all in one map; rows that are the metrics of the
snapshot.
"""

import sys

import numpy as np
import pytest
import torch
import yaml

from fairnc_book import figures
from fairnc_utils import collapse, measurement, models, projection, runs, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli, rows
from fairnc_utils.runs.rows import select

TINY = {
    "model": "random",
    "device": "cpu",
    "method": "bec",
    "lam": 3,
    "texts": 12,
    "batch_size": 8,
    "steps": 5,
    "snapshots": 2,
    "split": "validation",
    "evaluation_texts": 12,
    "min_count": 2,
    "neighbors": 4,
}


@pytest.fixture(scope="module")
def run():
    return runs.trajectory(**TINY)


def test_every_snapshot_has_its_rows(run):
    rows = select(run.results, metric=["nc3", "unc3"])
    assert dict.fromkeys(rows["variant"]) == dict.fromkeys(["step 0", "step 3", "step 5"])
    assert dict(zip(rows["regularizer"], rows["lam"], strict=True)) == {"none": 0, "corrected": 3}
    assert (rows.groupby("variant")["n"].nunique() == 1).all()  # the same words throughout
    values = rows.set_index(["metric", "regularizer", "variant"])["value"]
    assert values["unc3", "none", "step 0"] == values["unc3", "corrected", "step 0"]
    assert values["unc3", "none", "step 5"] != values["unc3", "corrected", "step 5"]
    lm = models.load("random", device="cpu")
    reading = measurement.read(lm, split="validation", texts=12)
    gender = words.load("gender", lm.tokenizer).token_ids
    measured = collapse.measure(reading.statistics, lm.weight, classes=gender, min_count=2)
    assert values["unc3", "none", "step 0"] == pytest.approx(float(measured.unc3))


def test_every_word_is_in_every_map(run):
    number = int(run.select(metric="nc3")["n"].iloc[0])
    assert set(run.items["benchmark"]) == {"pca", "umap", "turned"}
    assert not run.items.duplicated(["benchmark", "item_id"]).any()
    regularizer, step, token, kind = run.items["item_id"].str.split(":", expand=True).to_numpy().T
    assert len(run.items) == 3 * len(set(regularizer)) * len(set(step)) * len(set(kind)) * number
    assert len(set(token)) == number
    assert {"female", "male"} <= set(run.items["axis"])
    maps = run.items[run.items["benchmark"] != "turned"]
    assert np.isfinite(maps[["score_a", "score_b", "score_c"]].to_numpy()).all()
    places = run.items.assign(name=run.items["item_id"].str.partition(":")[2]).set_index(
        ["benchmark", "name"]
    )
    places = places[places.index.get_level_values("name").str.startswith("0:")]
    # one untrained model, one place
    assert (places.groupby(level=[0, 1])["score_a"].nunique() == 1).all()
    start = run.items[run.items["item_id"].str.contains("none:0:.*:mean")]
    nc3 = run.select(metric="nc3", regularizer="none", variant="step 0")["value"].item()
    assert start[start["benchmark"] == "pca"]["score_c"].mean() == pytest.approx(nc3)


def test_planes_are_shared_by_all_models():
    sets = torch.randn(3, 2, 20, 8, generator=torch.Generator().manual_seed(0))
    sets[2] = 3 * sets[0] + 1  # the same directions
    sets[2, 0, 0] = -sets[2, 0, 0]
    maps, metrics = projection.planes(sets, neighbors=4)
    for flat in maps.values():
        assert flat.shape == (3, 2, 20, 2)
        assert np.isfinite(flat).all()
    assert maps["pca"][2, 1] == pytest.approx(maps["pca"][0, 1], abs=1e-5)
    assert maps["pca"][2, 0, 0] != pytest.approx(maps["pca"][0, 0, 0], abs=1e-2)
    assert maps["pca"][1] != pytest.approx(maps["pca"][0], abs=1e-2)
    assert {row["metric"] for row in metrics} == {"trustworthiness", "explained_variance"}


def test_nobody_is_their_own_neighbour_in_another_model(monkeypatch):
    sets = torch.randn(1, 2, 12, 8, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1, 1)
    seen = {}

    def umap(distance, **options):
        seen["distance"] = distance
        return np.zeros((len(distance), 2)) + np.arange(len(distance))[:, None]

    monkeypatch.setattr(projection, "flat_by_umap", umap)
    projection.planes(sets, neighbors=4)
    own = np.tile(np.arange(24), 3)
    same = (own[:, None] == own) & ~np.eye(72, dtype=bool)
    assert (seen["distance"][same] == seen["distance"].max()).all()
    assert (np.diag(seen["distance"]) == 0).all()
    monkeypatch.setattr(projection, "MOST_POINTS", 10)
    with pytest.raises(FairNCError, match=r"72 points \(3 models"):
        projection.planes(sets, neighbors=4)


def test_arrows_and_angles_show_the_first_and_the_last_step(run):
    points = run.items[run.items["benchmark"] == "pca"]
    means = points[points["item_id"].str.endswith(":mean")]
    before, after = (
        means[means["item_id"].str.startswith(f"corrected:{step}:")].set_index("unit")
        for step in (0, 5)
    )
    drawn = figures.angles(run.items)
    first, last = drawn.data[-3], drawn.data[-1]
    assert list(first.x) == sorted(first.x, reverse=True)
    for trace, table in ((first, before), (last, after)):
        cosine = table.loc[list(trace.y), "score_c"]
        assert np.cos(np.radians(trace.x)) == pytest.approx(cosine.to_numpy(), abs=1e-3)
    arrows = [trace for trace in figures.arrows(run.items, stretch=2).data if trace.name]
    ends = {round(x, 2) for trace in arrows for x in trace.x if np.isfinite(x)}
    way = before["score_a"] + 2 * (after["score_a"].loc[before.index] - before["score_a"])
    assert {round(x, 2) for x in way.round(3)} <= ends
    for figure in (drawn, figures.arrows(run.items)):
        assert figure.layout.meta["caption"].endswith(".")


def test_a_recorded_trajectory_is_found(run, tmp_path, monkeypatch):
    for module in (rows, sys.modules["fairnc_utils.runs.trajectory"]):
        monkeypatch.setattr(module, "RECORDED", str(tmp_path))
    assert runs.recorded_trajectory() is None
    run.save(tmp_path)
    recorded_run = runs.recorded_trajectory()
    assert recorded_run.items.equals(run.items)
    assert recorded_run.results.drop(columns="created").equals(run.results.drop(columns="created"))


def test_without_umap_nothing_is_trained(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        FairNCError, match=r"umap is not installed: pip install 'fairnc-utils\[maps\]'"
    ):
        runs.trajectory(**TINY)


def test_bad_options_are_one_sentence(tmp_path, capsys):
    for wrong, message in (
        ({"regularizers": ("none", "none")}, "name each once"),
        ({"regularizers": ("collapse",)}, "choose none, corrected"),
        ({"words": ("gendre",)}, "option words"),
        ({"steps": None}, "option steps"),
        ({"min_count": 10**6}, "0 of .* classes"),
    ):
        with pytest.raises(FairNCError, match=message):
            runs.trajectory(**TINY | wrong)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(TINY | {"snapshot": 3}))
    assert cli.main(["trajectory", "--config", str(file)]) == 2
    assert "snapshot" in capsys.readouterr().err
