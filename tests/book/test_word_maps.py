"""Maps and angles of words in training: what moved is what turned, and what is said is what is drawn."""

import numpy as np
import pytest

from fairnc_book import figures, word_maps
from fairnc_utils import runs

BOTH = {"preset": "repaired", "kind": "both"}


@pytest.fixture(scope="module")
def run():
    return runs.trajectory(
        model="random",
        device="cpu",
        method="bec",
        regularizers=["none", BOTH],
        lam=3,
        texts=12,
        batch_size=4,
        steps=3,
        snapshots=1,
        words=["gender", "neutral"],
        evaluation_texts=12,
        min_count=2,
        neighbors=4,
    )


def test_models_are_called_as_readers_call_them():
    assert [
        word_maps.name(label) for label in ("none", "repaired,kind=both,dose=0.3", "swap,dose=0.3")
    ] == ["debiased", "debiased + NC3 (uniform and aligned)", "debiased + swap collapse"]


def test_the_untrained_model_stands_where_it_stood_and_the_others_turned(run):
    turned = word_maps.points(run.items, "turned")
    untrained = turned["model"] == word_maps.UNTRAINED
    assert turned[untrained]["x"].to_numpy() == pytest.approx(0, abs=0.1)
    assert (turned[~untrained].query("kind == 'mean'")["x"] > 0.1).any()
    moved = word_maps.shifts(run.items)
    models = ["debiased", "debiased + NC3 (uniform and aligned)"]
    assert list(dict.fromkeys(moved["model"])) == models
    assert moved["map"].between(0, 1.5).all()
    assert not moved.isna().any(axis=None)


def test_angles_are_those_of_gender_words(run):
    angle = word_maps.degrees(run.items)
    assert set(angle["axis"]) <= set(word_maps.GENDERED)
    assert np.cos(np.radians(angle["degrees"])).tolist() == pytest.approx(angle["cosine"].tolist())


def test_figure_and_findings_name_every_model(run):
    figure = figures.word_maps_of_models(run.items)
    titles = {note.text for note in figure.layout.annotations}
    assert titles == {"untrained", "debiased", "+ NC3 (uniform and aligned)"}
    assert figure.layout.meta["caption"].endswith(".")
    for sentence in (word_maps.map_finding(run), word_maps.angle_finding(run)):
        assert "debiased + NC3 (uniform and aligned)" in sentence
        assert not any(mark.isdigit() for mark in sentence.partition(".")[0].replace("NC3", ""))
    assert "(of all words on the map)" in word_maps.angle_finding(run)
