"""The speed benchmarks run in a tiny setting and give finite figures; what is published is what was
recorded.

No time is asserted.
"""

import csv
import importlib
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT

from fairnc_utils import collapse
from fairnc_utils.regularizer import NC3Regularizer, as_released
from fairnc_utils.words import load

NAMES = (
    "measurement",
    "accumulation",
    "pairwise",
    "kernels",
    "scaling",
    "scoring",
    "regularizer",
    "training",
    "precision",
    "neighbours",
    "large",
)
#: Unit of what a benchmark is about, where that is no ratio.
UNITS = {"training": "ms", "scaling": "GB"}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the process that pairwise starts


@pytest.mark.parametrize("name", sorted({*NAMES} - {"neighbours"}))
def test_tiny_run_gives_finite_figures(name):
    timing = importlib.import_module("speed.timing")
    rows = importlib.import_module(f"speed.{name}").run(
        timing.Settings(repeats=2, seconds=5, tiny=True)
    )
    assert any(row.unit == UNITS.get(name, "×") for row in rows)
    for row in rows:
        assert row.benchmark == name
        assert math.isfinite(row.value)
        # of so small sizes, it may be anything
        assert row.value >= 0 or row.quantity.startswith("exponent")
        assert row.repeats in (1, 2) or name == "scaling"


def test_pairwise_metrics_equal_the_plain_formulation():
    pairwise = importlib.import_module("speed.pairwise")
    assert pairwise.difference(600, 24) < 1e-9  # more classes than one tile holds


def test_repeats_alternate_and_end_in_time():
    timing = importlib.import_module("speed.timing")
    calls = []
    contenders = {name: lambda repeat, name=name: calls.append((name, repeat)) for name in "ab"}
    times = timing.paired(contenders, repeats=3, seconds=60, warm=False)
    assert calls == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert {len(values) for values in times.values()} == {3}
    assert len(timing.paired(contenders, repeats=50, seconds=0)["a"]) == 2


def test_command_prints_a_table_and_writes_tidy_figures(tmp_path, capsys):
    main = importlib.import_module("speed.__main__").main
    output = tmp_path / "figures" / "speed.json"
    main(["accumulation", "--tiny", "--repeats", "2", "--output", str(output)])
    assert (
        "| accumulation | 64 tokens, D = 16, float64 | one-hot / update |"
        in capsys.readouterr().out
    )
    written = json.loads(output.read_text())
    assert written["machine"]["cores"] >= 1
    columns = {
        "benchmark",
        "case",
        "quantity",
        "unit",
        "value",
        "ci_low",
        "ci_high",
        "repeats",
        "at",
    }
    assert set(written["results"][0]) == columns
    assert np.isfinite([row["value"] for row in written["results"]]).all()


def test_a_benchmark_that_fails_ends_no_other(tmp_path, monkeypatch):
    accumulation = importlib.import_module("speed.accumulation")

    def fail(settings):
        raise MemoryError("no more of it")

    monkeypatch.setattr(accumulation, "run", fail)
    output = tmp_path / "speed.json"
    with pytest.raises(SystemExit, match="accumulation failed: MemoryError: no more of it"):
        importlib.import_module("speed.__main__").main(
            ["accumulation", "precision", "--tiny", "--repeats", "2", "--output", str(output)]
        )
    written = json.loads(output.read_text())
    assert written["failed"] == {"accumulation": "MemoryError: no more of it"}
    assert {row["benchmark"] for row in written["results"]} == {"precision"}


