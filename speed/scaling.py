"""How cost grows: accumulation and all pairwise metrics while tokens, classes or dimension grow,
one at a time.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import log2
from multiprocessing import get_context

import numpy as np
import torch
from scipy.stats import linregress, t

from fairnc_utils import collapse
from speed.accumulation import least_bytes, random_batch
from speed.device import clock_of, forget_peak, memory, peak
from speed.pairwise import random_classes
from speed.timing import Row, Settings, processor

# tokens an update at most: about one batch of a corpus, and on a GPU one that fills it
BATCH, LARGE = 2048, 2**18
# of one size: as many repeats as begin within the seconds; on a GPU within few
REPEATS, SECONDS, FEW_SECONDS = 5, 10.0, 2.0

SYMBOLS = {"tokens": "N", "classes": "K", "dimension": "D"}


@dataclass(frozen=True)
class Curve:
    """One work while one of its sizes grows. ``fixed`` holds the others: ``tokens``, ``classes``,
    ``dimension``.
    """

    work: str
    grows: str
    sizes: tuple[int, ...]
    fixed: dict[str, int]

    @property
    def case(self) -> str:
        """What the rows of the curve are called."""
        return f"{self.work} by {self.grows}, {', '.join(f'{SYMBOLS[name]} = {size:,}' for name, size in self.fixed.items())}"


def _doubled(first: int, last: int) -> tuple[int, ...]:
    return tuple(first * 2**i for i in range(round(log2(last / first)) + 1))


CURVES = (
    Curve("accumulation", "tokens", _doubled(2**13, 2**20), {"classes": 30_522, "dimension": 384}),
    Curve("accumulation", "classes", _doubled(2000, 128_000), {"tokens": 2**16, "dimension": 384}),
    Curve("accumulation", "dimension", _doubled(64, 4096), {"tokens": 2**15, "classes": 8000}),
    # Four times the one before it: a size between them would take a quarter of its minutes again.
    Curve("pairwise metrics", "classes", (*_doubled(2000, 32_000), 128_000), {"dimension": 384}),
    Curve("pairwise metrics", "dimension", _doubled(64, 4096), {"classes": 8000}),
)
TINY = (
    Curve("accumulation", "tokens", (256, 512, 1024), {"classes": 50, "dimension": 16}),
    Curve("pairwise metrics", "classes", (50, 100, 200), {"dimension": 16}),
)


@dataclass(frozen=True)
class Point:
    """One size of a curve: ``seconds`` of each repeat, peak ``memory`` in GB, and the ``least``
    bytes or FLOP that it needs.
    """

    size: int
    seconds: list[float]
    memory: float
    least: float

    @property
    def time(self) -> float:
        return float(np.median(self.seconds))


def run(settings: Settings) -> list[Row]:
    """Time and peak memory at each size, the exponents of time, and on a GPU the share of what it
    can do.

    On a CPU: processor seconds summed over cores, which programs beside this one change little.
    Each curve has a process of its own that goes from small to large, so the peak so far is that of
    the size at hand; it includes Python and torch. On a GPU: wall-clock seconds until the device is
    done, and the peak of its tensors.
    """
    rows = []
    for curve in TINY if settings.tiny else CURVES:
        if settings.device == "cpu":
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                points = process.submit(measured, curve, threads=torch.get_num_threads()).result()
        else:
            points = measured(curve, device=settings.device)
        rows += _rows(curve, points, settings.device)
    return rows


def _rows(curve: Curve, points: list[Point], device: str) -> list[Row]:
    time, (of, limit) = "processor time" if device == "cpu" else "time", _limit(curve, device)
    rows = []
    for point in points:
        row = partial(Row, "scaling", curve.case, repeats=len(point.seconds), at=point.size)
        rows += [row(time, "s", point.time), row("peak memory", "GB", point.memory)]
        if limit:
            rows.append(row(f"share of the {of}", "%", 100 * point.least / point.time / limit))
    sizes, times = [point.size for point in points], [point.time for point in points]
    value, low, high = exponent(sizes, times)
    rows.append(Row("scaling", curve.case, "exponent", "", value, low, high, repeats=len(sizes)))
    last = exponent(sizes[-2:], times[-2:])[0]
    rows.append(Row("scaling", curve.case, "exponent between the two largest", "", last, repeats=2))
    return rows


def _limit(curve: Curve, device: str) -> tuple[str, float | None]:
    """What bounds a work on a GPU, in the terms of its ``least``; None where the device's peak is
    unknown.
    """
    known = peak(device)
    if curve.work == "accumulation":
        return "memory bandwidth", known and known.bandwidth
    return "dense float64 peak", known and known.flops[torch.float64]


def exponent(sizes: list[int], times: list[float]) -> tuple[float, float, float]:
    """b of time = a · size^b by least squares of the logarithms, with its 95% t interval (NaN of
    two sizes).
    """
    fit = linregress(np.log(sizes), np.log(times))
    free = len(sizes) - 2
    half = t.ppf(0.975, free) * fit.stderr if free else np.nan
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def measured(curve: Curve, *, threads: int | None = None, device: str = "cpu") -> list[Point]:
    """Every size of a curve, from the smallest to the largest.

    Repeats go through all sizes that still have time, so that a busy minute of the machine is not
    that of one size alone.
    """
    if threads:
        torch.set_num_threads(threads)
    clock, most = (processor, SECONDS) if device == "cpu" else (clock_of(device), FEW_SECONDS)
    seconds: dict[int, list[float]] = {size: [] for size in curve.sizes}
    peaks, least = {}, {}
    WORK[curve.work](**curve.fixed, **{curve.grows: curve.sizes[0]}, device=device)[0]()  # warms up
    for _ in range(REPEATS):
        for size in [size for size in curve.sizes if sum(seconds[size]) < most]:
            work, least[size] = WORK[curve.work](
                **curve.fixed, **{curve.grows: size}, device=device
            )
            forget_peak(device)
            seconds[size].append(clock(work))
            peaks.setdefault(size, memory(device))
            del work  # its tensors would be counted with those of the next size
    return [Point(size, seconds[size], peaks[size], least[size]) for size in curve.sizes]


Work = tuple[Callable[[], object], float]


def _accumulation(*, tokens: int, classes: int, dimension: int, device: str) -> Work:
    """Batches into one ``ClassStatistics``, and the bytes that the updates must move at least."""
    size = min(tokens, BATCH if device == "cpu" else LARGE)
    features, _ = random_batch(size, classes, dimension, device=device)
    labels = random_batch(tokens, classes, 0, device=device)[1].split(size)
    statistics = collapse.ClassStatistics(classes, dimension, device=device)
    least = sum(least_bytes(statistics, features, some) for some in labels)
    return lambda: [statistics.update(features, some) for some in labels], least


def _pairwise(*, classes: int, dimension: int, device: str) -> Work:
    """Every metric of means and rows with its interval; they depend on the statistics alone,
    however many tokens made them.

    At least two FLOP a dimension for the inner product of each of K (K − 1) / 2 pairs, of means and
    of rows.
    """
    statistics, weight = random_classes(classes, dimension, device=device)
    return lambda: collapse.measure(statistics, weight), 2 * classes * (classes - 1) * dimension


#: Name of a work → function(sizes by name, device) → what is timed, and the bytes or FLOP that it needs at least.
WORK = {"accumulation": _accumulation, "pairwise metrics": _pairwise}
