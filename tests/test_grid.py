"""The grid of the study: cells of a plan, the choice of λ, runs that fail or go on, and the recording of them all."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from fairnc_utils import benchmarks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, cli, grid, recording
from fairnc_utils.runs import rows as records

CONFIG = checkout.root() / "config"
SMALL = {
    "model": "random", "device": "cpu", "profile": "test", "steps": 1, "batch_size": 4, "texts": 16, "evaluation_texts": 60,
    "min_count": 2,
}  # fmt: skip


def plan(**sweeps):
    return grid.plan({"study": {"sweeps": sweeps}})


def swept(lams=(1, 10, 100), seeds=3, methods=("mlm", "bec"), ratio=None, lm=None) -> pd.DataFrame:
    """Rows of StereoSet dev: with NC3 the log ratio is ``ratio[λ]``, LM ``lm[λ]``; without .5 and 80; seeds move both alike."""
    ratio = {None: 0.5, **dict.fromkeys(lams, 0.4), **(ratio or {})}
    lm = {None: 80.0, **dict.fromkeys(lams, 80.0), **(lm or {})}
    rows = []
    for method, lam, seed in itertools.product(methods, (None, *lams), range(5)):
        if lam is None or seed < seeds:
            common = {"model": "models/minilm-mlm", "method": method, "regularizer": "corrected" if lam else "none",
                      "lam": lam or 0.0, "seed": seed, "benchmark": "stereoset_intra", "split": "dev",
                      "axis": "gender"}  # fmt: skip
            rows += [common | {"metric": "log_ratio", "value": ratio[lam] + 0.1 * seed},
                     common | {"metric": "LM", "value": lm[lam] - seed}]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=list(records.RESULT_COLUMNS))


# ---------------------------------------------------------------- cells


def test_cells_are_all_combinations_and_equal_ones_are_one():
    found = grid.cells(plan(
        a={"options": SMALL, "grid": {"method": ["mlm", "bec"], "seed": [0, 1]}},
        b={"options": SMALL | {"method": "bec"}, "grid": {"seed": [1, 2]}},
    ))  # fmt: skip
    assert sorted((config["method"], config["seed"]) for _, config in found.values()) == [
        ("bec", 0), ("bec", 1), ("bec", 2), ("mlm", 0), ("mlm", 1)
    ]  # fmt: skip
    assert list(grid.cells(plan(b={"options": SMALL | {"method": "bec"}, "grid": {"seed": [1]}}))) == [
        cell for cell, (_, config) in found.items() if (config["method"], config["seed"]) == ("bec", 1)
    ]


def test_a_dot_reaches_inside_and_lengths_belong_to_a_method():
    sweeps = {"t": {"run": "finetune", "options": {"task": "cola", "debiasing": {"method": "bec"}},
                    "grid": {"debiasing.regularizer": ["none", "corrected"]}}}  # fmt: skip
    found = grid.cells(grid.plan({"study": {"sweeps": sweeps, "lengths": {"bec": {"steps": 7, "regularizer": "x"}}}}))
    assert [config["debiasing"]["regularizer"] for _, config in found.values()] == ["none", "corrected"]
    assert {config["debiasing"]["steps"] for _, config in found.values()} == {7}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "no section `study`"),
        ({"study": {"sweeps": {}}}, "sweeps"),
        ({"study": {"sweeps": {"a": {"wrong": 1}}}}, "wrong"),
        ({"study": {"sweeps": {"a": {"options": {"method": "bec", "stps": 1}}}}}, "stps"),
        ({"study": {"sweeps": {"a": {"run": "measure"}}}}, "run = 'measure'"),
        ({"study": {"sweeps": {"a": {"options": {"method": "bec", "lam": "chosen"}}}}}, "λ cannot be chosen"),
    ],
)
def test_a_bad_plan_is_one_error(config, message):
    with pytest.raises(FairNCError, match=message):
        grid.cells(grid.plan(config))


def test_an_unknown_sweep_is_named():
    with pytest.raises(FairNCError, match="no sweep c; it has a, b"):
        grid.cells(plan(a={}, b={}), ["c"])


@pytest.mark.parametrize(("profile", "least"), [("tiny", 4), ("full", 300), ("paper", 500)])
def test_the_plans_of_the_profiles_hold(profile, least):
    config = yaml.safe_load((CONFIG / f"{profile}.yaml").read_text())
    models = {"tiny": ["random"], "paper": ["bert-base-uncased", "bert-base-cased", "roberta-base"]}
    methods = ("mlm", "bec", "cda", "dropout", "mabel", "mabel_nli", "ase", "adept")
    known = [swept(methods=methods).assign(model=model) for model in models.get(profile, ["models/minilm-mlm"])]
    found = grid.cells(grid.plan(config), results=pd.concat(known))
    assert len(found) >= least
    for kind, settings in found.values():
        assert settings["profile"] == profile
        assert settings["model"] != "models/minilm-mlm" or profile == "full"
        for name in settings["benchmarks"]:
            benchmark, split, axis = (*name.split(":"), "", "")[:3]
            known = benchmarks.get(benchmark)
            known.check(split=split or known.splits[-1], axis=axis or "all")
        assert kind == "finetune" or settings["method"] in ("base", *methods)


# ---------------------------------------------------------------- λ


def test_lambda_is_nearest_to_fair_among_those_that_keep_the_language():
    assert grid.chosen_lambda(swept(ratio={10: 0.1, 100: -0.2}), "bec") == 100  # −.1 on three seeds, against 0.2 and .5
    assert grid.chosen_lambda(swept(ratio={10: 0.1, 100: -0.2}, lm={100: 78.9}), "bec") == 10
    assert grid.chosen_lambda(swept(lm={1: 70, 10: 72, 100: 71}), "bec") == 10  # none keeps it: the one that loses least


def test_lambda_is_compared_on_shared_seeds_and_needs_enough_of_them():
    lucky = swept(ratio={10: 0.3})
    one_seed = (lucky["lam"] == 100) & (lucky["seed"] > 0)
    lucky.loc[(lucky["lam"] == 100), "value"] = lucky["value"].where(lucky["metric"] == "LM", 0.0)
    assert grid.chosen_lambda(lucky[~one_seed], "bec") == 10  # 100 was run once
    assert grid.chosen_lambda(lucky, "bec") == 100


def test_without_rows_lambda_is_an_error():
    for rows in (None, swept()[:0]):
        with pytest.raises(FairNCError, match="no run is recorded"):
            grid.chosen_lambda(rows, "bec")
    with pytest.raises(FairNCError, match="for ase: StereoSet dev"):
        grid.chosen_lambda(swept(), "ase")


# ---------------------------------------------------------------- running and recording


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of four cells, one of which cannot be run, gone through twice."""
    folder = tmp_path_factory.mktemp("study")
    chosen = grid.cells(plan(
        base={"options": SMALL | {"method": "base", "benchmarks": ["stereoset_intra:dev:gender"], "collapse": ["gender"]}},
        bec={"options": SMALL | {"method": "bec", "benchmarks": ["stereoset_intra:dev:gender"]}, "grid": {"seed": [0, 1]}},
        bad={"options": SMALL | {"method": "bec", "min_count": 10_000}},
    ))  # fmt: skip
    first = grid.run(chosen, folder, jobs=1)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("provenance.json")}
    return folder, chosen, first, times, grid.run(chosen, folder, jobs=1)


