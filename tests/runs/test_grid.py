"""The grid of the study: cells of a plan, the choice of λ, parts, runs that fail or go on, and the
recording of them all.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fairnc_utils import benchmarks
from fairnc_utils.errors import FairNCError
from fairnc_utils.runs import checkout, cli, grid, recording, study, weight
from fairnc_utils.runs.rows import RESULT_COLUMNS, UNIT_COLUMNS, Run, load, make, select

CONFIG = checkout.root() / "config"
SMALL = {
    "model": "random",
    "device": "cpu",
    "profile": "test",
    "steps": 1,
    "batch_size": 4,
    "texts": 16,
    "evaluation_texts": 60,
    "min_count": 2,
}


def plan(**sweeps):
    return grid.plan({"study": {"sweeps": sweeps}})


def swept(lams=(1, 10, 100), seeds=3, methods=("mlm", "bec"), ratio=None, lm=None) -> pd.DataFrame:
    """Rows of StereoSet dev: with NC3 the log ratio is ``ratio[λ]``, LM ``lm[λ]``; without .5 and
    80; seeds move both alike.
    """
    ratio = {None: 0.5, **dict.fromkeys(lams, 0.4), **(ratio or {})}
    lm = {None: 80.0, **dict.fromkeys(lams, 80.0), **(lm or {})}
    rows = []
    for method, lam, seed in itertools.product(methods, (None, *lams), range(5)):
        if lam is None or seed < seeds:
            common = {
                "model": "models/minilm-mlm",
                "method": method,
                "regularizer": "corrected" if lam else "none",
                "lam": lam or 0.0,
                "seed": seed,
                "benchmark": "stereoset_intra",
                "split": "dev",
                "axis": "gender",
            }
            rows += [
                common | {"metric": "log_ratio", "value": ratio[lam] + 0.1 * seed},
                common | {"metric": "LM", "value": lm[lam] - seed},
            ]
    return pd.DataFrame(rows).reindex(columns=list(RESULT_COLUMNS))


# ---------------------------------------------------------------- cells


def test_cells_are_all_combinations_and_equal_ones_are_one():
    cells = grid.cells(
        plan(
            a={"options": SMALL, "grid": {"method": ["mlm", "bec"], "seed": [0, 1]}},
            b={"options": SMALL | {"method": "bec"}, "grid": {"seed": [1, 2]}},
        )
    )
    assert sorted((cell.config.method, cell.config.seed) for cell in cells.values()) == [
        ("bec", 0),
        ("bec", 1),
        ("bec", 2),
        ("mlm", 0),
        ("mlm", 1),
    ]
    assert list(
        grid.cells(plan(b={"options": SMALL | {"method": "bec"}, "grid": {"seed": [1]}}))
    ) == [
        name for name, cell in cells.items() if (cell.config.method, cell.config.seed) == ("bec", 1)
    ]


def test_a_dot_reaches_inside_and_lengths_belong_to_a_method():
    sweeps = {
        "t": {
            "run": "finetune",
            "options": {"task": "cola", "debiasing": {"method": "bec"}},
            "grid": {"debiasing.regularizer": ["none", "corrected"]},
        }
    }
    cells = grid.cells(
        grid.plan(
            {"study": {"sweeps": sweeps, "lengths": {"bec": {"steps": 7, "regularizer": "x"}}}}
        )
    )
    assert [cell.debiasing.regularizer for cell in cells.values()] == ["none", "corrected"]
    assert {cell.debiasing.steps for cell in cells.values()} == {7}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "no section `study`"),
        ({"study": {"sweeps": {}}}, "sweeps"),
        ({"study": {"sweeps": {"a": {"wrong": 1}}}}, "wrong"),
        ({"study": {"sweeps": {"a": {"options": {"method": "bec", "stps": 1}}}}}, "stps"),
        ({"study": {"sweeps": {"a": {"run": "measure"}}}}, "run = 'measure'"),
        (
            {
                "study": {
                    "sweeps": {
                        "a": {"run": "finetune", "options": {"task": "cola", "debiasing": "bec"}}
                    }
                }
            },
            "debiasing = 'bec'",
        ),
        (
            {"study": {"sweeps": {"a": {"options": {"method": "bec", "lam": "chosen"}}}}},
            "λ cannot be chosen",
        ),
    ],
)
def test_a_bad_plan_is_one_error(config, message):
    with pytest.raises(FairNCError, match=message):
        grid.cells(grid.plan(config))


def test_what_does_not_go_together_is_refused_before_anything_is_run():
    sweep = {"options": SMALL | {"method": "bec"}, "grid": {"regularizer": ["none", "nc4"]}}
    with pytest.raises(FairNCError, match="regularizer = 'nc4'"):
        grid.cells(plan(a=sweep))


def test_a_label_tells_cells_apart_as_rows_do():
    sweep = {
        "options": SMALL | {"method": "bec", "regularizer": "corrected", "lam": 100},
        "grid": {"nc3_words": ["gender", "random"], "frozen": ["none", "embeddings"]},
    }
    tuned = {"run": "finetune", "options": {"task": "cola"}}
    labels = [cell.label for cell in grid.cells(plan(a=sweep, b=tuned)).values()]
    assert labels == [
        "bec corrected λ = 100",
        "bec corrected,frozen=embeddings λ = 100",
        "bec corrected,words=random λ = 100",
        "bec corrected,words=random,frozen=embeddings λ = 100",
        "cola base",
    ]


def test_an_unknown_sweep_is_named():
    with pytest.raises(FairNCError, match="no sweep c; it has a, b"):
        grid.cells(plan(a={}, b={}), ["c"])


@pytest.mark.parametrize(("profile", "least"), [("tiny", 4), ("full", 300), ("paper", 500)])
def test_the_plans_of_the_profiles_hold(profile, least):
    config = yaml.safe_load((CONFIG / f"{profile}.yaml").read_text())
    models = {"tiny": ["random"], "paper": ["bert-base-uncased", "bert-base-cased", "roberta-base"]}
    methods = ("mlm", "bec", "cda", "dropout", "mabel", "mabel_nli", "ase", "adept")
    known = [
        swept(methods=methods).assign(model=model)
        for model in models.get(profile, ["models/minilm-mlm"])
    ]
    cells = grid.cells(grid.plan(config), results=pd.concat(known))
    assert len(cells) >= least
    for cell in cells.values():
        assert cell.config.profile == profile
        assert cell.config.model != "models/minilm-mlm" or profile == "full"
        for name in cell.config.benchmarks:
            benchmark, split, axis = (*name.split(":"), "", "")[:3]
            known = benchmarks.get(benchmark)
            known.check(split=split or known.splits[-1], axis=axis or "all")
        assert cell.kind == "finetune" or cell.config.method in ("base", *methods)


# ---------------------------------------------------------------- λ


def test_lambda_is_nearest_to_fair_among_those_that_keep_the_language():
    assert (
        weight.choose_lambda(swept(ratio={10: 0.1, 100: -0.2}), "bec") == 100
    )  # −.1 on three seeds, against 0.2 and .5
    assert weight.choose_lambda(swept(ratio={10: 0.1, 100: -0.2}, lm={100: 78.9}), "bec") == 10
    assert (
        weight.choose_lambda(swept(lm={1: 70, 10: 72, 100: 71}), "bec") == 10
    )  # none keeps it: the one that loses least


def test_lambda_is_compared_on_shared_seeds_and_needs_enough_of_them():
    lucky = swept(ratio={10: 0.3})
    one_seed = (lucky["lam"] == 100) & (lucky["seed"] > 0)
    lucky.loc[(lucky["lam"] == 100), "value"] = lucky["value"].where(lucky["metric"] == "LM", 0.0)
    assert weight.choose_lambda(lucky[~one_seed], "bec") == 10  # 100 was run once
    assert weight.choose_lambda(lucky, "bec") == 100


def test_without_rows_lambda_is_an_error():
    for rows in (None, swept()[:0]):
        with pytest.raises(FairNCError, match="no run is recorded"):
            weight.choose_lambda(rows, "bec")
    with pytest.raises(FairNCError, match="for ase: StereoSet dev"):
        weight.choose_lambda(swept(), "ase")


# ---------------------------------------------------------------- running and recording


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of four cells, the first of which is refused, gone through twice → folder, cells,
    both exit statuses, …
    """
    folder = tmp_path_factory.mktemp("study")
    scored = SMALL | {"benchmarks": ["stereoset_intra:dev:gender"]}
    cells = grid.cells(
        plan(
            bad={"options": SMALL | {"method": "bec", "min_count": 10_000}},
            base={"options": scored | {"method": "base", "collapse": ["gender"]}},
            bec={"options": scored | {"method": "bec"}, "grid": {"seed": [0, 1]}},
        )
    )
    first = study.run(cells, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("provenance.json")}
    return (
        folder,
        cells,
        first,
        times,
        study.run(study.Finished({}, folder).missing(cells), folder),
    )


