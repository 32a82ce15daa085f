"""The speed benchmarks as they run on a GPU: tried on the CPU under the name ``cpu:0``, which
counts as elsewhere.
"""

import importlib
import json
import math
import subprocess
import sys

import pytest
import torch
from helpers import ROOT

from fairnc_utils.collapse import ClassStatistics

ELSEWHERE = "cpu:0"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def benchmark(name):
    return importlib.import_module(f"speed.{name}")


@pytest.fixture
def known(monkeypatch):
    """A device that moves 1 GB a second and makes 1 TFLOP a second of each data type."""
    peak = benchmark("device").Peak(1e9, dict.fromkeys((torch.float32, torch.float64), 1e12))
    for name in ("accumulation", "measurement", "scaling"):
        monkeypatch.setattr(benchmark(name), "peak", lambda device: peak)


def figures(name):
    timing = benchmark("timing")
    return benchmark(name).run(timing.Settings(repeats=2, seconds=5, tiny=True, device=ELSEWHERE))


@pytest.mark.parametrize("name", ["accumulation", "measurement", "scaling"])
def test_figures_elsewhere_are_finite_and_have_shares_where_the_peak_is_known(name, known):
    rows = figures(name)
    assert [row for row in rows if not math.isfinite(row.value) or row.benchmark != name] == []
    shares = [row for row in rows if "share of " in row.quantity]
    assert shares
    assert all(row.value > 0 and row.unit == "%" for row in shares)
    assert not any("processor" in row.quantity for row in rows)


def test_no_share_is_guessed_of_an_unknown_device(monkeypatch):
    assert not any(
        "share" in row.quantity for name in ("accumulation", "scaling") for row in figures(name)
    )
    device = benchmark("device")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert device.peak("cuda").bandwidth == 4.8e12
    # slower than what it is named after
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200 NVL")
    assert device.peak("cuda") is None
    assert device.peak("cpu") is None


def test_shares_are_what_is_needed_over_time_and_peak(known):
    scaling = benchmark("scaling")
    curve = scaling.Curve("accumulation", "tokens", (10, 20), {"classes": 5, "dimension": 4})
    rows = scaling._rows(
        curve,
        [scaling.Point(10, [0.5, 1.0, 2.0], 0.1, 1e8), scaling.Point(20, [4.0], 0.1, 2e8)],
        "cuda",
    )
    assert [
        (row.value, row.at) for row in rows if row.quantity == "share of the memory bandwidth"
    ] == [(10, 10), (5, 20)]
    assert [row.value for row in rows if row.quantity == "time"] == [1.0, 4.0]
    assert [row.value for row in rows if row.quantity == "exponent"] == pytest.approx([2.0])


def test_least_bytes_count_samples_once_and_each_class_that_occurs_twice():
    statistics = ClassStatistics(10, 3)  # sums in 8 bytes, sum of squares and count in 8 each
    features, labels = torch.zeros(4, 3), torch.tensor([7, 7, 2, 7])
    expected = 4 * 3 * 4 + 4 * 8 + 2 * 2 * (3 * 8 + 8 + 8)
    assert benchmark("accumulation").least_bytes(statistics, features, labels) == expected


def test_least_work_of_pairs_is_the_inner_products_of_means_and_of_rows():
    _, least = benchmark("scaling")._pairwise(classes=6, dimension=5, device="cpu")
    assert least == 2 * 15 * (2 * 5)


def test_a_batch_is_as_large_as_the_device_wants(monkeypatch):
    scaling, sizes = benchmark("scaling"), {}
    monkeypatch.setattr(scaling, "BATCH", 8)
    monkeypatch.setattr(scaling, "LARGE", 16)
    for device in ("cpu", ELSEWHERE):
        seen = sizes.setdefault(device, [])
        monkeypatch.setattr(
            ClassStatistics,
            "update",
            lambda self, features, labels, seen=seen: seen.append((len(features), len(labels))),
        )
        scaling._accumulation(tokens=32, classes=5, dimension=2, device=device)[0]()
    assert sizes == {"cpu": [(8, 8)] * 4, ELSEWHERE: [(16, 16)] * 2}


