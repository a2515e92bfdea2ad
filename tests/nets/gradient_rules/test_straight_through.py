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


@pytest.mark.parametrize("flat", [lambda x: x.clamp(-1, 1), torch.sigmoid, functional.relu6, functional.hardtanh])
@pytest.mark.parametrize("width", [0.3, 1.0, 3.0])
def test_the_leak_of_two_sided_saturation_falls_with_the_distance_from_the_middle(flat, width):
    variable = torch.tensor([[30.0, 40.0, 80.0, -60.0]], requires_grad=True)
    with StraightThrough(leak=True, width=width):
        outputs = flat(variable * 1.0)
    (grad,) = torch.autograd.grad(outputs.sum(), variable)
    assert (grad > 0).all()
    assert grad[0, 0] > grad[0, 1] > grad[0, 3] > grad[0, 2]


def test_a_narrow_step_has_more_of_its_derivative_at_the_threshold():
    def share_at_the_threshold(width: float) -> float:
        variable = torch.tensor([0.01, 1.0, -2.0, 3.0], requires_grad=True)
        with StraightThrough(width=width) as rule:
            outputs = (variable * 1.0 > 0).float()
        assert rule.shaped == 1
        (grad,) = torch.autograd.grad(outputs.sum(), variable)
        return float(grad[0] / grad.sum())

    assert share_at_the_threshold(0.1) > share_at_the_threshold(1.0) > share_at_the_threshold(5.0)


BANK = torch.rand(40, 3, generator=torch.Generator().manual_seed(3))
OWNERS = torch.arange(40) % 4


def shares_of_neighbours(x: Tensor) -> Tensor:
    """Share of each class among the five nearest points, [B, 4]."""
    nearest = torch.cdist(x[:, :3], BANK).topk(5, largest=False).indices
    return functional.one_hot(OWNERS[nearest], 4).float().mean(1)


def test_votes_of_nearest_neighbours_follow_the_distances():
    variable = X.clone().requires_grad_()
    with StraightThrough():
        outputs = shares_of_neighbours(variable.clone())
    assert torch.equal(outputs, shares_of_neighbours(X))
    for row, number in ((0, 1), (1, 2)):  # a small step along the gradient comes nearer to points of the class
        (grad,) = torch.autograd.grad(outputs[row, number], variable, retain_graph=True)
        members = BANK[number == OWNERS]
        before, after = (
            torch.cdist(each[row : row + 1, :3], members).amin() for each in (X, X + 0.01 * grad / grad.norm())
        )
        assert after < before


def test_indices_of_the_largest_are_not_taken_for_those_of_the_smallest():
    def votes(x: Tensor, sign: float) -> Tensor:
        indices = (sign * x).topk(2, largest=sign > 0).indices
        return functional.one_hot(torch.tensor([0, 0, 1, 1])[indices], 2).float().sum((0, 1))

    for sign in (1.0, -1.0):  # the same elements are chosen: the largest of x
        grad = gradient(lambda x, sign=sign: votes(x, sign) * torch.tensor([0.0, 1.0]))
        assert (grad[:, 2:] > 0).all()
        assert (grad[:, :2] < 0).all()
