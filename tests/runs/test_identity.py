"""Ids and completeness of runs when the options grow: what was recorded stays what it is."""

import json

import pytest
import yaml

from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, cli, grid, identity, options, recording, rows

SCHEMAS = [getattr(options, name) for name in identity.FIRST]

#: Options that the schemas did not have in version 1 → their defaults. Write a new one here and count the version up. A default
#: never changes: it is what runs had that were made before the option came.
LATER: dict[str, object] = {
    "Debiasing.dose": None,
    "TrainConfig.dose": None,
    "TrainConfig.min_counts": (),
    "TrainConfig.at_slots": (),
    "FinetuneConfig.cooccurrence": None,
    "FinetuneConfig.frozen": "none",
    "FinetuneConfig.kept": "best",
    "FinetuneConfig.before": (),
    "FinetuneConfig.collapse": False,
    "TrainConfig.compression": None,
    "ScoreConfig.compression": None,
    "ScoreConfig.all_variants": False,
    "ScoreConfig.precision": "fp32",
    "ScoreConfig.device_map": None,
    "MeasureConfig.precision": "fp32",
    "MeasureConfig.device_map": None,
    "TrajectoryConfig.dose": None,
}
VERSION = 4


def test_later_options_are_known_and_keep_their_defaults():
    later = {}
    for schema in SCHEMAS:
        first = set().union(*(identity.FIRST.get(base.__name__, ()) for base in schema.__mro__))
        later |= {
            f"{schema.__name__}.{name}": field.default
            for name, field in schema.model_fields.items()
            if name not in first
        }
    assert (later, identity.VERSION) == (LATER, VERSION)


def test_the_schema_of_every_command_has_its_first_options():
    assert {schema.__name__ for schema, _ in cli.RUNS.values()} <= set(identity.FIRST)


class MoreDebiasing(options.Debiasing):
    margin: float | None = None


class MoreTrain(options.TrainConfig):
    margin: float | None = None


class MoreFinetune(options.FinetuneConfig):
    debiasing: MoreDebiasing | None = None
    patience: int = 3


@pytest.fixture
def grown(monkeypatch):
    """The schemas with options that came later, at the top and inside of another one."""
    monkeypatch.setitem(grid.RUNS, "train", (MoreTrain, grid.RUNS["train"][1]))
    monkeypatch.setitem(grid.RUNS, "finetune", (MoreFinetune, grid.RUNS["finetune"][1]))


def plan(**changes) -> grid.Plan:
    """Some sweeps of the recorded study, with further options."""
    study = yaml.safe_load((checkout.root() / "config/full.yaml").read_text())["study"]
    sweeps = study["sweeps"]
    kept = {
        name: sweeps[name] for name in ("base", "released", "switches-from-corrected", "inference")
    }
    changed = {
        name: sweep | {"options": sweep["options"] | changes.get(name, {})}
        for name, sweep in kept.items()
    }
    return grid.plan({"study": study | {"sweeps": changed}})


@pytest.fixture(scope="module")
def results():
    return rows.recorded()


def test_a_new_option_changes_no_id_and_no_completeness(results, request):
    before = list(grid.cells(plan(), results=results))
    request.getfixturevalue("grown")
    cells = grid.cells(plan(), results=results)
    assert list(cells) == before
    assert {cell.config.margin for cell in cells.values() if cell.kind == "train"} == {None}
    assert grid.missing(cells, recording.runs()) == {}


def test_a_new_option_that_is_used_makes_another_cell(results, grown):
    used = {"base": {"margin": 0.3}, "inference": {"patience": 4}}
    before, after = grid.cells(plan(), results=results), grid.cells(plan(**used), results=results)
    assert list(grid.missing(after, recording.runs())) == [
        name for name in after if name not in before
    ]
    assert len(set(after) - set(before)) == 1 + 40  # base, inference
    inside = {
        "run": "finetune",
        "options": {"task": "cola"},
        "grid": {"debiasing.margin": [None, 0.3], "debiasing.method": ["bec"]},
    }
    assert len(grid.cells(grid.plan({"study": {"sweeps": {"a": inside}}}))) == 2


def made(config, evidence) -> rows.Run:
    return rows.make(config, [], None, device="cpu", evidence=evidence)


@pytest.mark.parametrize("kind", ["train", "finetune"])
def test_a_new_option_changes_the_id_of_a_run_that_uses_it_alone(kind, grown):
    schema = grid.RUNS[kind][0]
    run_id, run = next(
        (i, run)
        for i, run in recording.runs().items()
        if ("task" in run["config"]) == (kind == "finetune")
    )
    config = identity.read(schema, run_id, run)
    assert made(config, run["evidence"]).run_id == run_id
    changes = (
        [{"margin": 0.3}]
        if kind == "train"
        else [{"patience": 4}, {"debiasing": run["config"]["debiasing"] | {"margin": 0.3}}]
    )
    ids = {made(schema(**run["config"] | change), run["evidence"]).run_id for change in changes}
    assert len(ids) == len(changes)
    assert run_id not in ids


def test_where_files_are_kept_is_in_no_run_id_and_no_provenance(tmp_path):
    here, there = (
        made(options.TrainConfig(method="bec", output=output), {}) for output in (None, tmp_path)
    )
    assert here.run_id == there.run_id
    assert not set(identity.PLACES) & set(there.provenance["config"])
    assert there.provenance["schema"] == {"name": "TrainConfig", "version": identity.VERSION}
    json.dumps(there.provenance)


def test_a_recorded_option_that_the_schema_does_not_know_is_refused():
    run = {"config": {"method": "bec", "margin": 0.3}}
    cells = grid.cells(grid.plan({"study": {"sweeps": {"a": {"options": {"method": "bec"}}}}}))
    with pytest.raises(
        FairNCError,
        match=r"^recorded run abc: option margin: no such option; options are [^;]*$",
    ):
        grid.missing(cells, {"abc": run})
    with pytest.raises(FairNCError, match="made by a newer version of this package"):
        grid.missing(
            cells,
            {"abc": run | {"schema": {"name": "TrainConfig", "version": identity.VERSION + 1}}},
        )


def test_a_recorded_run_of_another_command_is_no_cell():
    run = made(options.MeasureConfig(), {}).provenance
    cells = grid.cells(grid.plan({"study": {"sweeps": {"a": {"options": {"method": "bec"}}}}}))
    assert grid.missing(cells, {"abc": run}) == cells
