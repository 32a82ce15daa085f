"""Linear maps through oneDNN: the same numbers and gradients, and the model stays the same model."""

import copy

import pytest
import torch
from torch import nn

from fairnc_utils._onednn import linear, use_onednn


@pytest.fixture
def product(monkeypatch):
    """Which layouts ``torch.nn.functional.linear`` was given: True for oneDNN's."""
    given, plain = [], nn.functional.linear

    def noted(x, *rest):
        given.append(x.is_mkldnn)
        return plain(x, *rest)

    monkeypatch.setattr(nn.functional, "linear", noted)
    return given


needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


@needs_onednn
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (1, 7)])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_a_matrix_product(product, shape, biased):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(size, generator=generator, requires_grad=True) for size in (shape, (4, 7), (4,))
    )
    upstream = torch.randn((*shape[:-1], 4), generator=generator)
    bias = bias if biased else None
    inputs = [tensor for tensor in (x, weight, bias) if tensor is not None]
    output = linear(x, weight, bias)
    expected = (x.double() @ weight.double().T + (bias.double() if biased else 0)).float()
    torch.testing.assert_close(output, expected)
    for ours, plain in zip(
        torch.autograd.grad(output, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)
    assert product == [True]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_it_cannot_take_is_left_to_torch(product, dtype):
    x, weight = torch.ones(3, 7, dtype=dtype), torch.ones(4, 7, dtype=dtype)
    assert linear(x, weight).dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.ones(3, 7), torch.ones(4, 7)).dtype == torch.bfloat16
    assert linear(torch.ones(0, 7), torch.ones(4, 7)).shape == (0, 4)
    assert linear(torch.ones(7), torch.ones(4, 7)).shape == (4,)
    assert product == [False] * 4


@needs_onednn
def test_a_model_that_is_adopted_is_the_same_model(product):
    model = nn.Sequential(nn.Linear(7, 5), nn.GELU(), nn.Linear(5, 7))
    seen, before = [], copy.deepcopy(model)
    model[2].register_forward_hook(lambda module, given, result: seen.append(result))
    weights = list(map(id, model.parameters()))
    assert use_onednn(model) is model
    x = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(x), before(x))
    torch.testing.assert_close(copy.deepcopy(model)(x), before(x))
    assert product == [True, True, False, False, True, True, False, False]
    assert len(seen) == 2
    assert list(map(id, model.parameters())) == weights
    assert model.state_dict().keys() == before.state_dict().keys()
