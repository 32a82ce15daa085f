"""Packages that compute the same: absent ones are named, and values that differ are no comparison."""

import importlib
import sys
import types

import pytest
import torch
from helpers import ROOT


@pytest.fixture
def neighbours(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("speed.neighbours")


def settings():
    return importlib.import_module("speed.timing").Settings(repeats=2, seconds=5, tiny=True)


@pytest.fixture
def other(monkeypatch, neighbours):
    """A neural-collapse whose ``similarities`` is what the test gives, and no other package."""

    def install(similarities):
        package = types.ModuleType("neural_collapse")
        package.measure = types.ModuleType("neural_collapse.measure")
        package.measure.similarities = similarities
        monkeypatch.setitem(sys.modules, "neural_collapse", package)
        monkeypatch.setitem(sys.modules, "neural_collapse.measure", package.measure)
        monkeypatch.setattr(neighbours, "find_spec", lambda name: name == "neural_collapse" or None)

    return install


def cosines(means, rows, middle, cos):
    return torch.nn.functional.cosine_similarity(rows, means - middle)


def test_what_is_not_installed_is_named_and_nothing_is_claimed(neighbours, monkeypatch, capsys):
    monkeypatch.setattr(neighbours, "find_spec", lambda name: None)
    assert neighbours.run(settings()) == []
    said = capsys.readouterr().err
    for package in ("fairlms", "minicons", "neural-collapse"):
        assert f"{package} is not installed: not compared" in said


def test_equal_values_are_compared_in_time(neighbours, other):
    other(cosines)
    ratio, difference = neighbours.run(settings())
    assert ratio.case.startswith("neural-collapse from a checkout: NC3 of 40 classes")
    assert (ratio.quantity, ratio.unit) == ("theirs / ours", "×")
    assert ratio.value > 0
    assert difference.value < 1e-12


def test_what_does_not_run_with_these_versions_is_named(neighbours, other, capsys):
    def outdated(*arguments, **named):
        raise AttributeError("no such method any more")

    other(outdated)
    assert neighbours.run(settings()) == []
    said = capsys.readouterr().err
    assert "neural-collapse from a checkout does not run here (no such method any more)" in said


def test_values_that_differ_are_an_error(neighbours, other):
    other(lambda *arguments, **named: cosines(*arguments, **named) + 0.01)
    with pytest.raises(AssertionError, match=r"values differ by 0\.01"):
        neighbours.run(settings())
