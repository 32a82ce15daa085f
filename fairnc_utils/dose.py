"""Dose: how hard a regularizer pulls, beside the task that it joins.

The weight of a regularizer means nothing across methods: the gradient of one and the same R is a
thousandth of one task's and a hundredfold of another's. The *dose* is the ratio of the two
gradients' norms, ‖∇(weight · R)‖ / ‖∇task‖: at 1 the regularizer pulls as hard as the task.
``gradient_ratio`` measures it at weight 1 before training; weight = dose / ratio.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import median

import torch
from torch import Tensor, nn

from fairnc_utils._progress import progress
from fairnc_utils.errors import FairNCError

#: Batches that fill a regularizer's memory, and batches that are measured after them.
FILL, OVER = 300, 20

#: A task whose gradient is smaller, relative to the weights, has none to compare with.
VANISHING = 1e-6


def gradient_ratio(
    task: Callable[[dict], Tensor],
    penalty: Callable[[dict], Tensor],
    batches: Iterator[dict],
    parameters: Sequence[nn.Parameter],
    *,
    over: int = OVER,
) -> float:
    """Median over ``over`` batches of ‖∇penalty‖ / ‖∇task‖, Euclidean norms over all
    ``parameters``, no update between.

    ``task(batch)`` and ``penalty(batch)``: 0-d tensors, called in this order as in a training step;
    a regularizer with a memory has it filled before. Raises ``FairNCError`` where one of the two
    has no gradient: then there is no dose.
    """
    size = float(torch.stack([parameter.detach().norm() for parameter in parameters]).norm())
    ratios = []
    for batch in progress(islice(batches, over), desc="dose", total=over, unit="batch"):
        norms = [_norm(value, parameters) for value in (task(batch), penalty(batch))]
        if norms[0] <= VANISHING * size:
            raise FairNCError(
                "dose: the task has no gradient here, so no ratio to it; give the weight itself"
            )
        ratios.append(norms[1] / norms[0])
    if not median(ratios) > 0:
        raise FairNCError("dose: the regularizer has no gradient here, so no weight makes it pull")
    return median(ratios)


def _norm(value: Tensor, parameters: Sequence[nn.Parameter]) -> float:
    if not value.requires_grad:
        return 0.0
    # R shares the task's
    gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    return float(torch.stack([g.norm() for g in gradients if g is not None]).norm())


def weight(dose: float, ratio: float) -> float:
    """The weight at which the regularizer pulls ``dose`` times as hard as the task, to two
    significant digits.
    """
    return float(f"{dose / ratio:.2g}")
