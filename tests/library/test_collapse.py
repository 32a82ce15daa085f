"""Collapse metrics: exact on hand-built geometry, invariant where they must be, equal to the plain
loops elsewhere.
"""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from helpers import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnc_utils import _pairwise as pairwise
from fairnc_utils._pairwise import Groups
from fairnc_utils.collapse import (
    ClassStatistics,
    measure,
    nearest_class_agreement,
    simplex_reference,
)
from fairnc_utils.errors import FairNCError

#: The package's name of each metric of ``reference.collapse``.
NAMES = {
    "nc1": "nc1",
    "nc1w": "nc1w",
    "equinorm": "nc2_equinorm",
    "equiangular": "nc2_equiangular",
    "angle": "nc2_simplex",
    "gnc2_mean": "gnc2_mean",
    "gnc2_sd": "gnc2_sd",
    "equinorm_w": "nc2w_equinorm",
    "equiangular_w": "nc2w_equiangular",
    "angle_w": "nc2w_simplex",
    "gnc2w_mean": "gnc2w_mean",
    "gnc2w_sd": "gnc2w_sd",
    "nc3": "nc3",
    "nc3_ceiling": "nc3_ceiling",
    "nc3c": "nc3c",
    "unc3": "unc3",
    "duality_sum": "duality_sum",
}


