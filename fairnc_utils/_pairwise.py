"""Moments over classes and over pairs of classes, whole and by jackknife replicate, in tiles of
bounded memory.
"""

from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool

import numpy as np
import torch
from torch import Tensor

#: Classes a side, by type of device. On a CPU a float64 tile is 0.5 MB, so that every step on it stays in the processor's
#: cache; on a GPU it is 134 MB, so that the steps outlast their launches.
TILES = {"cpu": 256, "cuda": 4096}

#: Classes at a time where each is looked at alone: 134 MB a matrix at 4,096 dimensions.
ROWS = 4096


class Groups:
    """Means and standard deviations over classes or pairs, whole and without each of G random
    groups of classes.

    ``order`` (K,) sorts the classes by group. What the methods are given follows that order: a tile
    of neighbouring classes then meets few groups. Every result has shape (1 + G,): the value first,
    then the replicates that the jackknife needs.
    """

    def __init__(self, size: int, groups: int, like: Tensor):
        self.size, self.count = size, min(groups, size)
        group = np.random.default_rng(0).permutation(size) % self.count
        self.order = torch.as_tensor(group.argsort(kind="stable"), device=like.device)
        self.group = np.sort(group)
        self.member = torch.nn.functional.one_hot(
            torch.as_tensor(self.group, device=like.device), self.count
        ).to(like)

    def over_classes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and sd over classes of ``x`` (K,)."""
        shift = x.mean()
        by_group = torch.stack([torch.ones_like(x), x - shift, (x - shift).square()]) @ self.member
        whole = by_group.sum(1, keepdim=True)
        return _mean_sd(torch.cat([whole, whole - by_group], 1), shift)

    def over_pairs(
        self, kernels: Callable[[slice, slice], dict[str, Tensor]]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and sd over pairs of each kernel, tile by tile; the tiles that ``kernels`` returns
        are overwritten.

        The (G, G) sums by the groups of the two classes give the whole and every replicate in a
        single pass.
        """
        every = list(tiles(self.size, TILES.get(self.member.device.type, TILES["cuda"])))
        # Any value near the mean will do as a shift: it guards the sum of squares.
        side = every[0][0].stop
        shifts = {
            name: kernel.triu(1).sum() / (side * (side - 1) / 2)
            for name, kernel in kernels(*every[0]).items()
        }

        def add_up(a: slice, b: slice) -> tuple[slice, slice, dict[str, Tensor]]:
            (rows, left), (columns, right) = self._groups_of(a), self._groups_of(b)
            blocks = {}
            for name, kernel in kernels(a, b).items():
                kernel -= shifts[name]
                if a == b:
                    kernel.triu_(1)
                blocks[name] = torch.stack(
                    [left.mT @ kernel @ right, left.mT @ kernel.square_() @ right]
                )
            return rows, columns, blocks

        sizes = self.member.sum(0)
        pairs = torch.outer(sizes, sizes).triu(1) + torch.diag(sizes * (sizes - 1) / 2)
        sums = {
            name: torch.stack([pairs, torch.zeros_like(pairs), torch.zeros_like(pairs)])
            for name in shifts
        }
        for rows, columns, blocks in _side_by_side(add_up, every, self.member.device):
            for name, block in blocks.items():
                sums[name][1:, rows, columns] += block
        return {
            name: _mean_sd(self._leave_one_out(total), shifts[name]) for name, total in sums.items()
        }

    def _groups_of(self, classes: slice) -> tuple[slice, Tensor]:
        """The groups that neighbouring classes belong to, and the membership of these classes in
        them.
        """
        groups = slice(int(self.group[classes.start]), int(self.group[classes.stop - 1]) + 1)
        return groups, self.member[classes, groups]

    @staticmethod
    def _leave_one_out(blocks: Tensor) -> Tensor:
        """Block sums (3, G, G) over pairs → (3, 1 + G): all pairs, then those with no class in
        group g.
        """
        touching = blocks.sum(1) + blocks.sum(2) - blocks.diagonal(dim1=1, dim2=2)
        whole = blocks.sum((1, 2))[:, None]
        return torch.cat([whole, whole - touching], 1)


def _mean_sd(sums: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Count, sum and sum of squares of shifted values (3, ...) → mean and standard deviation (ddof
    1; NaN of one value).
    """
    count, total, square = sums
    variance = ((square - total.square() / count) / (count - 1)).clamp_min(0)
    return shift + total / count, variance.sqrt().masked_fill(count < 2, torch.nan)


def by_rows(work: Callable[..., Tensor], *points: Tensor) -> Tensor:
    """``work`` of some rows of each of ``points`` (K, …) after the other, together again: what it
    holds besides is as large as some rows, not as all of them.
    """
    return torch.cat([work(*some) for some in zip(*(x.split(ROWS) for x in points), strict=True)])


def tiles(size: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Slices that cover the upper triangle of a size × size matrix, with at most ``side`` rows and
    columns each.
    """
    for i in range(0, size, side):
        for j in range(i, size, side):
            yield slice(i, min(i + side, size)), slice(j, min(j + side, size))


def _side_by_side(work: Callable, arguments: Sequence[tuple], device: torch.device) -> Iterator:
    """``work(*a)`` of each a, in order: on a CPU in as many threads as torch may use, each with
    torch on one thread.

    A tile is too small to be shared between cores: they would wait for each other after every step.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(arguments) == 1:
        yield from (work(*a) for a in arguments)
        return
    try:
        with ThreadPool(min(threads, len(arguments)), torch.set_num_threads, (1,)) as pool:
            yield from pool.imap(lambda a: work(*a), arguments)
    finally:
        torch.set_num_threads(threads)