def test_what_needs_a_gpu_is_not_begun_on_a_cpu(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("speed.__main__").main(["large"])
    assert "large needs a GPU: give --device cuda, or --tiny" in capsys.readouterr().err


def test_command_names_the_benchmarks_it_knows(capsys):
    with pytest.raises(SystemExit):
        importlib.import_module("speed.__main__").main(["sorting"])
    assert f"choose {', '.join(NAMES)}" in capsys.readouterr().err


def test_regularizer_runs_the_released_formulation(tiny, tokenizer):
    """The description's loop equals the preset on one batch, whose counts are then the same."""
    benchmark = importlib.import_module("speed.regularizer")
    lm = tiny("bert")
    (batch, *_), ids = benchmark._batches(lm, 8), load("gender", tokenizer).token_ids
    released = benchmark.ReleasedRegularizer(lm.model, ids)
    preset = NC3Regularizer(lm.model, tokenizer, ids, options=as_released("bec"))
    lm.model(**batch)
    torch.testing.assert_close(released(batch), preset(batch), rtol=1e-3, atol=1e-5)


def test_device_is_for_what_can_run_there(capsys):
    for names in ([], ["pairwise"], ["scoring", "pairwise"]):
        with pytest.raises(SystemExit):
            importlib.import_module("speed.__main__").main([*names, "--device", "cuda"])
        assert (
            "--device is for measurement, accumulation, scaling, scoring, regularizer, training, precision"
            in capsys.readouterr().err
        )


# Kernels and growth


def test_released_kernels_equal_the_as_released_variant():
    """Every ordered pair by patches against the package's own reproduction of the released numbers,
    in float64.
    """
    kernels, pairwise = (
        importlib.import_module(f"speed.{name}") for name in ("kernels", "pairwise")
    )
    statistics, weight = pairwise.random_classes(60, 16)
    metrics = collapse.measure(statistics, weight, variant="as_released").metrics()
    every, pairs = torch.arange(60), torch.ones(60, 60).triu(1).bool()
    released = kernels.released(statistics.means(every), statistics.variances(every))
    for name, metric in (("CDNV", "nc1"), ("log kernel", "gnc2_mean")):
        blocks = [
            [released[name](slice(i, i + 20), slice(j, j + 20)) for j in range(0, 60, 20)]
            for i in range(0, 60, 20)
        ]
        whole = torch.cat([torch.cat(row, 1) for row in blocks])
        torch.testing.assert_close(whole, whole.mT)
        torch.testing.assert_close(whole[pairs].mean(), metrics[metric])


def test_our_pass_gives_what_measure_gives():
    kernels, pairwise = (
        importlib.import_module(f"speed.{name}") for name in ("kernels", "pairwise")
    )
    statistics, weight = pairwise.random_classes(300, 16)
    metrics, every = collapse.measure(statistics, weight).metrics(), torch.arange(300)
    ours = kernels.ours(statistics.means(every), statistics.variances(every))
    torch.testing.assert_close(ours["cdnv"][0][0], metrics["nc1"])
    torch.testing.assert_close(ours["log_kernel"][1][0], metrics["gnc2_sd"])


def test_blocks_are_the_share_of_the_grid_that_they_say():
    kernels = importlib.import_module("speed.kernels")
    pairs = []

    def kernel(a: slice, b: slice) -> float:
        pairs.append((a.stop - a.start) * (b.stop - b.start))
        return 0.0

    for patch in (1, 16, 64):
        pairs.clear()
        work, share = kernels.some_blocks(kernel, 64, patch)
        work(0)
        assert sum(pairs) == pytest.approx(share * 64**2)


def test_no_tensor_of_all_pairs_is_held():
    """Peak memory grows by less than half a K × K tensor, let alone K × K × D; the control holds
    one.
    """
    code = """
import torch
from speed import pairwise, timing
from fairnc_utils import collapse

def grown(work):
    before = timing.peak_memory()
    work()
    return timing.peak_memory() - before

collapse.measure(*pairwise.random_classes(600, 64))
statistics, weight = pairwise.random_classes(4000, 64)
print(grown(lambda: collapse.measure(statistics, weight)), grown(lambda: torch.cdist(weight.double(), weight.double())))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours, control = map(float, done.stdout.split())
    tensor = 4000**2 * 8 / 1e9
    assert ours < tensor / 2
    assert control > tensor / 2


def test_a_curve_goes_from_small_to_large_and_what_grows_is_what_it_says():
    scaling = importlib.import_module("speed.scaling")
    for curve in scaling.CURVES:
        assert list(curve.sizes) == sorted(curve.sizes)
        assert curve.grows not in curve.fixed
    curve = scaling.Curve("accumulation", "tokens", (2048, 8192), {"classes": 50, "dimension": 8})
    assert curve.case == "accumulation by tokens, K = 50, D = 8"
    small, large = scaling.measured(curve)
    assert (small.size, large.size) == (2048, 8192)
    assert all(
        0 < len(point.seconds) <= scaling.REPEATS and min(point.seconds) >= 0
        for point in (small, large)
    )
    assert 0 < small.memory <= large.memory


def test_exponent_of_a_power_is_exact_and_noise_widens_its_interval():
    exponent = importlib.import_module("speed.scaling").exponent
    sizes = [100, 200, 400, 800]
    assert exponent(sizes, [3e-6 * n**1.5 for n in sizes]) == pytest.approx((1.5, 1.5, 1.5))
    value, low, high = exponent(
        sizes, [n**2 * factor for n, factor in zip(sizes, (1.1, 0.9, 1.2, 0.95), strict=True)]
    )
    assert low < value < high
    assert low < 2 < high
    value, low, high = exponent(sizes[-2:], [1.0, 4.0])
    assert value == pytest.approx(2)
    assert math.isnan(low)
    assert math.isnan(high)


# What is published


@pytest.fixture
def results():
    return importlib.import_module("speed.results")


@pytest.fixture
def row():
    return importlib.import_module("speed.timing").Row


def test_new_figures_replace_those_of_the_same_benchmark_and_device(results, row, tmp_path):
    file, old = tmp_path / "figures.json", row("pairwise", "K = 9", "time", "s", 1.0)
    for device, value in (("cpu", 1.0), ("cuda", 2.0), ("cpu", 3.0)):
        results.keep(
            "pairwise",
            device,
            {"cores": 2},
            [row("pairwise", "K = 9", "time", "s", value)],
            file=file,
        )
    results.keep("kernels", "cpu", {"cores": 2}, [old], note="a trial", file=file)
    entries = {(entry["benchmark"], entry["device"]): entry for entry in results.load(file)}
    assert {key: entry["results"][0].value for key, entry in entries.items()} == {
        ("pairwise", "cpu"): 3.0,
        ("pairwise", "cuda"): 2.0,
        ("kernels", "cpu"): 1.0,
    }
    assert math.isnan(entries["kernels", "cpu"]["results"][0].ci_low)
    assert entries["kernels", "cpu"]["note"] == "a trial"


def test_goals_take_the_worst_case_and_say_when_they_are_missed(row):
    goals = importlib.import_module("speed.goals")
    least, most = (
        goals.Goal("cpu", "b", "gain .*", least=10),
        goals.Goal("cpu", "b", "time", "large", most=2),
    )
    rows = [
        row("b", "one", "gain (1)", "×", 12.0),
        row("b", "two", "gain (2)", "×", 9.0),
        row("b", "two", "gains", "×", 1.0),
        row("b", "large", "time", "s", 1),
        row("b", "larger", "time", "s", 2),
        row("b", "", "time", "s", 5),
    ]
    assert least.worst(rows).value == 9.0
    assert least.verdict(least.worst(rows)) == "no"
    assert least.verdict(rows[0]) == "yes"
    assert most.worst(rows).value == 2.0
    assert most.verdict(most.worst(rows)) == "yes"
    assert (
        least.verdict(row("b", "one", "gain (1)", "×", 12.0, 9.0, 15.0)) == "yes, its interval not"
    )
    assert most.verdict(row("b", "large", "time", "s", 1.0, 0.5, 3.0)) == "yes, its interval not"
    assert most.worst(rows[:1]) is None


def test_missing_figures_are_called_missing(results):
    table = results.goals({"cpu": [], "cuda": []})
    assert {entry["figure"] for entry in table} == {"not measured"}
    assert {entry["reached"] for entry in table} == {"–"}


def test_published_tables_are_those_of_the_recorded_figures(results):
    for path, text in results.files(results.load()):
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python -m speed --tables"
    assert results.STILL.read_text().count("<g id=") > 1


def test_every_goal_has_its_figure_and_every_benchmark_its_row(results):
    with (results.PAGE / "speed-goals.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    missing = {line["benchmark"] for line in lines if line["figure"] == "not measured"}
    assert missing <= {"large"}
    recorded = {entry["benchmark"] for entry in results.load()}
    assert set(NAMES) - {"large"} <= recorded <= set(NAMES)  # that one needs a GPU
    text = results.README.read_text()
    assert [name for name in NAMES if f"\n| `{name}` |" not in text] == []


def test_page_shows_every_table(results):
    page = (results.PAGE / "speed.md").read_text()
    shown = {path.name for path, _ in results.files(results.load()) if path.parent == results.PAGE}
    assert [name for name in shown if f":file: {name}\n" not in page] == []