def test_what_is_refused_is_named_and_the_rest_is_run_once(done):
    folder, cells, first, times, second = done
    (bad,) = [name for name, cell in cells.items() if cell.config.min_count == 10_000]
    assert (first, second) == (1, 1)
    assert (folder / bad / study.UNFINISHED).read_text().startswith("FairNCError: ")
    assert [path.parent.name for path in folder.rglob(study.UNFINISHED)] == [bad]
    assert {path.parent.parent.name for path in times} == set(cells) - {bad}
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("provenance.json")}


class Broken:
    """Stands for a device: the run with seed 1 breaks it, and nothing runs on it from then on, in
    this process.
    """

    def __init__(self):
        self.begun, self.broken = [], False

    def __call__(self, *, seed, **options):
        self.begun.append(seed)
        self.broken |= seed == 1
        if self.broken:
            raise RuntimeError("illegal memory access")
        return make(
            {"seed": seed}, [{"metric": "loss", "value": 0.0}], None, device="cpu", evidence={}
        )


FOUR = plan(a={"options": SMALL | {"method": "bec"}, "grid": {"seed": [0, 1, 2, 3]}})


def test_an_error_that_may_be_the_devices_ends_the_process_and_the_next_one_goes_on(
    tmp_path, monkeypatch, capsys
):
    four = grid.cells(FOUR)

    def process() -> list[int]:
        monkeypatch.setitem(grid.RUNS, "train", (grid.TrainConfig, device := Broken()))
        assert study.run(study.Finished({}, tmp_path).missing(four), tmp_path) == 1
        return device.begun

    assert process() == [0, 1]
    said = capsys.readouterr().err
    assert "bec on random, seed 1: RuntimeError: illegal memory access" in said
    assert "the same command goes on with the 2 cells after it" in said
    assert process() == [2, 3, 1]  # the one that did not end comes last
    (left,) = study.Finished({}, tmp_path).missing(four).values()
    assert left.config.seed == 1
    lines = study.missing_lines(FOUR, ["a"], study.Finished({}, tmp_path))
    assert lines == ["a: 1 of 4 missing", "  bec, seed 1 (RuntimeError: illegal memory access)"]


