"""Dose: the ratio of two gradients, as a plain example has it."""

import pytest
import torch

from fairnc_utils import dose
from fairnc_utils.errors import FairNCError


def test_ratio_is_the_median_over_batches():
    x = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    seen = []

    def penalty(batch):
        seen.append(batch["scale"])
        return batch["scale"] * x.sum()

    stream = iter([{"scale": scale} for scale in (1.0, 2.0, 10.0, 9.0)])
    ratio = dose.gradient_ratio(lambda batch: 2 * x.sum(), penalty, stream, [x], over=3)
    assert ratio == pytest.approx(1.0)  # median of 1, 2 and 10, over 2
    assert seen == [1.0, 2.0, 10.0]
    assert x.grad is None


def test_weight_has_two_digits_and_no_gradient_is_said():
    assert dose.weight(0.3, 0.0123) == 24.0
    x = torch.nn.Parameter(torch.ones(2))
    stream = iter([{}] * 3)
    with pytest.raises(FairNCError, match="no gradient"):
        dose.gradient_ratio(lambda batch: 0 * x.sum(), lambda batch: x.sum(), stream, [x], over=1)
