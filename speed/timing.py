"""Paired, interleaved repeats: what a noisy machine leaves comparable is the ratio within one
repeat.
"""

import os
import platform
import time
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from fairnc_utils import stats


@dataclass(frozen=True)
class Settings:
    """What every benchmark is told: ``repeats`` wanted, ``seconds`` it may take for them, ``tiny``
    for a trial.
    """

    repeats: int = 30
    seconds: float = 180.0
    tiny: bool = False
    full_corpus: bool = False
    device: str = "cpu"
    model: str = str(Path(__file__).resolve().parent.parent / "models" / "minilm-mlm")


@dataclass(frozen=True)
class Row:
    """One figure: a ratio, a time or an amount of memory, with its interval where it was repeated.

    ``at`` is the size that it belongs to, where a benchmark lets one grow.
    """

    benchmark: str
    case: str
    quantity: str
    unit: str
    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    repeats: int = 1
    at: float = float("nan")


def clock(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor(work: Callable[[], object]) -> float:
    """Processor seconds that a call takes, summed over cores."""
    start = time.process_time()
    work()
    return time.process_time() - start


def paired(
    contenders: dict[Hashable, Callable[[int], object]],
    *,
    repeats: int,
    seconds: float,
    warm: bool = True,
    clock: Callable[[Callable[[], object]], float] = clock,
) -> dict[Hashable, np.ndarray]:
    """Seconds of each contender in each repeat, (R,) by name.

    Every repeat calls all contenders with its number, one after the other, in an order that turns
    by one each time; the first, untimed round warms up. No repeat starts after ``seconds`` have
    passed, but two are always made.
    """
    names = list(contenders)
    if warm:
        for work in contenders.values():
            work(0)
    times: dict[Hashable, list[float]] = {name: [] for name in names}
    begin = time.perf_counter()
    for repeat in range(repeats):
        if repeat >= 2 and time.perf_counter() - begin > seconds:
            break
        turn = repeat % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(clock(lambda name=name, repeat=repeat: contenders[name](repeat)))
    return {name: np.array(values) for name, values in times.items()}


def median(benchmark: str, case: str, quantity: str, unit: str, values: np.ndarray) -> Row:
    """The median over repeats with its bootstrap interval; for a ratio pass the ratios of the
    repeats.
    """
    estimate = stats.bootstrap(values, statistic=np.median)
    return Row(
        benchmark,
        case,
        quantity,
        unit,
        estimate.value,
        estimate.ci_low,
        estimate.ci_high,
        len(values),
    )


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    import resource  # no /proc: macOS, which counts in bytes

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def machine(device: str = "cpu") -> dict[str, object]:
    """What the figures depend on. ``load``: programs that wanted a core in the last minute, this
    one among them.
    """
    facts = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
    }
    return facts if device == "cpu" else {"device": torch.cuda.get_device_name(device)} | facts


def as_dicts(rows: list[Row]) -> list[dict[str, object]]:
    """Rows for JSON, NaN as None."""
    return [
        {key: None if value != value else value for key, value in asdict(row).items()}
        for row in rows
    ]