def test_no_further_cell_is_computed_for_a_folder_that_cannot_be_written(
    tmp_path, monkeypatch, capsys
):
    two = grid.cells(plan(a={"options": SMALL | {"method": "bec"}, "grid": {"seed": [0, 2]}}))
    monkeypatch.setitem(grid.RUNS, "train", (grid.TrainConfig, device := Broken()))

    def full(*_):
        raise FairNCError("results cannot be saved (No space left on device)")

    monkeypatch.setattr(Run, "save", full)
    assert study.run(two, tmp_path) == 1
    assert device.begun == [0]
    assert "No space left on device" in capsys.readouterr().err


def test_the_same_command_twice_shares_the_cells(tmp_path, monkeypatch):
    four = grid.cells(FOUR)
    names = {cell.config.seed: name for name, cell in four.items()}
    begun = []

    def device(*, seed, **options):
        begun.append(seed)
        if seed == 0:  # the other process takes what nobody has, and ends before this one
            assert study.run(four, tmp_path) == 0
        return make(
            {"seed": seed}, [{"metric": "loss", "value": 0.0}], None, device="cpu", evidence={}
        )

    monkeypatch.setitem(grid.RUNS, "train", (grid.TrainConfig, device))
    with study._claimed(tmp_path / study.CLAIMS / names[2]):  # a third one is at it
        assert study.run(four, tmp_path) == 0
    assert begun == [0, 1, 3]
    (left,) = study.Finished({}, tmp_path).missing(four).values()
    assert left.config.seed == 2
    assert study.run(four, tmp_path) == 0
    assert begun == [0, 1, 3, 2]


