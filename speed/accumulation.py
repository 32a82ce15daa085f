"""Class statistics by index against the one-hot formulation of the released training code."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from fairnc_utils.collapse import ClassStatistics
from speed.device import clock_of, peak
from speed.timing import Row, Settings, median, paired

TOKENS, CLASSES, WORDS = 2032, 30_522, 213
# updates that are timed together: one alone is so short that another program's slice of the core
# trebles it
CALLS = 32
# that take turns, so that an update meets tokens that no cache holds from the last time
BATCHES = 8
MANY, FEW = 2**18, 8  # on a GPU: tokens of a batch that fills it, and updates timed together
SECONDS = 3.0  # for the repeats of one comparison on a GPU


class OneHotStatistics:
    """What the released code does at each step, written out from its description.

    A dense boolean tokens × classes one-hot; counts by its sum, totals by its matrix product with
    the features in their data type, means of all classes, and a hash of the means' bytes.
    """

    def __init__(self, num_classes: int, dim: int, dtype: torch.dtype, device: str = "cpu"):
        self.counts = torch.zeros(num_classes, dtype=torch.int64, device=device)
        self.totals = torch.zeros(num_classes, dim, dtype=dtype, device=device)

    def update(self, features: Tensor, labels: Tensor) -> tuple[Tensor, str]:
        """Add samples; the means (K, D) and their hash."""
        one_hot = labels[:, None] == torch.arange(len(self.counts), device=labels.device)
        self.counts += one_hot.sum(0)
        self.totals += one_hot.to(features.dtype).mT @ features
        means = self.totals / self.counts.clamp_min(1)[:, None]
        return means, hashlib.sha256(means.cpu().numpy()).hexdigest()


def run(settings: Settings) -> list[Row]:
    """Seconds of the one-hot step over seconds of ``ClassStatistics.update``, and of it with the
    means a loss needs.

    On a GPU also the share of its memory bandwidth that an update uses, at the released batch and
    at a large one; the one-hot step of that would hold tens of GB, and is left out.
    """
    tokens, many, classes, dims = (
        (64, 256, 500, (16,)) if settings.tiny else (TOKENS, MANY, CLASSES, (384, 768))
    )
    rows = []
    for dim in dims:
        for dtype in (torch.float64, torch.float32):
            rows += _compare(settings, tokens, classes, dim, dtype)
            if settings.device != "cpu":
                rows += _alone(settings, many, classes, dim, dtype)
    return rows


def _compare(
    settings: Settings, tokens: int, classes: int, dim: int, dtype: torch.dtype
) -> list[Row]:
    device = settings.device
    batches = [
        random_batch(tokens, classes, dim, dtype=dtype, device=device, seed=seed)
        for seed in range(BATCHES)
    ]
    wanted = batches[0][1].unique()[:WORDS]
    plain = OneHotStatistics(classes, dim, dtype, device)
    ours, other = (ClassStatistics(classes, dim, dtype=dtype, device=device) for _ in "ab")
    torch.testing.assert_close(
        plain.update(*batches[0])[0][wanted], ours.update(*batches[0]).means(wanted)
    )
    turns = [batches[i % BATCHES] for i in range(2 if settings.tiny else CALLS)]
    contenders = {
        "one_hot": lambda repeat: plain.update(*batches[repeat % BATCHES]),
        "update": lambda repeat: [ours.update(*batch) for batch in turns],
        "means": lambda repeat: [other.update(*batch).means(wanted) for batch in turns],
    }
    seconds = settings.seconds / 2 if device == "cpu" else min(settings.seconds, SECONDS)
    times = paired(contenders, repeats=settings.repeats, seconds=seconds, clock=clock_of(device))
    update, means = times["update"] / len(turns), times["means"] / len(turns)
    case = _case(tokens, dim, dtype)
    return [
        median("accumulation", case, "one-hot / update", "×", times["one_hot"] / update),
        median(
            "accumulation",
            case,
            f"one-hot / (update, {len(wanted)} means)",
            "×",
            times["one_hot"] / means,
        ),
        *_of_updates(settings, case, update, least_bytes(ours, *batches[0])),
    ]


def _alone(
    settings: Settings, tokens: int, classes: int, dim: int, dtype: torch.dtype
) -> list[Row]:
    """Updates by a batch so large that their launches count for nothing."""
    batch = random_batch(tokens, classes, dim, dtype=dtype, device=settings.device)
    ours = ClassStatistics(classes, dim, dtype=dtype, device=settings.device)
    times = paired(
        {"update": lambda repeat: [ours.update(*batch) for _ in range(FEW)]},
        repeats=settings.repeats,
        seconds=min(settings.seconds, SECONDS),
        clock=clock_of(settings.device),
    )
    return _of_updates(
        settings, _case(tokens, dim, dtype), times["update"] / FEW, least_bytes(ours, *batch)
    )


def _of_updates(settings: Settings, case: str, seconds: np.ndarray, least: int) -> list[Row]:
    """Time of an update and, where it is known what the device can do, the share of that which its
    ``least`` bytes take.
    """
    rows = [median("accumulation", case, "update", "ms", 1000 * seconds)]
    if limit := peak(settings.device):
        share = 100 * least / seconds / limit.bandwidth
        rows.append(
            median("accumulation", case, "update, share of the memory bandwidth", "%", share)
        )
    return rows


def _case(tokens: int, dim: int, dtype: torch.dtype) -> str:
    return f"{tokens:,} tokens, D = {dim}, {str(dtype).removeprefix('torch.')}"


def random_batch(
    tokens: int,
    classes: int,
    dim: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Features (N, D) and labels (N,), of which few classes are frequent and many rare."""
    generator = torch.Generator(device).manual_seed(seed)
    features = torch.randn(tokens, dim, generator=generator, device=device).to(dtype)
    return features, (classes * torch.rand(tokens, generator=generator, device=device) ** 4).long()


def least_bytes(statistics: ClassStatistics, features: Tensor, labels: Tensor) -> int:
    """Bytes that one update cannot but move.

    Features and labels read once; of each class that occurs, its sum, sum of squares and count read
    and written once.
    """
    of_a_class = sum(
        x[0].nbytes for x in (statistics.sums, statistics.square_sums, statistics.counts)
    )
    return features.nbytes + labels.nbytes + 2 * of_a_class * len(labels.unique())
