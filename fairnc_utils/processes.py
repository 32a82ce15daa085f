"""Several processes on one measurement or benchmark, as ``torchrun`` starts them: each takes its
share of the batches, and all of them end with the whole.

The batches are those of a single process, so a feature or a score is the same to the last bit.
Scores are only put together; sums over samples are added in another order, so class statistics
agree with those of one process to float64 rounding. Nothing is shared outside ``joined``: what is
evaluated inside somebody's distributed training stays each process's own.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from fairnc_utils.errors import FairNCError

if TYPE_CHECKING:
    from torch import Tensor

_Batch = TypeVar("_Batch")

_PATIENCE = timedelta(hours=6)  # for a process whose share takes longer
_rank, _count = 0, 1


def started() -> int:
    """How many processes ``torchrun`` has started; 1 where it has not."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this process speaks for all: it alone saves and prints."""
    return _rank == 0


def several() -> bool:
    """Whether work is shared at the moment."""
    return _count > 1


@contextmanager
def joined() -> Iterator[None]:
    """Share the work inside among the processes that ``torchrun`` has started; alone, nothing
    changes.

    Raises ``FairNCError`` where there are GPUs, but fewer than processes on this machine.
    """
    global _rank, _count
    if started() == 1:
        yield
        return
    import torch
    from torch import distributed

    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", started())), torch.cuda.device_count()
    if 0 < gpus < here:
        raise FairNCError(
            f"torchrun has started {here} processes and there are {gpus} GPUs here: "
            f"give --nproc-per-node {gpus}"
        )
    if gpus:
        torch.cuda.set_device(_local())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=_PATIENCE)
    _rank, _count = distributed.get_rank(), distributed.get_world_size()
    try:
        yield
    finally:
        _rank, _count = 0, 1
        distributed.destroy_process_group()


def gpu() -> str:
    """The GPU of this process: its own where work is shared, else the current one."""
    return f"cuda:{_local()}" if several() else "cuda"


def _local() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))


def mine(batches: Iterable[_Batch]) -> Iterator[_Batch]:
    """Those of the batches that this process computes, in their order."""
    return islice(batches, _rank, None, _count)


def total(tensor: "Tensor") -> "Tensor":
    """The sum of a tensor over all processes, in place; each of them has to ask. Returns the tensor."""
    if several():
        from torch import distributed

        distributed.all_reduce(tensor)
    return tensor
