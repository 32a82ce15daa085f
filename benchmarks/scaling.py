"""How cost grows: accumulation and all pairwise metrics while tokens, classes or dimension grow, one at a time."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import log2
from multiprocessing import get_context

import numpy as np
import torch
from scipy.stats import linregress, t

from benchmarks.pairwise import random_classes
from benchmarks.timing import Row, Settings, peak_memory, processor
from fairnc_utils import collapse

BATCH = 2048  # tokens an update: about one batch of a corpus
REPEATS, SECONDS = 5, 10.0  # of one size: as many repeats as begin within the seconds

SYMBOLS = {"tokens": "N", "classes": "K", "dimension": "D"}


@dataclass(frozen=True)
class Curve:
    """One work while one of its sizes grows. ``fixed`` holds the others: ``tokens``, ``classes``, ``dimension``."""

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
TINY = (Curve("pairwise metrics", "classes", (50, 100, 200), {"dimension": 16}),)


def run(settings: Settings) -> list[Row]:
    """Processor seconds and peak memory at each size, and the exponents of time.

    Processor seconds are summed over cores: programs beside this one change them little. Each curve has a process of its own
    that goes from small to large, so the peak so far is that of the size at hand; it includes Python and torch.
    """
    rows = []
    for curve in TINY if settings.tiny else CURVES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found = process.submit(measured, curve, torch.get_num_threads()).result()
        for size, seconds, memory in found:
            spent = float(np.median(seconds))
            rows.append(Row("scaling", curve.case, "processor time", "s", spent, repeats=len(seconds), at=size))
            rows.append(Row("scaling", curve.case, "peak memory", "GB", memory, at=size))
        sizes, times = [size for size, _, _ in found], [float(np.median(seconds)) for _, seconds, _ in found]
        value, low, high = exponent(sizes, times)
        rows.append(Row("scaling", curve.case, "exponent", "", value, low, high, repeats=len(sizes)))
        last = exponent(sizes[-2:], times[-2:])[0]
        rows.append(Row("scaling", curve.case, "exponent between the two largest", "", last, repeats=2))
    return rows


def exponent(sizes: list[int], times: list[float]) -> tuple[float, float, float]:
    """b of time = a · size^b by least squares of the logarithms, with its 95% t interval (NaN of two sizes)."""
    fit = linregress(np.log(sizes), np.log(times))
    free = len(sizes) - 2
    half = t.ppf(0.975, free) * fit.stderr if free else np.nan
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def measured(curve: Curve, threads: int) -> list[tuple[int, list[float], float]]:
    """Size, processor seconds of each repeat, and peak memory in GB, from the smallest size to the largest.

    Repeats go through all sizes that still have time, so that a busy minute of the machine is not that of one size alone.
    """
    torch.set_num_threads(threads)
    seconds: dict[int, list[float]] = {size: [] for size in curve.sizes}
    memory = {}
    WORK[curve.work](**curve.fixed, **{curve.grows: curve.sizes[0]})()  # warms up
    for _ in range(REPEATS):
        for size in [size for size in curve.sizes if sum(seconds[size]) < SECONDS]:
            seconds[size].append(processor(WORK[curve.work](**curve.fixed, **{curve.grows: size})))
            memory.setdefault(size, peak_memory())
    return [(size, seconds[size], memory[size]) for size in curve.sizes]


def _accumulation(*, tokens: int, classes: int, dimension: int) -> Callable[[], object]:
    """Batches into one ``ClassStatistics``; few classes are frequent and many rare."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(BATCH, dimension, generator=generator)
    labels = (classes * torch.rand(tokens, generator=generator) ** 4).long().split(BATCH)
    statistics = collapse.ClassStatistics(classes, dimension)
    return lambda: [statistics.update(features, some) for some in labels]


def _pairwise(*, classes: int, dimension: int) -> Callable[[], object]:
    """Every metric of means and rows with its interval; they depend on the statistics alone, however many tokens made them."""
    statistics, weight = random_classes(classes, dimension)
    return lambda: collapse.measure(statistics, weight)


#: Name of a work → function(sizes by name) → what is timed.
WORK = {"accumulation": _accumulation, "pairwise metrics": _pairwise}