def scored(*, method, regularizer="none", lam=None, seed=0, **_) -> Run:
    """A run whose log ratio on StereoSet dev is nearest to 0 at λ = 10."""
    ratio = {None: 0.5, 1.0: 0.4, 10.0: 0.1}[lam]
    rows = [
        {
            "benchmark": "stereoset_intra",
            "split": "dev",
            "axis": "gender",
            "metric": metric,
            "value": value,
        }
        | {"method": method, "regularizer": regularizer, "lam": lam or 0.0}
        for metric, value in (("log_ratio", ratio), ("LM", 80.0))
    ]
    config = {
        "model": "random",
        "method": method,
        "regularizer": regularizer,
        "lam": lam,
        "seed": seed,
    }
    return make(config, rows, None, device="cpu", evidence={})


def test_sweeps_that_wait_for_lambda_come_last_and_when_all_parts_are_there(
    tmp_path, monkeypatch, capsys
):
    corrected = SMALL | {"method": "bec", "regularizer": "corrected"}
    whole = plan(
        corrected={"options": corrected | {"lam": "chosen"}, "grid": {"seed": [0, 1, 2]}},
        plain={"options": SMALL | {"method": "bec"}, "grid": {"seed": [0, 1]}},
        weights={"options": corrected, "grid": {"lam": [1, 10], "seed": [0, 1]}},
    )
    monkeypatch.setitem(grid.RUNS, "train", (grid.TrainConfig, scored))
    finished, names = study.Finished({}, tmp_path), list(whole.sweeps)

    def weights() -> set[tuple]:
        table = load(tmp_path)
        return set(zip(table["lam"], table["seed"], strict=True))

    assert study.run_sweeps(whole, names, (1, 2), finished) == 1
    assert (
        "corrected: λ is chosen when all other sweeps are complete, and 3 of their cells"
        in capsys.readouterr().err
    )
    assert len(weights()) == 3
    assert study.run_sweeps(whole, names, (2, 2), finished) == 0
    assert study.run_sweeps(whole, names, (1, 2), finished) == 0
    assert weights() == {(lam, seed) for lam in (0.0, 1.0, 10.0) for seed in (0, 1)} | {(10.0, 2)}


def tuned_and_trained() -> dict[str, grid.Cell]:
    """18 fine-tuned cells of 6 debiased models, and 6 trained ones; 2 methods each."""
    tuned = {
        "run": "finetune",
        "grid": {
            "task": ["cola", "rte", "sst2"],
            "seed": [0, 1],
            "debiasing": [
                {"method": "mlm"},
                {"method": "bec"},
                {"method": "bec", "regularizer": "corrected"},
            ],
        },
    }
    return grid.cells(
        plan(
            tuned=tuned,
            plain={"options": SMALL, "grid": {"method": ["mlm", "bec"], "seed": [0, 1, 2]}},
        )
    )


@pytest.mark.parametrize("number", [1, 2, 4, 12, 50])
def test_each_cell_is_in_one_part_and_what_fine_tunes_one_model_too(number):
    cells = tuned_and_trained()
    parts = [grid.part(cells, place, number) for place in range(1, number + 1)]
    assert sorted(cell for part in parts for cell in part) == sorted(cells)
    models = [
        {
            (str(cell.debiasing), cell.config.seed)
            for cell in part.values()
            if cell.kind == "finetune"
        }
        for part in parts
    ]
    assert sum(map(len, models)) == len(set().union(*models)) == 6
    assert max(map(len, parts)) <= len(cells) / number + 3  # as even as groups of three allow
    if number == 4:  # as many as there are kinds of text
        assert [len({cell.shares[:3] for cell in part.values()}) for part in parts] == [1, 1, 1, 2]