def test_what_fails_is_told_and_the_rest_is_run_once(done):
    folder, chosen, first, times, second = done
    bad = next(cell for cell, (_, config) in chosen.items() if config["min_count"] == 10_000)
    assert set(first) == set(second) == {bad}
    assert first[bad].startswith("FairNCError: ")
    assert {path.parent.parent.name for path in times} == set(chosen) - {bad}
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("provenance.json")}


def test_what_fine_tunes_one_model_stays_together_and_a_method_by_itself():
    tuned = {"run": "finetune", "grid": {"task": ["cola", "rte", "sst2"], "seed": [0, 1], "debiasing": [
        {"method": "mlm"}, {"method": "bec"}, {"method": "bec", "regularizer": "corrected"}]}}  # fmt: skip
    chosen = grid.cells(plan(tuned=tuned, plain={"options": SMALL, "grid": {"method": ["mlm", "bec"], "seed": [0, 1, 2]}}))
    for size in (1, 2, 100):
        parts = grid._parts(chosen, size)
        assert sorted(cell for part in parts for cell in part) == sorted(chosen)
        assert all(len({grid._method(*value) for value in part.values()}) == 1 for part in parts)
        models = [{(str(config["debiasing"]), config["seed"]) for kind, config in part.values() if kind == "finetune"}
                  for part in parts]  # fmt: skip
        assert sum(map(len, models)) == len(set().union(*models)) == 6
    assert len(grid._parts(chosen, 100)) == 4
    assert len(grid._parts(chosen, 1)) == 6 + 6


