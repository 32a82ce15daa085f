"""Steps of a debiasing run, a seed alone and several side by side; on a GPU eager and captured as
CUDA graphs.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

import numpy as np
import torch

from fairnc_utils import debias, models
from fairnc_utils.debias import train as debiasing
from speed.device import peak
from speed.timing import Row, Settings

STEPS, ROWS, SEEDS, WINDOW = 1260, 32, 4, 20
FEW = 200  # of the eager contender on a GPU, which is slow; all of them on a CPU


def run(settings: Settings) -> list[Row]:
    """Seconds of 1,260 BEC steps of 32 sentences: warm-up apart, and as a share of the device's
    peak where it is known.

    Steady time is the number of steps times the median time of a step over windows of 20; the
    warm-up is the rest of the loop. Loading and tokenizing are not counted. Work is 6 FLOP a
    parameter and unpadded token.
    """
    on_gpu = settings.device != "cpu"
    steps = 4 if settings.tiny else STEPS if on_gpu else 2 * WINDOW
    rows = []
    for captured in (False, True) if on_gpu else (False,):
        mode = ("captured" if captured else "eager") + (", bfloat16" if on_gpu else "")
        case = f"bec, {ROWS} sentences, {settings.device}, {mode}"
        loop, step, work = _timed(settings, 0, min(steps, steps if captured else FEW), captured)
        rows.append(Row("training", case, "step", "ms", 1000 * step))
        if on_gpu:
            rows.append(Row("training", case, f"{steps} steps", "s", steps * step))
        if captured:
            rows.append(Row("training", case, "warm-up", "s", loop - steps * step))
        if limit := peak(settings.device):
            share = 100 * work / step / limit.flops[torch.bfloat16]
            rows.append(Row("training", case, "share of the dense bfloat16 peak", "%", share))
    return rows + (_beside(settings, steps) if on_gpu else [])


def _timed(
    settings: Settings, seed: int, steps: int, captured: bool, barrier: Barrier | None = None
) -> tuple[float, float, float]:
    """Seconds of the whole loop, median seconds of a step, and FLOP of a step."""
    lm = models.load("random" if settings.tiny else settings.model, device=settings.device)
    method = debias.get("bec")
    lengths = [
        len(ids) for ids in method.examples(lm.tokenizer, limit=8, max_length=128)["input_ids"]
    ]
    work = (
        6
        * sum(parameter.numel() for parameter in lm.model.parameters())
        * ROWS
        * float(np.mean(lengths))
    )
    if barrier:
        barrier.wait()
    curve = debiasing.train(
        lm,
        method,
        steps=steps,
        batch_size=ROWS,
        seed=seed,
        log_every=min(WINDOW, steps // 2),
        captured=captured,
        precision="bf16" if settings.device != "cpu" else "fp32",
        texts=8 if settings.tiny else None,
    )
    window = curve["step"].diff().fillna(curve["step"])
    return (
        float((window * curve["seconds_per_step"]).sum()),
        float(curve["seconds_per_step"].median()),
        work,
    )


def _beside(settings: Settings, steps: int) -> list[Row]:
    """Several seeds at the same time on one GPU, a process each."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(SEEDS, mp_context=context) as pool:
        barrier = manager.Barrier(SEEDS)
        jobs = [pool.submit(_timed, settings, seed, steps, True, barrier) for seed in range(SEEDS)]
        loops = [job.result()[0] for job in jobs]
    case = (
        f"bec, {ROWS} sentences, {settings.device}, captured, bfloat16, {SEEDS} seeds side by side"
    )
    return [
        Row("training", case, f"{steps} steps of all, with warm-up", "s", max(loops)),
        Row("training", case, "the same by run", "s", max(loops) / SEEDS),
    ]