def test_parts_depend_on_nothing_but_the_cells():
    cells = tuned_and_trained()
    shuffled = dict(reversed(cells.items()))
    assert [list(grid.part(shuffled, place, 3)) for place in (1, 2, 3)] == [
        list(grid.part(cells, place, 3)) for place in (1, 2, 3)
    ]


def test_recording_keeps_rows_units_and_provenance(done, tmp_path):
    folder, cells, *_ = done
    provenance = recording.gather(folder, target=tmp_path / "a")
    assert len(provenance["runs"]) == len(cells) - 1
    results, units = (
        pd.read_parquet(tmp_path / "a" / f"{name}.parquet") for name in ("results", "units")
    )
    assert list(units.columns) == list(UNIT_COLUMNS)
    assert list(results.columns) == list(RESULT_COLUMNS)
    assert set(results["origin"]) == {"recorded"}
    assert (
        results[results["method"] == "base"]["run_id"].nunique() == 1
    )  # each run has measured the untrained model
    for run_id in provenance["runs"]:
        rows = select(results, run_id=run_id, benchmark="stereoset_intra").set_index("metric")[
            "value"
        ]
        of_run = units[(units["run_id"] == run_id) & (units["benchmark"] == "stereoset_intra")]
        table = of_run.pivot(index="unit", columns="column", values="value").astype(float)
        for metric, (columns, statistic) in benchmarks.get("stereoset_intra").statistics.items():
            assert statistic(*(table[c].to_numpy() for c in columns), axis=-1) == pytest.approx(
                rows[metric], rel=1e-4, abs=1e-4
            )
    assert set(units[units["benchmark"] == "collapse"]["column"]) == set(
        recording.CLASS_SCORES.values()
    )
    assert {"loss", "seconds_per_step"} <= set(units[units["benchmark"] == "training"]["column"])


def test_recorded_studies_join_and_a_second_recording_changes_nothing(done, tmp_path):
    folder, *_ = done
    recording.gather(folder, target=tmp_path / "a")
    cell = next(folder.iterdir())
    recording.gather(cell, target=tmp_path / "part")
    recording.gather(tmp_path / "part", folder, target=tmp_path / "b")
    recording.gather(tmp_path / "b", tmp_path / "a", target=tmp_path / "b")
    for name in ("results", "units"):
        tables = [pd.read_parquet(tmp_path / place / f"{name}.parquet") for place in "ab"]
        columns = list(tables[0].columns[:6]) + (["metric"] if name == "results" else ["column"])
        ordered = [
            table.sort_values(columns, kind="stable").reset_index(drop=True) for table in tables
        ]
        pd.testing.assert_frame_equal(*ordered)
    texts = [json.loads((tmp_path / place / "provenance.json").read_text()) for place in "ab"]
    assert texts[0] == texts[1]