def samples(classes, dim, *, each=12, noise=1.0, seed=0, dtype=torch.float64):
    """Features, labels and classifier rows without any structure, from one seed."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=generator, dtype=dtype)
    labels = torch.arange(classes).repeat_interleave(each)[
        torch.randperm(classes * each, generator=generator)
    ]
    features = centres[labels] + noise * torch.randn(
        len(labels), dim, generator=generator, dtype=dtype
    )
    return features + 0.7, labels, torch.randn(classes, dim, generator=generator, dtype=dtype) + 0.3


def statistics(features, labels, classes):
    return ClassStatistics(classes, features.shape[1]).update(features, labels)


def placed(points, *, spread=0.0, each=10):
    """Statistics whose class means are ``points`` (K, D) exactly and whose variances are
    ``spread``.
    """
    points = torch.as_tensor(points)
    step = torch.zeros_like(points)
    step[:, 0] = math.sqrt(spread)
    features = torch.cat([points + step, points - step]).repeat(each // 2, 1)
    return statistics(features, torch.arange(len(points)).repeat(each), len(points))


# ---------------------------------------------------------------------------- parity with the loops

SHAPES = [(4, 8), (9, 8), (10, 8), (40, 8), (23, 64)]


@pytest.mark.parametrize("variant", ["corrected", "as_released"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_measure_equals_the_loops(monkeypatch, shape, variant):
    monkeypatch.setitem(pairwise.TILES, "cpu", 7)
    features, labels, rows = samples(*shape)
    measured = measure(statistics(features, labels, shape[0]), rows, variant=variant)
    _, means, spread = reference.class_statistics(
        features.numpy(), labels.tolist(), range(shape[0])
    )
    expected = reference.collapse(means, spread, rows.numpy())
    if variant == "as_released":
        expected |= reference.collapse_as_released(means, spread, rows.numpy())
    for name, value in expected.items():
        assert float(getattr(measured, NAMES[name])) == pytest.approx(value, rel=1e-9, abs=1e-12), (
            name
        )
    assert measured.cosines.tolist() == pytest.approx(
        reference.duality(means, sum(means) / len(means), rows.numpy()), rel=1e-12
    )


def test_the_variants_differ_where_the_definitions_do():
    features, labels, rows = samples(9, 8)
    stats = statistics(features, labels, 9)
    corrected, released = (
        measure(stats, rows, variant=v).metrics() for v in ("corrected", "as_released")
    )
    different = {name for name in corrected if abs(corrected[name] - released[name]) > 1e-9}
    assert different == {
        "nc1",
        "nc1w",
        "nc2_equinorm",
        "nc2w_equinorm",
        "gnc2_mean",
        "gnc2_sd",
        "gnc2w_mean",
        "gnc2w_sd",
    }


@pytest.mark.parametrize(
    ("classes", "groups"), [(12, 50), (23, 5)], ids=["delete one", "delete a group"]
)
def test_intervals_equal_leaving_a_group_out(classes, groups):
    """Brute force: every metric again without a group of classes; m_G, the mean of W and 1/(K − 1)
    stay.
    """
    features, labels, rows = samples(classes, 8)
    measured = measure(statistics(features, labels, classes), rows, groups=groups)
    _, M, v = reference.class_statistics(features.numpy(), labels.tolist(), range(classes))
    W = rows.numpy()
    m_G, w_G = sum(M) / classes, sum(W) / classes
    split = Groups(classes, groups, features)
    member = split.member[split.order.argsort()].numpy()

    def without(keep):
        m, w = M[keep], W[keep]
        gnc2, gnc2w = reference.log_kernel(m, m_G), reference.log_kernel(w, w_G)
        return {
            "nc1": reference.cdnv(m, v[keep]),
            "nc1w": reference.cdnv(w, v[keep]),
            "nc2_equinorm": reference.equinorm(m, m_G),
            "nc2_equiangular": reference.equiangular(m, m_G),
            "nc2_simplex": reference.mean(
                abs(c + 1 / (classes - 1)) for c in reference.cosines(m, m_G)
            ),
            "gnc2_mean": gnc2[0],
            "gnc2_sd": gnc2[1],
            "nc2w_equinorm": reference.equinorm(w, w_G),
            "gnc2w_sd": gnc2w[1],
            "nc3": reference.mean(reference.duality(m, m_G, w)),
            "nc3_ceiling": reference.mean(reference.duality(w, w_G, w)),
            "nc3c": reference.mean(reference.duality(m, m_G, w - w_G)),
            "unc3": reference.sd(reference.duality(m, m_G, w)),
        }

    replicates = [without(np.flatnonzero(member[:, g] == 0)) for g in range(member.shape[1])]
    count = len(replicates)
    reach = scipy.stats.t.ppf(0.975, count - 1) * math.sqrt((count - 1) / count)
    for name in replicates[0]:
        values = np.array([r[name] for r in replicates])
        half = reach * math.sqrt(((values - values.mean()) ** 2).sum())
        estimate = measured.estimates[name]
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx(
            (estimate.value - half, estimate.value + half)
        ), name
    assert set(measured.estimates) == set(measured.metrics())
    for name, estimate in measured.estimates.items():
        assert estimate.value == float(measured.metrics()[name])
        assert math.isfinite(estimate.ci_low) and math.isfinite(estimate.ci_high), name  # noqa: PT018
        assert estimate.n == classes


# ----------------------------------------------------------------------------------- exact geometry


@pytest.mark.parametrize(("classes", "dim"), [(4, 3), (5, 8), (9, 8), (20, 30)])
def test_simplex_is_complete_collapse(classes, dim):
    """Means on a simplex ETF, rows parallel to them, no variance: every metric at its ideal."""
    means = reference.simplex(classes, dim, scale=3.0)
    measured = measure(placed(means + 5.0), torch.from_numpy(0.5 * means))
    near = {"abs": 2e-7}  # the square root of rounding
    for name in (
        "nc1",
        "nc1w",
        "nc2_equinorm",
        "nc2_equiangular",
        "nc2_simplex",
        "gnc2_sd",
        "unc3",
        "nc2w_equinorm",
        "nc2w_equiangular",
        "nc2w_simplex",
        "gnc2w_sd",
    ):
        assert float(getattr(measured, name)) == pytest.approx(0, **near), name
    for name in ("nc3", "nc3c", "nc3_ceiling"):
        assert float(getattr(measured, name)) == pytest.approx(1, abs=1e-12), name
    ideal = -0.5 * math.log(2 * classes / (classes - 1))
    assert float(measured.gnc2_mean) == pytest.approx(ideal, abs=1e-12)
    assert float(measured.gnc2w_mean) == pytest.approx(ideal, abs=1e-12)
    assert simplex_reference(classes, dim) == {
        "equiangular": 0.0,
        "gnc2_mean": pytest.approx(ideal),
        "gnc2_sd": 0.0,
    }


def test_cdnv_of_known_variance_and_distance():
    """Two classes, variance 2, distance 3: (2 + 2) / (2 · 9); the released code divides by 81."""
    points = torch.tensor([[0.0, 0.0], [0.0, 3.0], [3.0, 0.0]], dtype=torch.float64)
    expected = (2 * 4 / 18 + 4 / 36) / 3  # two sides of 3 and one of 3√2
    assert float(measure(placed(points, spread=2.0), points + 1).nc1) == pytest.approx(expected)
    released = (2 * 4 / 162 + 4 / 648) / 3
    assert float(
        measure(placed(points, spread=2.0), points + 1, variant="as_released").nc1
    ) == pytest.approx(released)


def test_shared_offset_of_the_rows_lowers_nc3_but_not_nc3c():
    """Rows that share a direction cannot align with centred means: the ceiling says so, NC3c looks
    past it.
    """
    means = reference.simplex(6, 10)
    rows = torch.from_numpy(means + np.eye(10)[0])
    measured = measure(placed(means), rows)
    assert float(measured.nc3) < 0.95
    assert float(measured.nc3) == pytest.approx(float(measured.nc3_ceiling), abs=1e-12)
    assert float(measured.nc3c) == pytest.approx(1, abs=1e-12)
    assert float(measured.unc3) > 0.01


def test_opposite_rows_are_anti_aligned():
    means = reference.simplex(5, 6)
    measured = measure(placed(means), torch.from_numpy(-means))
    assert float(measured.nc3) == pytest.approx(-1)
    assert float(measured.unc3) == pytest.approx(0, abs=1e-7)


def test_noise_raises_every_error():
    """Positive control: the further from the simplex, the worse each metric."""
    means, generator = reference.simplex(8, 12), torch.Generator().manual_seed(0)
    moved = torch.randn(8, 12, generator=generator, dtype=torch.float64)
    spread = [
        measure(
            placed(means + size * moved.numpy(), spread=size), torch.from_numpy(means)
        ).metrics()
        for size in (0.0, 0.05, 0.2)
    ]
    for name in (
        "nc1",
        "nc1w",
        "nc2_equinorm",
        "nc2_equiangular",
        "nc2_simplex",
        "gnc2_sd",
        "unc3",
    ):
        assert spread[0][name] + 1e-3 < spread[1][name] < spread[2][name], name
    assert spread[0]["nc3c"] > spread[1]["nc3c"] > spread[2]["nc3c"]


# -------------------------------------------------------------------------------------- invariances


def values(features, labels, rows, **options):
    measured = measure(statistics(features, labels, len(rows)), rows, **options)
    return torch.stack(list(measured.metrics().values()))


def test_rotation_changes_nothing():
    """The released sum of coordinates alone depends on the axes."""
    features, labels, rows = samples(9, 8)
    turn, _ = torch.linalg.qr(
        torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    )
    base = measure(statistics(features, labels, 9), rows).metrics()
    turned = measure(statistics(features @ turn, labels, 9), rows @ turn).metrics()
    different = {name for name in base if abs(base[name] - turned[name]) > 1e-9}
    assert different == {"duality_sum"}


def test_common_scale_and_shift_of_the_features_change_nothing():
    features, labels, rows = samples(9, 8)
    base = measure(statistics(features, labels, 9), rows)
    moved = measure(statistics(4 * features + 2, labels, 9), 4 * rows)
    for name, value in base.metrics().items():
        torch.testing.assert_close(moved.metrics()[name], value, msg=name)


def test_class_order_changes_nothing():
    features, labels, rows = samples(30, 8)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    back = torch.argsort(order)
    torch.testing.assert_close(
        values(features, back[labels], rows[order]), values(features, labels, rows)
    )
    stats = statistics(features, labels, 30)
    a, b = (measure(stats, rows, classes=c).metrics() for c in (range(30), order))
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=name)


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(0, 120), max_size=6), seed=st.integers(0, 99))
def test_any_batching_order_or_merging_gives_the_same_statistics(cuts, seed):
    features, labels, _ = samples(10, 6, seed=seed, dtype=torch.float32)
    whole = ClassStatistics(10, 6).update(features, labels)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(seed))
    edges = [0, *sorted(cuts), 120]
    streamed, merged = ClassStatistics(10, 6), ClassStatistics(10, 6)
    for a, b in itertools.pairwise(edges):
        part = order[a:b]
        streamed.update(features[part], labels[part])
        merged.merge(ClassStatistics(10, 6).update(features[part], labels[part]))
    for other in (streamed, merged):
        assert torch.equal(other.counts, whole.counts)
        torch.testing.assert_close(other.sums, whole.sums, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(other.square_sums, whole.square_sums, rtol=1e-13, atol=1e-13)


def test_integer_features_add_up_to_the_bit():
    """Where no sum rounds, streaming, merging and the whole are the same bits."""
    features = torch.randint(-50, 50, (90, 5), generator=torch.Generator().manual_seed(0)).float()
    labels = torch.arange(90) % 9
    whole = statistics(features, labels, 9)
    parts = [statistics(features[i::4], labels[i::4], 9) for i in range(4)]
    merged = parts[3].merge(parts[1]).merge(parts[0]).merge(parts[2])
    assert all(
        torch.equal(getattr(whole, name), getattr(merged, name))
        for name in ("counts", "sums", "square_sums")
    )


def test_small_variance_far_from_the_origin_survives():
    """Sums of squares in float64: a variance of 1e-4 around a mean of norm 100 keeps its digits."""
    points = torch.full((3, 4), 50.0, dtype=torch.float64) + torch.eye(3, 4, dtype=torch.float64)
    spread = placed(points, spread=1e-4).variances(torch.arange(3))
    assert spread.tolist() == pytest.approx([1e-4] * 3, rel=1e-6)


# ------------------------------------------------------------------------ unseen classes and errors


def test_rare_classes_are_unseen_and_never_nan():
    features, labels, rows = samples(8, 6, each=12)
    keep = torch.ones(len(labels), dtype=torch.bool)
    keep[(labels == 2).nonzero()[:, 0][9:]] = False  # nine samples left
    keep[labels == 5] = False  # none left
    stats = statistics(features[keep], labels[keep], 8)
    measured = measure(stats, rows)
    assert measured.classes.tolist() == [0, 1, 3, 4, 6, 7]
    assert measured.unseen.tolist() == [2, 5]
    assert measured.min_count == 10
    assert all(torch.isfinite(value) for value in measured.metrics().values())
    alone = values(features[keep], labels[keep], rows, classes=[0, 1, 3, 4, 6, 7])
    torch.testing.assert_close(torch.stack(list(measured.metrics().values())), alone)
    assert measure(stats, rows, min_count=9).unseen.tolist() == [5]
    assert measure(stats, rows, classes=[7, 5, 0, 3]).classes.tolist() == [7, 0, 3]
    assert measure(stats, rows, classes=[7, 5, 0, 3]).counts.tolist() == [12, 12, 12]


def test_measured_classes_alone_decide_the_mean():
    """m_G is the mean of the chosen classes: other classes must not move it."""
    features, labels, rows = samples(8, 6)
    far = torch.cat([features, torch.full((20, 6), 1e3, dtype=torch.float64)])
    stats = statistics(far, torch.cat([labels, torch.full((20,), 8)]), 9)
    measured = measure(stats, torch.cat([rows, rows[:1]]), classes=range(8))
    torch.testing.assert_close(
        torch.stack(list(measured.metrics().values())), values(features, labels, rows)
    )


def test_fewer_than_two_classes_is_an_error():
    features, labels, rows = samples(3, 4)
    stats = statistics(features, labels, 3)
    with pytest.raises(FairNCError, match="only 1 of 1 classes"):
        measure(stats, rows, classes=[0])
    with pytest.raises(FairNCError, match=r"only 0 of 3 classes have 13 samples.*lower min_count"):
        measure(stats, rows, min_count=13)
    with pytest.raises(
        FairNCError, match="unknown variant 'other': choose corrected or as_released"
    ):
        measure(stats, rows, variant="other")


def test_two_classes_have_a_value_for_each_metric_that_one_pair_defines():
    measured = measure(
        placed([[0.0, 0.0], [0.0, 2.0]], spread=1.0), torch.eye(2, dtype=torch.float64)
    )
    assert float(measured.nc1) == pytest.approx(2 / 8)
    assert float(measured.gnc2_mean) == pytest.approx(math.log(1 / 2))
    assert float(measured.nc2_simplex) == pytest.approx(0, abs=1e-12)


def test_an_interval_that_is_undefined_is_nan_and_never_of_no_width():
    """Without one of three classes a single pair is left, which has no standard deviation."""
    features, labels, rows = samples(3, 4)
    measured = measure(statistics(features, labels, 3), rows)
    for name in ("nc2_equiangular", "nc2w_equiangular", "gnc2_sd", "gnc2w_sd"):
        assert math.isfinite(measured.estimates[name].value), name
        assert math.isnan(measured.estimates[name].ci_low), name
    for name in ("nc1", "nc2_equinorm", "gnc2_mean", "nc3", "unc3"):
        assert measured.estimates[name].ci_low < measured.estimates[name].value, name


@pytest.mark.parametrize("shape", [(5,), (4, 3), (5, 2), (5, 3, 1)], ids=str)
def test_features_that_do_not_fit_are_an_error(shape):
    with pytest.raises(FairNCError, match="do not fit 5 labels and dimension 3"):
        ClassStatistics(4, 3).update(torch.zeros(shape), torch.zeros(5, dtype=torch.int64))


@pytest.mark.parametrize("stray", [-1, 4])
def test_labels_that_name_no_class_are_an_error_at_once_or_when_they_are_read(stray):
    """At once where the labels lie on the CPU; on a GPU, where a look at them would wait for it,
    when classes are asked for.
    """
    labels, rows = torch.tensor([0, stray, 3] * 12), torch.eye(4, dtype=torch.float64)
    with pytest.raises(
        FairNCError,
        match=f"labels run from {min(0, stray)} to {max(3, stray)}; there are 4 classes",
    ):
        ClassStatistics(4, 4).update(rows[labels.clamp(0, 3)], labels)
    late, other = ClassStatistics(4, 4), ClassStatistics(4, 4)
    assert late._labels(labels, at_once=False).tolist() == [0, min(3, max(0, stray)), 3] * 12
    for statistics in (late, other.merge(late)):
        with pytest.raises(FairNCError, match="12 labels name no class: they must be in 0 to 3"):
            measure(statistics, rows)


def test_statistics_of_other_classes_cannot_be_merged():
    with pytest.raises(
        FairNCError, match=r"cannot merge statistics of shape \(4, 2\) into \(4, 3\)"
    ):
        ClassStatistics(4, 3).merge(ClassStatistics(4, 2))


# ------------------------------------------------------------------------------- NC4 and references


def test_agreement_equals_the_loop():
    features, labels, rows = samples(9, 8, noise=2.0)
    stats = statistics(features, labels, 9)
    held, held_labels, _ = samples(9, 8, noise=2.0, seed=7)
    bias = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    _, means, _ = reference.class_statistics(features.numpy(), labels.tolist(), range(9))
    batches = [(held[:50], held_labels[:50]), (held[50:], held_labels[50:])]
    for b in (None, bias):
        expected = reference.nearest_class_agreement(
            held.numpy(), means, rows.numpy(), None if b is None else b.numpy()
        )
        assert 0 < expected < 1
        assert float(nearest_class_agreement(batches, stats, rows, bias=b)) == expected


def test_agreement_is_complete_at_collapse_and_the_bias_can_break_it():
    means = reference.simplex(6, 8)
    stats, rows = placed(means), torch.from_numpy(means)
    held = torch.from_numpy(means.repeat(5, axis=0)) + 0.01
    batches = [(held, torch.arange(6).repeat_interleave(5))]
    assert float(nearest_class_agreement(batches, stats, rows)) == 1
    bias = torch.tensor([100.0, 0, 0, 0, 0, 0], dtype=torch.float64)
    assert float(nearest_class_agreement(batches, stats, rows, bias=bias)) == pytest.approx(1 / 6)


def test_agreement_looks_at_the_listed_classes_alone():
    means = np.vstack([reference.simplex(6, 8), 1e-3 * np.ones((1, 8))])
    stats = placed(means)
    rows = torch.from_numpy(means)
    held = torch.from_numpy(means)
    labels = torch.arange(7)
    rows[6] = 100 * rows[:6].sum(0) + 50  # an unlisted row that would win every time
    assert float(nearest_class_agreement([(held, labels)], stats, rows, classes=range(6))) == 1
    with pytest.raises(FairNCError, match="no sample of the measured classes"):
        nearest_class_agreement([(held[6:], labels[6:])], stats, rows, classes=range(6))


def test_reference_of_the_full_vocabulary():
    """K = 9,442 classes in D = 384 dimensions: cosine sd ≥ .050, uniform points .051, log-kernel sd
    .026.
    """
    reference = simplex_reference(9_442, 384)
    assert round(reference["welch_bound"], 3) == 0.050
    assert round(reference["equiangular"], 3) == 0.051
    assert round(reference["gnc2_sd"], 3) == 0.026
    assert reference["gnc2_mean"] == pytest.approx(-0.5 * math.log(2), abs=1e-3)


def test_reference_changes_at_one_class_more_than_fits():
    assert simplex_reference(9, 8)["equiangular"] == 0
    beyond = simplex_reference(10, 8)
    assert 0 < beyond["welch_bound"] <= beyond["equiangular"]


def test_no_arrangement_beats_the_welch_bound():
    """sd of cosines about their mean can be lower; their root mean square cannot."""
    features, labels, _ = samples(40, 8)
    _, M, _ = reference.class_statistics(features.numpy(), labels.tolist(), range(40))
    cosines = np.array(reference.cosines(M, sum(M) / 40))
    assert math.sqrt((cosines**2).mean()) >= simplex_reference(40, 8)["welch_bound"]
