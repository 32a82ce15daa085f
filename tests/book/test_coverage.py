"""The coverage page: every name of the registries stands in a cell, every placed name exists, empty cells are said."""

import pytest

from fairnc_book.site import coverage, status
from fairnc_utils import catalog
from fairnc_utils.runs import checkout


@pytest.mark.parametrize("taxonomy", coverage.CELLS)
def test_every_benchmark_method_and_data_set_is_on_the_page(taxonomy):
    """A name that is missing is to be placed in ``fairnc_book/site/coverage.py``."""
    assert coverage.not_placed()[taxonomy] == []
    table = coverage.table(taxonomy)
    assert [name for name in coverage.names()[taxonomy] if f"`{name}`" not in table] == []


def test_what_is_placed_exists_and_stands_in_cells_and_groups_that_exist():
    names = coverage.names()
    assert set(coverage.METRICS) == set(names["metrics"])
    assert set(coverage.DATA) == set(names["data"])
    assert set(coverage.MITIGATION) == set(names["mitigation"])
    for taxonomy, listed in names.items():
        for name in listed:
            assert set(coverage.cells_of(taxonomy, name)) <= set(coverage.CELLS[taxonomy]), name
    for name, (_, groups) in coverage.METRICS.items():
        assert groups, name
        assert set(groups) <= set(coverage.GROUPS), name


def test_a_name_without_a_place_is_noticed(monkeypatch):
    entries = catalog.BENCHMARKS.entries | {"new": catalog.Entry("a new one")}
    monkeypatch.setattr(catalog.BENCHMARKS, "entries", entries)
    assert coverage.not_placed()["metrics"] == ["new"]
    assert coverage.table("metrics").endswith("| not placed yet | `new` |")
    foreign = entries | {"new": catalog.Entry("of another", package="other")}
    monkeypatch.setattr(catalog.BENCHMARKS, "entries", foreign)
    assert coverage.not_placed()["metrics"] == []


def test_empty_cells_are_said_and_only_those():
    for taxonomy, cells in coverage.CELLS.items():
        lines = dict(
            line[2:-2].split(" | ", 1) for line in coverage.table(taxonomy).splitlines()[2:]
        )
        for cell in cells:
            assert (lines[cell] == "**empty**") == (cell in coverage.empty())
    assert "post-processing: rewriting" in coverage.empty()
    assert "| disability | – | – | – | " in coverage.groups()


def test_the_page_includes_what_the_build_writes():
    page = (checkout.root() / "book/about/coverage.md").read_text()
    parts = [name for name in status.PARTS if name.startswith("coverage_")]
    assert len(parts) == 5
    assert [name for name in parts if f"../status/{name}.md" not in page] == []
    assert status.PARTS["coverage_empty"](None, None) == coverage.empty()
