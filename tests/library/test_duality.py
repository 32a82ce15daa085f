"""What duality leaves free: turned rows keep NC3 and UNC3 and move the slope between the ends of
its range.
"""

from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch

from fairnc_utils import collapse, measurement, runs
from fairnc_utils.benchmarks import occupations
from fairnc_utils.benchmarks.occupations import OCCUPATION_SLOPE
from fairnc_utils.duality import slope_range, turned
from fairnc_utils.errors import FairNCError
from fairnc_utils.models import single_token_id
from fairnc_utils.swap import PRONOUNS

ANGLES = np.linspace(0, pi, 7)


@pytest.fixture(scope="module")
def slots(lm):
    return occupations.slots(lm)


@pytest.fixture(scope="module")
def gender(lm):
    """Class statistics of gender words on some texts of GAP, their ids, and the centred means of
    she and he.
    """
    statistics = measurement.read(lm, texts=200, keep=False).statistics
    ids = measurement.words.load("gender", lm.tokenizer).token_ids
    seen = [i for i in ids if statistics.counts[i] >= 10]
    pronouns = [single_token_id(lm.tokenizer, word) for word in PRONOUNS]
    means = statistics.means(torch.tensor(seen))
    centred = statistics.means(torch.tensor(pronouns)) - means.mean(0)
    return statistics, seen, pronouns, centred.float()


def edited(lm, pronouns, rows):
    """The model with other classifier rows of she and he; what it reads stays."""
    weight = lm.weight.detach().clone()
    weight[pronouns] = rows
    return replace(lm, weight=weight)


def test_slots_give_the_slope_and_the_lean_of_the_benchmark(lm, slots):
    estimates = OCCUPATION_SLOPE.estimates(OCCUPATION_SLOPE.run(lm, split="bls"))
    she, he = (single_token_id(lm.tokenizer, word) for word in PRONOUNS)
    weight, bias = lm.weight.detach(), lm.bias.detach()
    difference, shift = weight[she] - weight[he], bias[she] - bias[he]
    assert float(difference @ slots.kappa) == pytest.approx(estimates["slope"].value, abs=1e-4)
    assert float(difference @ slots.parity + shift) == pytest.approx(
        estimates["lean"].value, abs=1e-4
    )


def test_turned_rows_keep_nc3_and_unc3_and_move_the_measured_slope(lm, slots, gender):
    statistics, seen, pronouns, centred = gender
    rows = lm.weight[pronouns].detach()
    before = collapse.measure(statistics, lm.weight.detach(), classes=seen).metrics()
    slopes = []
    for angle in ANGLES:
        other = edited(lm, pronouns, turned(rows, centred, slots.kappa, angle))
        after = collapse.measure(statistics, other.weight, classes=seen).metrics()
        for name in ("nc3", "unc3"):
            assert float(after[name]) == pytest.approx(float(before[name]), abs=1e-6)
        scored = OCCUPATION_SLOPE.run(other, split="bls")
        slopes.append(OCCUPATION_SLOPE.estimates(scored)["slope"].value)
    cosines = torch.cosine_similarity(rows, centred)
    low, high = slope_range(centred, slots.kappa, cosines, rows.norm(dim=-1))
    assert slopes[0] == pytest.approx(high, abs=1e-3)
    assert slopes[-1] == pytest.approx(low, abs=1e-3)
    assert np.allclose(slopes, (high + low) / 2 + (high - low) / 2 * np.cos(ANGLES), atol=1e-3)
    assert low < 0 < high


def test_no_row_with_these_cosines_and_norms_leaves_the_range():
    generator = torch.Generator().manual_seed(0)
    centred, kappa = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((2, 5), (5,))
    )
    cosines, norms = torch.tensor([0.3, 0.8]).double(), torch.tensor([1.5, 0.7]).double()
    low, high = slope_range(centred, kappa, cosines, norms)
    units = torch.nn.functional.normalize(centred, dim=-1)
    noise = torch.randn((20_000, 2, 5), generator=generator, dtype=torch.float64)
    noise -= (noise * units).sum(-1, keepdim=True) * units
    noise /= noise.norm(dim=-1, keepdim=True)
    rows = norms[:, None] * (cosines[:, None] * units + (1 - cosines**2).sqrt()[:, None] * noise)
    slopes = (rows[:, 0] - rows[:, 1]) @ kappa
    assert low <= slopes.min()
    assert slopes.max() <= high
    # and the range is no wider than it has to be
    assert slopes.max() - slopes.min() > 0.8 * (high - low)


def test_at_full_duality_one_slope_is_left_and_it_need_not_be_zero():
    centred = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    kappa = torch.tensor([1.0, 1.0])
    low, high = slope_range(centred, kappa, torch.ones(2), torch.ones(2))
    assert low == high == pytest.approx(2.0)


def test_a_row_is_itself_at_its_own_angle():
    generator = torch.Generator().manual_seed(1)
    rows, centred = (torch.randn((2, 6), generator=generator, dtype=torch.float64) for _ in "ab")
    kappa = torch.randn(6, generator=generator, dtype=torch.float64)
    angles = np.linspace(0, pi, 2001)
    for row in range(2):
        nearest = min(
            float((turned(rows, centred, kappa, angle)[row] - rows[row]).norm()) for angle in angles
        )
        assert nearest < 2e-3 * float(rows[row].norm())


def test_the_run_turns_rows_and_keeps_what_nc3_sees():
    run = runs.turning(model="models/minilm-mlm", device="cpu", texts=100, angles=3, min_count=5)
    table = run.results.pivot(index="variant", columns="metric", values="value")
    ways = table.loc[[name for name in table.index if not name.startswith("cosine")]]
    assert set(ways.index) == {"model", "angle 0", "angle 90", "angle 180"}
    assert np.ptp(ways["nc3"]) < 1e-6
    assert np.ptp(ways["unc3"]) < 1e-6
    assert ways["slope"].idxmax() == "angle 0"
    assert ways["slope"].idxmin() == "angle 180"
    ends = table.loc["cosine 1"]
    assert ends["slope_least"] == pytest.approx(ends["slope_greatest"], abs=1e-4)
    assert len(run.items) == 4 * 60
    assert run.items["score_a"].notna().all()


def test_the_run_says_what_it_needs():
    with pytest.raises(FairNCError, match="she and he need 10000 samples"):
        runs.turning(model="models/minilm-mlm", device="cpu", texts=20, min_count=10_000)