def test_what_is_missing_is_told_by_sweep(done):
    folder, planned, *_ = done
    runs = recording.gather(folder, target=folder.parent / "kept")["runs"]
    assert len(grid.missing(planned, runs)) == 1
    options = SMALL | {"method": "bec", "benchmarks": ["stereoset_intra:dev:gender"]}
    two = plan(
        bec={"options": options | {"device": "auto"}, "grid": {"seed": [1, 2]}}
    )  # the device is no difference
    ((number, cells),) = grid.missing_by_sweep(two, runs, swept()).values()
    assert (number, [cell.config.seed for cell in cells]) == (2, [2])


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(FairNCError, match="no run below"):
        recording.gather(tmp_path, target=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_run_that_was_killed_while_it_was_saved_is_neither_read_nor_recorded(done, tmp_path):
    folder, cells, *_ = done
    saved = next(folder.glob("*/*/provenance.json"))
    half = tmp_path / saved.parts[-3] / f".{saved.parts[-2]}.x" / saved.parts[-2]
    half.mkdir(parents=True)
    for name in ("provenance.json", "results.parquet"):
        (half / name).write_bytes(saved.with_name(name).read_bytes()[:-20])
    finished = study.Finished({}, tmp_path)
    assert finished.missing(cells) == cells
    assert not set(finished.results()["profile"]) & {"test"}
    with pytest.raises(FairNCError, match="no run below"):
        recording.gather(tmp_path, target=tmp_path / "kept")


@pytest.fixture
def profile(tmp_path):
    """A profile whose study has two cells, and one whose λ is to be chosen."""
    file = tmp_path / "plan.yaml"
    sweeps = {
        "one": {"options": SMALL | {"method": "base"}, "grid": {"seed": [0, 1]}},
        "two": {"options": SMALL | {"method": "bec", "regularizer": "corrected", "lam": "chosen"}},
    }
    file.write_text(yaml.safe_dump({"study": {"sweeps": sweeps}}))
    return str(file)


def test_the_command_runs_a_study_by_parts(profile, tmp_path, capfd):
    one, runs = (
        ["study", "--config", profile, "--out", str(tmp_path / "runs"), "--sweeps", "one"],
        tmp_path / "runs",
    )
    assert cli.main([*one, "--part", "2/2"]) == 0
    assert len(list(runs.glob("*/*/results.parquet"))) == 1
    assert cli.main(one) == 0
    assert len(list(runs.glob("*/*/results.parquet"))) == 2
    assert "1 of 1: " in capfd.readouterr().err.splitlines()[-1]  # the other was there


def test_the_command_lists_what_is_missing(profile, tmp_path, capsys):
    command = ["study", "--config", profile, "--missing"]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["one: 2 of 2 missing", "  base, seed 0, 1"]
    assert lines[2].startswith(
        "two: not known before the sweeps that choose λ are run (λ cannot be chosen"
    )
    grid_of_one = grid.cells(grid.plan(yaml.safe_load(Path(profile).read_text())), ["one"])
    (tmp_path / "runs" / next(iter(grid_of_one)) / "some-run").mkdir(parents=True)
    (tmp_path / "runs" / next(iter(grid_of_one)) / "some-run" / "provenance.json").touch()
    assert cli.main([*command, "--sweeps", "one", "--out", str(tmp_path / "runs")]) == 0
    assert capsys.readouterr().out.splitlines() == ["one: 1 of 2 missing", "  base, seed 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "runs", "--sweeps", "three"], "the study has no sweep three; it has one, two"),
        (["--missing", "--sweeps", "three"], "the study has no sweep three; it has one, two"),
        ([], "name the folder of the runs: --out runs"),
        (["--missing", "--record"], "argument --record: not allowed with argument --missing"),
        *(
            (["--out", "runs", "--part", part], f"part {part!r}: write which of how many")
            for part in ("5/4", "0/4", "2", "a/b")
        ),
    ],
)
def test_a_bad_study_command_is_one_line(
    arguments, message, profile, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    sweeps = [] if "three" in arguments else ["--sweeps", "one"]
    assert cli.main(["study", "--config", profile, *sweeps, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------- the paper's models


def test_the_papers_study_runs_on_local_checkpoints(tmp_path, tiny):
    """Folders in the hub's format stand in for the models of config/paper.yaml: cased, uncased,
    byte-level BPE.
    """
    plan = grid.plan(yaml.safe_load((CONFIG / "paper.yaml").read_text()))
    models = plan.sweeps["published"]["grid"]["model"]
    for name in models:
        lm = tiny(
            "roberta" if "roberta" in name.lower() or "fairberta" in name.lower() else "bert", **{}
        )
        lm.model.save_pretrained(tmp_path / name)
        lm.tokenizer.save_pretrained(tmp_path / name)
    small = {
        "evaluation_texts": 40,
        "min_count": 1,
        "precision": "fp32",
        "collapse": ["vocabulary"],
        "device": "cpu",
        "benchmarks": ["occupation_slope:bls"],
    }
    sweep = plan.sweeps["published"]
    here = {
        "options": sweep["options"] | small,
        "grid": {"model": [str(tmp_path / name) for name in models]},
    }
    for cell in grid.cells(grid.plan({"study": {"sweeps": {"published": here}}})).values():
        rows = cell.run().results
        assert {"collapse", "occupation_slope", "perplexity", "training"} <= set(
            rows["benchmark"]
        ), cell
        assert np.isfinite(rows[rows["metric"] == "slope"]["value"]).all()