def test_recording_keeps_rows_units_and_provenance(done, tmp_path):
    folder, chosen, *_ = done
    told = recording.record(folder, target=tmp_path / "a")
    assert len(told["runs"]) == len(chosen) - 1
    results, units = (pd.read_parquet(tmp_path / "a" / f"{name}.parquet") for name in ("results", "units"))
    assert list(units.columns) == list(records.UNIT_COLUMNS)
    assert list(results.columns) == list(records.RESULT_COLUMNS)
    assert set(results["origin"]) == {"recorded"}
    assert results[results["method"] == "base"]["run_id"].nunique() == 1  # each run has measured the untrained model
    for run_id in told["runs"]:
        rows = records.select(results, run_id=run_id, benchmark="stereoset_intra").set_index("metric")["value"]
        own = units[(units["run_id"] == run_id) & (units["benchmark"] == "stereoset_intra")]
        table = own.pivot(index="unit", columns="column", values="value").astype(float)
        for metric, (columns, statistic) in benchmarks.get("stereoset_intra").statistics.items():
            assert statistic(*(table[c].to_numpy() for c in columns), axis=-1) == pytest.approx(rows[metric], abs=1e-4)
    assert set(units[units["benchmark"] == "collapse"]["column"]) == set(recording.CLASS_SCORES.values())
    assert {"loss", "seconds_per_step"} <= set(units[units["benchmark"] == "training"]["column"])


def test_recorded_studies_join_and_a_second_recording_changes_nothing(done, tmp_path):
    folder, *_ = done
    recording.record(folder, target=tmp_path / "a")
    cell = next(folder.iterdir())
    recording.record(cell, target=tmp_path / "part")
    recording.record(tmp_path / "part", folder, target=tmp_path / "b")
    recording.record(tmp_path / "b", tmp_path / "a", target=tmp_path / "b")
    for name in ("results", "units"):
        tables = [pd.read_parquet(tmp_path / place / f"{name}.parquet") for place in "ab"]
        columns = list(tables[0].columns[:6]) + (["metric"] if name == "results" else ["column"])
        ordered = [table.sort_values(columns, kind="stable").reset_index(drop=True) for table in tables]
        pd.testing.assert_frame_equal(*ordered)
    texts = [json.loads((tmp_path / place / "provenance.json").read_text()) for place in "ab"]
    assert texts[0] == texts[1]


def test_what_is_lacking_is_told_by_sweep(done):
    folder, chosen, *_ = done
    runs = recording.record(folder, target=folder.parent / "kept")["runs"]
    assert len(grid.without(chosen, runs)) == 1
    options = SMALL | {"method": "bec", "benchmarks": ["stereoset_intra:dev:gender"]}
    two = plan(bec={"options": options, "grid": {"seed": [1, 2]}})
    (number, cells), = grid.lacking(two, runs, swept()).values()
    assert (number, [config["seed"] for config in cells]) == (2, [2])


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(FairNCError, match="no run below"):
        recording.record(tmp_path, target=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_command_runs_a_study(tmp_path, capfd):
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump({"study": {"sweeps": {"one": {"options": SMALL | {"method": "base"}}}}}))
    assert cli.main(["study", "--config", str(file), "--out", str(tmp_path / "runs")]) == 0
    assert len(list((tmp_path / "runs").glob("*/*/results.parquet"))) == 1
    assert cli.main(["study", "--config", str(file), "--out", str(tmp_path / "runs"), "--sweeps", "two"]) == 2
    assert "no sweep two" in capfd.readouterr().err


# ---------------------------------------------------------------- the paper's models


def test_the_papers_study_runs_on_local_checkpoints(tmp_path, tiny):
    """Folders in the hub's format stand in for the models of config/paper.yaml: cased, uncased, byte-level BPE."""
    plan = grid.plan(yaml.safe_load((CONFIG / "paper.yaml").read_text()))
    models = plan.sweeps["published"]["grid"]["model"]
    for name in models:
        lm = tiny("roberta" if "roberta" in name.lower() or "fairberta" in name.lower() else "bert", **{})
        lm.model.save_pretrained(tmp_path / name)
        lm.tokenizer.save_pretrained(tmp_path / name)
    small = {"evaluation_texts": 40, "min_count": 1, "precision": "fp32", "collapse": ["vocabulary"], "device": "cpu",
             "benchmarks": ["occupation_slope:bls"]}  # fmt: skip
    sweep = plan.sweeps["published"]
    here = {"options": sweep["options"] | small, "grid": {"model": [str(tmp_path / name) for name in models]}}
    for cell, (kind, config) in grid.cells(grid.plan({"study": {"sweeps": {"published": here}}})).items():
        rows = grid.RUNS[kind][1](**config).results
        assert {"collapse", "occupation_slope", "perplexity", "training"} <= set(rows["benchmark"]), cell
        assert np.isfinite(rows[rows["metric"] == "slope"]["value"]).all()
