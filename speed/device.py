"""What a GPU can do at most, and the clock and the memory of work that runs on one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fairnc_utils.models import LanguageModel
from speed.timing import clock, peak_memory


@dataclass(frozen=True)
class Peak:
    """Bytes a second between the device and its memory, and dense FLOP a second by data type."""

    bandwidth: float
    flops: dict[torch.dtype, float]


_HOPPER = {torch.bfloat16: 989e12, torch.float32: 67e12, torch.float64: 67e12}

#: By the whole name that torch gives a device, since parts of one name differ (vendor data sheets; SXM modules). float32
#: without TF32, which torch does not use unasked; float64 by tensor cores, which matrix products use.
PEAKS = {
    "NVIDIA H200": Peak(4.8e12, _HOPPER),
    "NVIDIA H100 80GB HBM3": Peak(3.35e12, _HOPPER),
    "NVIDIA A100-SXM4-80GB": Peak(
        2.039e12, {torch.bfloat16: 312e12, torch.float32: 19.5e12, torch.float64: 19.5e12}
    ),
}


def peak(device: str) -> Peak | None:
    """What the device can do; None for a CPU, and for a GPU that the table does not hold: no share
    of it is then given.
    """
    return PEAKS.get(torch.cuda.get_device_name(device)) if _is_gpu(device) else None


def clock_of(device: str) -> Callable[[Callable[[], object]], float]:
    """Wall-clock seconds of a call, on a GPU until what the call started there is done."""
    if not _is_gpu(device):
        return clock

    def work_and_wait(work: Callable[[], object]) -> None:
        work()
        torch.cuda.synchronize(device)

    def synchronized(work: Callable[[], object]) -> float:
        torch.cuda.synchronize(device)
        return clock(lambda: work_and_wait(work))

    return synchronized


def forget_peak(device: str) -> None:
    """From here on ``memory`` speaks of a GPU's tensors; a process has but one peak, from its
    start.
    """
    if _is_gpu(device):
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: str) -> float:
    """Largest memory of a GPU's tensors at one time since ``forget_peak``, in GB; elsewhere that of
    the process.
    """
    return torch.cuda.max_memory_allocated(device) / 1e9 if _is_gpu(device) else peak_memory()


def flop(lm: LanguageModel) -> int:
    """FLOP that an unpadded token needs at least: two a weight of the linear layers but the
    decoder; attention apart.
    """
    linear = [layer.weight for layer in lm.model.modules() if isinstance(layer, torch.nn.Linear)]
    return 2 * sum(weight.numel() for weight in linear if len(weight) != len(lm.weight))


def _is_gpu(device: str) -> bool:
    return torch.device(device).type == "cuda"
