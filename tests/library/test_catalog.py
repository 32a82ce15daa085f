"""What has a name: each line of the catalog says what the thing itself says, and the data that it
needs are pinned.
"""

import json

import pytest

from fairnc_utils import assets, catalog
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import cli

REGISTRIES = (catalog.BENCHMARKS, catalog.AXES, catalog.METHODS, catalog.TASKS, catalog.CORPORA)
TABLES = (
    *(registry.entries for registry in REGISTRIES),
    catalog.CONTROLS,
    catalog.RELEASED,
    catalog.MODELS,
)

#: What users bring: it stands in no wheel and on no hub under a fixed name.
BROUGHT = {"ontonotes", "sick"}


@pytest.mark.parametrize("name", catalog.BENCHMARKS)
def test_a_benchmark_is_what_its_line_says(name):
    entry, benchmark = catalog.BENCHMARKS.entries[name], catalog.BENCHMARKS[name]
    assert (benchmark.name, benchmark.kinds) == (name, entry.kinds)


@pytest.mark.parametrize("name", catalog.TASKS)
def test_a_task_is_what_its_line_says(name):
    task = catalog.TASKS[name]
    assert (task.name, (task.kind,)) == (name, catalog.TASKS.entries[name].kinds)


@pytest.mark.parametrize("name", catalog.METHODS)
def test_a_method_is_what_its_line_says(name):
    assert catalog.METHODS[name].name == name


def test_every_line_is_one_short_line_and_its_data_can_be_had():
    for table in TABLES:
        for name, entry in table.items():
            assert 0 < len(entry.line) < 100, name
            assert "\n" not in entry.line
            assert set(entry.data) <= {
                *assets.FOLDERS,
                *assets.REVISIONS,
                *BROUGHT,
                *catalog.MODELS,
            }, name


def test_a_name_is_looked_up_without_an_import_and_a_thing_once():
    registry = catalog.Registry(
        "thing", {"a": catalog.Entry("a thing", place="no_such_module:A")}, aliases={"b": "a"}
    )
    assert list(registry) == ["a"]
    assert "a" in registry
    assert registry.check("b") == "a"
    assert registry.get("c") is None
    with pytest.raises(FairNCError, match="unknown thing 'c': choose a, b"):
        registry.find("c")
    with pytest.raises(ModuleNotFoundError):
        registry["a"]
    registry["c"] = thing = object()
    assert registry.find("c") is thing
    del registry["c"]
    assert "c" not in registry


# ---------------------------------------------------------------- fairnc list


def listed(capsys, *arguments):
    assert cli.main(["list", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("what", cli.LISTS)
def test_tables_and_json_have_the_same_names(what, capsys):
    rows = [json.loads(line) for line in listed(capsys, what, "--json").splitlines()]
    table = listed(capsys, what).splitlines()[1:]
    assert [row["name"] for row in rows] == [line.split()[0] for line in table][: len(rows)]
    assert len(table) - len(rows) <= 1  # what else a name may be
    assert {row["list"] for row in rows} == {what}
    assert all(row["line"] in line for row, line in zip(rows, table, strict=False))
    assert all(
        alias in line
        for row, line in zip(rows, table, strict=False)
        for alias in row.get("aliases", ())
    )


def test_json_has_details(capsys):
    rows = {
        (row["list"], row["name"]): row
        for row in map(json.loads, listed(capsys, "--json").splitlines())
    }
    stereoset = rows["benchmarks", "stereoset_intra"]
    assert stereoset["splits"] == ["dev", "test"]
    assert stereoset["axes"] == ["gender", "profession", "race", "religion"]
    assert stereoset["kinds"] == ["masked"]
    assert stereoset["aliases"] == ["stereoset"]
    assert "log_ratio" in stereoset["statistics"]
    assert stereoset["measures"]
    assert stereoset["limits"]
    assert rows["words", "gender"]["groups"].keys() == {"female", "male"}
    assert rows["methods", "bec"]["recipe"]["lr"] == 2e-5
    assert rows["tasks", "snli"]["labels"] == ["entailment", "neutral", "contradiction"]
    assert rows["corpora", "gap"]["splits"] == ["development", "validation", "test"]
    assert rows["models", "random"]["kinds"] == ["masked"]
