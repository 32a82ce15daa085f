"""CDNV and log kernel of many classes against the released kernels, which take a patch of classes
against a patch at a time.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fairnc_utils import collapse
from fairnc_utils._pairwise import Groups
from speed.pairwise import random_classes
from speed.timing import Row, Settings, median, paired, processor

DEFAULT = 1  # the released patch size: one class against one class
PATCHES = (16, 32, 64, 128)  # among which the best one is looked for
# that a repeat takes of one patch size: as many blocks as these pairs fill, at most so many
PAIRS, BLOCKS = 16_384, 200


def run(settings: Settings) -> list[Row]:
    """Processor seconds of one released kernel over those of our whole pass, in the same data type.

    The pass gives CDNV, cosine, its distance from the simplex and log kernel of the class means,
    each with mean, standard deviation and jackknife replicates. The released kernel fills a K × K
    grid, which is then still to be averaged. Its time is that of some blocks, scaled to all.
    Processor seconds are summed over cores: that favours what runs on one core, as the released
    kernels at their default patch do.
    """
    size, dim = (64, 16) if settings.tiny else (5000, 384)
    statistics, _ = random_classes(size, dim)
    return [
        row
        for dtype in (torch.float64, torch.float32)
        for row in _compare(settings, statistics, dtype)
    ]


def _compare(
    settings: Settings, statistics: collapse.ClassStatistics, dtype: torch.dtype
) -> list[Row]:
    every = torch.arange(len(statistics.counts))
    means, spread = statistics.means(every).to(dtype), statistics.variances(every).to(dtype)
    size, dim = means.shape
    patches = [patch for patch in (DEFAULT, *PATCHES) if patch <= size]
    contenders, share = {"ours": lambda repeat: ours(means, spread)}, {}
    for name, kernel in released(means, spread).items():
        for patch in patches:
            contenders[name, patch], share[name, patch] = some_blocks(kernel, size, patch)
    times = paired(
        contenders, repeats=settings.repeats, seconds=settings.seconds / 2, clock=processor
    )
    whole = {key: times[key] / share[key] for key in share}
    case = f"K = {size:,}, D = {dim}, {str(dtype).removeprefix('torch.')}"
    rows = []
    for name in ("CDNV", "log kernel"):
        best = min(patches, key=lambda patch: np.median(whole[name, patch]))
        for label, patch in (("default patch", DEFAULT), ("best patch", best)):
            ratios = whole[name, patch] / times["ours"]
            rows.append(
                median(
                    "kernels", case, f"released {name}, {label} ({patch}) / our pass", "×", ratios
                )
            )
    return [*rows, median("kernels", case, "our pass, processor time", "s", times["ours"])]


def ours(means: Tensor, spread: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of every pairwise quantity of the class means (K, D), whole and
    by jackknife replicate.
    """
    centred = means - means.mean(0)
    return Groups(len(means), 50, means).over_pairs(
        collapse._PairKernels(collapse._unit(centred), centred.norm(dim=1), None, spread)
    )


def released(means: Tensor, spread: Tensor) -> dict[str, Callable[[slice, slice], Tensor]]:
    """What the released kernels compute of two patches of classes, (P, P′), written out from their
    description.

    Differences by broadcast, P × P′ × D. CDNV: the mean variance over the fourth power of the
    distance, variances kept as one more column of the means. Log kernel: minus the logarithm of the
    distance between normalized means, which are not centred.
    """
    bundle, unit = (
        torch.cat([means, spread[:, None]], 1),
        torch.nn.functional.normalize(means, dim=1),
    )

    def cdnv(a: slice, b: slice) -> Tensor:
        left, right = bundle[a, None], bundle[b]
        difference = left[..., :-1] - right[:, :-1]
        return (left[..., -1] + right[:, -1]) / 2 / (difference * difference).sum(-1) ** 2

    def log_kernel(a: slice, b: slice) -> Tensor:
        return -(unit[a, None] - unit[b]).norm(dim=-1).log()

    return {"CDNV": cdnv, "log kernel": log_kernel}


def some_blocks(
    kernel: Callable[[slice, slice], Tensor], size: int, patch: int
) -> tuple[Callable[[int], None], float]:
    """Work on random blocks of the K × K grid, and the share of the grid that they are (both
    triangles are filled).
    """
    blocks = min(BLOCKS, max(2, PAIRS // patch**2))
    starts = np.random.default_rng(0).integers(0, size - patch, (blocks, 2), endpoint=True)
    grid = torch.zeros(size, size)

    def work(repeat: int) -> None:
        for i, j in starts:
            a, b = slice(i, i + patch), slice(j, j + patch)
            grid[a, b] = kernel(a, b)

    return work, blocks * patch**2 / size**2
