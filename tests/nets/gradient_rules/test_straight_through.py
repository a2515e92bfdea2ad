"""Straight-through gradients: the values are the model's, and the derivatives are those stated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt.nets.gradient_rules.straight_through import StraightThrough

X = torch.tensor([[0.11, 0.42, 0.68, 0.93], [0.27, 0.36, 0.51, 0.84]])


def gradient(function, x: Tensor = X) -> Tensor:
    """The gradient of the sum of a function's values, after checking that the values are unchanged."""
    with torch.no_grad():
        plain = function(x)
    variable = x.clone().requires_grad_()
    with StraightThrough():
        outputs = function(variable.clone())
    assert torch.equal(outputs, plain)
    (grad,) = torch.autograd.grad(outputs.sum(), variable)
    return grad


def with_no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return 3 * x.detach()


def rounded_in_place(x: Tensor) -> Tensor:
    y = x * 8
    y.round_()
    y /= 8
    return y


def descended(x: Tensor) -> Tensor:
    """Two steps of gradient descent on the squared sum, each by `backward`."""
    z = x.detach().clone()
    for _ in range(2):
        z.requires_grad_()
        with torch.enable_grad():
            z.square().sum().backward()
        z = (z - 0.1 * z.grad).detach()
    return z


EMBEDDING = nn.Embedding.from_pretrained(torch.linspace(0, 1, 65)[:, None])

# name: (function, derivative of its sum by each element)
WITH_A_CONSTANT_DERIVATIVE = {
    "round": (lambda x: torch.round(8 * x) / 8, 1.0),
    "in place": (rounded_in_place, 1.0),
    "bytes": (lambda x: (255 * x).to(torch.uint8).float() / 255, 1.0),
    "bit shift": (lambda x: ((256 * x).byte() >> 4 << 4) / 256.0, 1.0),
    "bit mask": (lambda x: ((256 * x).long() & 0xF0) / 256.0, 1.0),
    "floor division": (lambda x: x // 0.125 * 0.125, 1.0),
    "minus the remainder": (lambda x: x - x % 0.125, 1.0),
    "int and back": (lambda x: (4 * x).int() // 2 * 0.5, 1.0),
    "table": (lambda x: torch.linspace(0, 1, 256)[(255 * x).long()], 1.0),
    "embedding": (
        lambda x: nn.Embedding.from_pretrained(torch.linspace(0, 1, 65)[:, None])((64 * x).long())[..., 0],
        1.0,
    ),
    "no_grad": (with_no_grad, 3.0),
    "data": (lambda x: 2 * x.data, 2.0),
    "steps inside": (descended, 1.0),
    "fine sine": (lambda x: x + 0.01 * torch.sin(5000 * x), 1.0),
}


@pytest.mark.parametrize("name", WITH_A_CONSTANT_DERIVATIVE)
def test_the_derivative_is_the_one_stated(name):
    function, derivative = WITH_A_CONSTANT_DERIVATIVE[name]
    assert torch.allclose(gradient(function), torch.full_like(X, derivative), atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[..., None] > torch.arange(8) / 8).float().mean(-1),
        lambda x: torch.where(x > 0.5, 1.0, torch.zeros_like(x)),
        lambda x: x.gt(0.5) * torch.ones(()),
        lambda x: (~(x <= 0.5)).to(x.dtype),
        lambda x: torch.bucketize(x, torch.linspace(0.1, 0.9, 9)).float(),
        lambda x: torch.sign(x - 0.5),
    ],
)
def test_steps_have_a_positive_derivative_everywhere(function):
    assert (gradient(function) > 0).all()


def test_the_code_of_an_argmax_follows_its_scores():
    grad = gradient(lambda x: functional.one_hot(x.argmax(1), 4).float() * torch.tensor([0.0, 0.0, 0.0, 1.0]))
    assert (grad[:, 3] > 0).all()
    assert (grad[:, :3] < 0).all()


def test_tensors_from_outside_carry_no_gradient_afterwards():
    count = torch.zeros(4)

    def counted(x: Tensor) -> Tensor:
        with torch.no_grad():
            count.add_(x.mean(0))
            count[0] = x[0, 0]
        return torch.floor(x)

    with StraightThrough():
        counted(X.clone().requires_grad_().clone())
    assert not count.requires_grad
    assert count[0] == X[0, 0]


def test_the_gradient_mode_is_restored_and_numbers_can_be_read():
    variable = X.clone().requires_grad_()
    with torch.no_grad(), StraightThrough() as rule:
        assert not torch.round(variable).requires_grad
        assert rule.applied == 0
    with StraightThrough():
        torch.set_grad_enabled(False)
        assert (2 * variable).detach().numpy().shape == (2, 4)
        assert float((2 * variable).sum()) > 0
    assert torch.is_grad_enabled()


def test_a_leak_passes_flat_units():
    variable = X.clone().requires_grad_()
    with StraightThrough(leak=True) as rule:
        outputs = torch.clamp(variable * 1.0 + 5, 0, 1)
    assert rule.saturating == 1
    assert torch.equal(outputs, torch.ones_like(X))
    assert (torch.autograd.grad(outputs.sum(), variable)[0] > 0).all()