def test_forward_work_is_that_of_the_linear_layers_but_the_decoder(tiny):
    lm = tiny("bert")
    size, inner = lm.model.config.hidden_size, lm.model.config.intermediate_size
    weights = lm.layers * (4 * size**2 + 2 * size * inner) + size**2
    assert benchmark("measurement").flop(lm) == 2 * weights


# What is published


def entry(device, time):
    row = benchmark("timing").Row
    case, rows = "accumulation by tokens, K = 5, D = 4", []
    for size in (10, 20):
        rows.append(row("scaling", case, time, "s", size / 10, at=size))
        rows.append(row("scaling", case, "peak memory", "GB", 0.5, at=size))
        if device == "cuda":
            rows.append(row("scaling", case, "share of the memory bandwidth", "%", 50.0, at=size))
    rows += [
        row("scaling", case, name, "", 1.0)
        for name in ("exponent", "exponent between the two largest")
    ]
    return {
        "benchmark": "scaling",
        "device": device,
        "date": "",
        "note": "",
        "machine": {},
        "results": rows,
    }


def test_growth_tells_both_devices_apart_and_what_share_is_used():
    results, entries = benchmark("results"), [entry("cpu", "processor time"), entry("cuda", "time")]
    rows = results.tables(entries)["growth"]
    assert [
        (line["device"], line["largest, time"], line["largest, of the device"]) for line in rows
    ] == [
        ("cpu", "2 s", ""),
        ("cuda", "2 s", "50 % of the memory bandwidth"),
    ]
    assert results.tables(entries)["cuda"] == []
    figure = benchmark("drawing").figure(results.grown(entries))
    drawn = {trace.name: trace.line.dash for trace in figure.data}
    assert drawn == {"accumulation": "solid", "accumulation, GPU": "dash"}
    assert [list(trace.y) for trace in figure.data] == [[1, 2]] * 2


def test_tables_are_written_where_the_libraries_of_the_book_are_missing(tmp_path):
    """Plotly and Sphinx are no part of a machine that only measures."""
    code = """
import json, sys
from pathlib import Path
for name in ("plotly", "matplotlib", "statsmodels", "great_tables", "itables"):
    sys.modules[name] = None  # an import of it fails
from speed import results
folder = Path(sys.argv[1])
results.FIGURES, results.README, results.PAGE = folder / "figures.json", folder / "README.md", folder
results.FIGURES.write_text(json.dumps([json.loads(sys.argv[2])]))
results.README.write_text("Above." + results.MARKER + "old")
results.load.__defaults__ = (results.FIGURES,)
results.write()
"""
    recorded = entry("cuda", "time")
    recorded["results"] = benchmark("timing").as_dicts(recorded["results"])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), json.dumps(recorded)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the figure waits for python -m speed --tables where there is plotly" in done.stderr
    assert (tmp_path / "README.md").read_text().startswith("Above.")
    assert "| cuda | accumulation by tokens" in (tmp_path / "README.md").read_text()
    assert "50 % of the memory bandwidth" in (tmp_path / "speed-growth.csv").read_text()
    assert not (tmp_path / "speed-growth.html").exists()


def test_todays_sizes_need_torch_and_transformers_alone(tmp_path):
    """No extra of this package is on a machine that only measures."""
    code = """
import sys
for name in ("datasets", "pandas", "pyarrow", "pydantic", "plotly", "sklearn"):
    sys.modules[name] = None
from speed.__main__ import main
main(["large", "--tiny", "--repeats", "2", "--output", sys.argv[1]])
"""
    output = tmp_path / "gpu.json"
    subprocess.run(
        [sys.executable, "-c", code, str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    written = json.loads(output.read_text())
    assert written["failed"] == {}
    quantities = {row["quantity"] for row in written["results"]}
    assert {"measurement / bare forward", "all metrics of means and rows"} <= quantities


# On a GPU alone


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks whether the host waits for a GPU")
def test_updates_do_not_wait_for_the_gpu():
    features, labels = benchmark("accumulation").random_batch(500, 40, 8, device="cuda")
    statistics = ClassStatistics(40, 8, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        statistics.update(features, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(
        statistics.sums.cpu(), ClassStatistics(40, 8).update(features.cpu(), labels.cpu()).sums
    )
