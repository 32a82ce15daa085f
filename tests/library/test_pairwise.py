"""Moments over pairs in tiles: every pair once, and every replicate as if its group had never been
there.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from fairnc_utils import _pairwise as pairwise
from fairnc_utils._pairwise import Groups, tiles

SIZES = [2, 6, 7, 8, 23]


@given(size=st.integers(1, 60), tile=st.integers(1, 70))
def test_tiles_cover_the_upper_triangle_once(size, tile):
    seen = np.zeros((size, size), int)
    for a, b in tiles(size, tile):
        assert a.stop - a.start <= tile
        assert b.stop - b.start <= tile
        seen[a, b] += 1
    upper = np.triu_indices(size)
    assert (seen[upper] == 1).all()


def brute(values, member, drop):
    """Mean and sd over the pairs of which neither class is in group ``drop`` (−1: all pairs)."""
    keep = [i for i in range(len(values)) if drop < 0 or not member[i, drop]]
    kept = np.array([values[i, j] for n, i in enumerate(keep) for j in keep[n + 1 :]])
    return kept.mean(), kept.std(ddof=1)


@pytest.mark.parametrize("groups", [3, 50])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("size", [8, 23])
def test_over_pairs_matches_leaving_a_group_out(monkeypatch, size, offset, groups):
    monkeypatch.setitem(pairwise.TILES, "cpu", 7)
    values = (
        torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        + offset
    )
    values = values.triu(1) + values.triu(1).mT  # a pair's value does not depend on its order
    split = Groups(size, groups, values)
    mean, sd = split.over_pairs(lambda a, b: {"x": values[a, b].clone()})["x"]
    expected = [brute(values.numpy(), split.member.numpy(), g) for g in range(-1, split.count)]
    np.testing.assert_allclose(mean, [m for m, _ in expected], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sd, [s for _, s in expected], rtol=1e-6 if offset else 1e-11)


@pytest.mark.parametrize("groups", [4, 50])
def test_over_classes_matches_leaving_a_group_out(groups):
    x = torch.randn(23, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 1e6
    split = Groups(23, groups, x)
    mean, sd = split.over_classes(x)
    kept = [x.numpy()[split.member[:, g].numpy() == 0] for g in range(split.count)]
    np.testing.assert_allclose(mean, [x.mean(), *(k.mean() for k in kept)], rtol=1e-14)
    np.testing.assert_allclose(sd, [x.std(), *(k.std(ddof=1) for k in kept)], rtol=1e-7)


@given(size=st.integers(2, 200), groups=st.integers(1, 60))
def test_groups_are_a_balanced_partition(size, groups):
    member = Groups(size, groups, torch.zeros(1, dtype=torch.float64)).member
    assert (member.sum(1) == 1).all()
    assert member.shape[1] == min(size, groups)
    assert member.sum(0).max() - member.sum(0).min() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_tile_size_changes_nothing(monkeypatch, size):
    points = torch.randn(size, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    split = Groups(size, 50, points)
    whole = split.over_pairs(lambda a, b: {"dot": points[a] @ points[b].mT})["dot"]
    monkeypatch.setitem(pairwise.TILES, "cpu", 7)
    tiled = split.over_pairs(lambda a, b: {"dot": points[a] @ points[b].mT})["dot"]
    torch.testing.assert_close(whole, tiled, rtol=1e-10, atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("seed", range(8))
def test_one_pair_has_no_standard_deviation(seed):
    """Three classes without one leave a pair: undefined, not 0 and not whatever rounding divided by
    zero gives.
    """
    values = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    mean, sd = Groups(3, 50, values).over_pairs(lambda a, b: {"x": values[a, b].clone()})["x"]
    assert sd[0].isfinite()
    assert sd[1:].isnan().all()
    assert sorted(mean[1:].tolist()) == pytest.approx(sorted(values[[0, 0, 1], [1, 2, 2]].tolist()))


GROWTH = """
import sys
from pathlib import Path
import torch
from fairnc_utils import _pairwise, collapse

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

def needed(size, dim):
    statistics = collapse.ClassStatistics(size, dim)
    statistics.sums.normal_()
    statistics.counts.fill_(10)
    statistics.square_sums.fill_(100 * dim)
    weight = torch.randn(size, dim, dtype=torch.bfloat16)
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = memory("VmRSS")
    collapse.measure(statistics, weight, variant=sys.argv[1], groups=5)
    return memory("VmHWM") - before

_pairwise.ROWS = 128
needed(500, 1024)
small, large = needed(1500, 1024), needed(3000, 1024)
print((large - small) / (1500 * 1024 * 8))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak")
@pytest.mark.parametrize(("variant", "matrices"), [("corrected", 2.25), ("as_released", 3.25)])
def test_measuring_holds_no_more_matrices_than_it_compares(variant, matrices):
    """Means and rows in float64, a moment the chosen rows as they are, and of the released kernels
    one sphere: never more matrices of all classes and dimensions, however many.
    """
    command = [sys.executable, "-c", GROWTH, variant]
    # a freed matrix goes back at once, as the C library does by itself with much larger ones
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert 1.9 < float(done.stdout) < matrices + 0.25
