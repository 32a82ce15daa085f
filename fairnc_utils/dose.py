"""Dose: how hard a regularizer pulls, beside the task that it joins.

The weight of a regularizer means nothing across methods: the gradient of one and the same R is a thousandth of one task's and a
hundredfold of another's. The *dose* is the ratio of the two gradients' norms, ‖∇(weight · R)‖ / ‖∇task‖: at 1 the regularizer pulls
as hard as the task. ``gradient_ratio`` measures it at weight 1 before training; weight = dose / ratio.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import median

import torch
from torch import Tensor, nn

from fairnc_utils.errors import FairNCError


def gradient_ratio(
    task: Callable[[dict], Tensor],
    penalty: Callable[[dict], Tensor],
    batches: Iterator[dict],
    parameters: Sequence[nn.Parameter],
    *,
    fill: int = 300,
    over: int = 20,
) -> float:
    """Median over ``over`` batches of ‖∇penalty‖ / ‖∇task‖, Euclidean norms over all ``parameters``, no update between.

    ``task(batch)`` and ``penalty(batch)``: 0-d tensors, in the order of a training step; ``fill`` batches before only fill the
    regularizer's memory. Raises ``FairNCError`` where the task has no gradient: then there is no dose.
    """
    for batch in islice(batches, fill):
        task(batch)
        penalty(batch)
    ratios = []
    for batch in islice(batches, over):
        norms = []
        for value in (task(batch), penalty(batch)):
            gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
            norms.append(float(torch.stack([g.norm() for g in gradients if g is not None]).norm()))
        if not norms[0] > 0:
            raise FairNCError("dose: the task has no gradient here, so no ratio to it; give the weight itself")
        ratios.append(norms[1] / norms[0])
    return median(ratios)


def weight(dose: float, ratio: float) -> float:
    """The weight at which the regularizer pulls ``dose`` times as hard as the task, to two significant digits."""
    return float(f"{dose / ratio:.2g}")
