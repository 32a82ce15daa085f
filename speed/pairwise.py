"""All pairwise metrics of many classes: seconds, memory, and a plain formulation with broadcast
differences.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from torch import Tensor

from fairnc_utils import collapse
from speed.timing import Row, Settings, clock, median, paired, peak_memory

DIM = 384
# classes that the plain formulation takes at once; 1 and the fastest are reported
PATCHES = (1, 2, 4, 8, 16)


def run(settings: Settings) -> list[Row]:
    """Plain over ours at K = 5,000; ours alone at K = 30,000 in a process of its own, whose peak
    memory is reported.
    """
    size, large, dim = (60, 300, 16) if settings.tiny else (5000, 30_000, DIM)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        seconds, processor, memory = process.submit(
            _alone, large, dim, torch.get_num_threads()
        ).result()
    case = f"K = {large:,}, D = {dim}"
    return [
        *_compare(settings, size, dim),
        Row("pairwise", case, "all metrics of means and rows", "s", seconds),
        Row("pairwise", case, "the same, summed over cores", "s", processor),
        Row("pairwise", case, "peak memory of the process", "GB", memory),
        Row(
            "pairwise",
            "K = 400",
            "largest relative difference from the plain formulation",
            "",
            difference(40, 16) if settings.tiny else difference(400, dim),
        ),
    ]


def _compare(settings: Settings, size: int, dim: int) -> list[Row]:
    statistics, weight = random_classes(size, dim)
    sample = 1 if settings.tiny else 4

    def plain(patch: int):
        # A few patches spread evenly over the classes stand for all.
        starts = np.linspace(0, size - patch, sample).astype(int)
        return lambda repeat: [
            plain_patch(*all_of, slice(i, i + patch)) for all_of in points for i in starts
        ]

    points = _points(statistics, weight)
    contenders = {patch: plain(patch) for patch in PATCHES}
    times = paired(
        {**contenders, "ours": lambda repeat: collapse.measure(statistics, weight)},
        repeats=settings.repeats,
        seconds=settings.seconds,
    )
    scaled = {patch: times[patch] * size / (patch * sample) for patch in PATCHES}
    best = min(PATCHES, key=lambda patch: np.median(scaled[patch]))
    case = f"K = {size:,}, D = {dim}"
    return [
        median(
            "pairwise", case, "plain, one class at a time / ours", "×", scaled[1] / times["ours"]
        ),
        median(
            "pairwise",
            case,
            f"plain, best patch ({best}) / ours",
            "×",
            scaled[best] / times["ours"],
        ),
        median("pairwise", case, "all metrics of means and rows", "s", times["ours"]),
    ]


def plain_patch(points: Tensor, unit: Tensor, spread: Tensor, patch: slice) -> dict[str, Tensor]:
    """CDNV, cosine and log kernel of a patch of classes with itself and all later ones, by
    broadcast differences (P, ≤K, D).
    """
    later = slice(patch.start, None)
    distance = (points[patch, None] - points[later]).square().sum(2)
    return {
        "nc1": (spread[patch, None] + spread[later]) / (2 * distance),
        "nc2_equiangular": (unit[patch, None] * unit[later]).sum(2),
        "gnc2": -(unit[patch, None] - unit[later]).square().sum(2).sqrt().log(),
    }


def difference(size: int, dim: int) -> float:
    """Largest relative difference of the package's pairwise metrics from the plain formulation over
    all pairs.
    """
    statistics, weight = random_classes(size, dim)
    measured, pairs, worst = (
        collapse.measure(statistics, weight),
        torch.ones(size, size).triu(1).bool(),
        0.0,
    )
    for mark, points in zip(("", "w"), _points(statistics, weight), strict=True):
        kernels = {name: x[pairs] for name, x in plain_patch(*points, slice(0, size)).items()}
        for name, ours, plain in (
            ("nc1", measured.metrics()[f"nc1{mark}"], kernels["nc1"].mean()),
            (
                "equiangular",
                measured.metrics()[f"nc2{mark}_equiangular"],
                kernels["nc2_equiangular"].std(),
            ),
            (
                "simplex",
                measured.metrics()[f"nc2{mark}_simplex"],
                (kernels["nc2_equiangular"] + 1 / (size - 1)).abs().mean(),
            ),
            ("log mean", measured.metrics()[f"gnc2{mark}_mean"], kernels["gnc2"].mean()),
            ("log sd", measured.metrics()[f"gnc2{mark}_sd"], kernels["gnc2"].std()),
        ):
            assert torch.isfinite(plain), name
            worst = max(worst, float(abs(ours / plain - 1)))
    return worst


def random_classes(
    size: int, dim: int, *, device: str = "cpu"
) -> tuple[collapse.ClassStatistics, Tensor]:
    """Ten noisy samples of each of K random class means, and random classifier rows."""
    draw = partial(
        torch.randn, size, dim, generator=torch.Generator(device).manual_seed(0), device=device
    )
    centres, statistics = draw(), collapse.ClassStatistics(size, dim, device=device)
    for _ in range(10):
        statistics.update(centres + draw(), torch.arange(size, device=device))
    return statistics, draw()


def _points(
    statistics: collapse.ClassStatistics, weight: Tensor
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Means and rows in float64, each with its centred unit vectors and the variances of the
    classes.
    """
    every, sets = torch.arange(len(weight)), []
    for points in (statistics.means(every), weight.double()):
        centred = points - points.mean(0)
        sets.append(
            (points, centred / centred.norm(dim=1, keepdim=True), statistics.variances(every))
        )
    return sets


def _alone(size: int, dim: int, threads: int) -> tuple[float, float, float]:
    """Seconds and processor seconds of one measurement, after a small one that warms up, and peak
    memory in GB.
    """
    torch.set_num_threads(threads)
    collapse.measure(*random_classes(100, dim))
    statistics, weight = random_classes(size, dim)
    before = time.process_time()
    seconds = clock(lambda: collapse.measure(statistics, weight))
    return seconds, time.process_time() - before, peak_memory()
