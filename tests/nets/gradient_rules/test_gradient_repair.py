"""Repaired gradients: the model's predictions, with the gradient behind what blocks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import inputopt
from inputopt.nets.gradient_rules.gradient_repair import ENTRIES, EVERY_TAP, GradientRepair, repaired

ONE_TAP = GradientRepair(input_tap=ENTRIES)
X = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = 4


def classifier() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, CLASSES)).double()


class Wrapped(nn.Module):
    """A classifier behind a function of the input and before a function of its logits."""

    def __init__(self, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = classifier(), before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.round(16 * x.detach().numpy()) / 16)


def row_by_row(x: Tensor) -> Tensor:
    image = x.detach().clone()
    for each in image:
        each[:, 0, 0] = each[:, 0, 1]
    return image


@torch.no_grad()
def scaled(x: Tensor) -> Tensor:
    return 0.5 * x


class Backwards(torch.autograd.Function):
    """Identity with the negative gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return -grad


def gradients(model: nn.Module, repair: GradientRepair, x: Tensor = X) -> tuple[Tensor, Tensor]:
    """Outputs, and the gradient of those of class 1."""
    net = inputopt.Frozen(model)
    net(x)
    variable = x.clone().requires_grad_()
    outputs = repaired(net.runner, repair)(variable)
    return outputs.detach(), torch.autograd.grad(outputs[:, 1].sum(), variable)[0]


def gradient_at(x: Tensor) -> Tensor:
    variable = x.detach().clone().requires_grad_()
    return torch.autograd.grad(classifier()(variable)[:, 1].sum(), variable)[0]


@pytest.mark.parametrize("before", [through_numpy, row_by_row, scaled])
@pytest.mark.parametrize("rows", [1, 5])
def test_the_gradient_behind_preprocessing_is_that_at_its_result(before, rows):
    outputs, grad = gradients(Wrapped(before), ONE_TAP, X[:rows])
    assert torch.allclose(outputs, Wrapped(before)(X[:rows]), atol=1e-12)
    assert torch.allclose(grad, gradient_at(before(X[:rows])), atol=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_every_tap_needs_no_weights_behind_it():
    scripted = torch.jit.trace(classifier().eval(), X, check_trace=False)

    def model(x: Tensor) -> Tensor:
        return scripted(2 * torch.round(x) - torch.round(x))

    _, grad = gradients(model, replace(ONE_TAP, input_tap=EVERY_TAP))
    assert torch.allclose(grad, gradient_at(torch.round(X)), atol=1e-12)


def test_a_custom_backward_is_bypassed_at_the_input_and_inside():
    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = classifier()

        def forward(self, x):
            return self.net[3](self.net[2](self.net[1](Backwards.apply(self.net[0](x)))))

    for model in (Wrapped(Backwards.apply), Inside()):
        _, wrong = gradients(model, GradientRepair())
        _, grad = gradients(model, GradientRepair(bypass=True))
        assert torch.allclose(wrong, -gradient_at(X), atol=1e-12)
        assert torch.allclose(grad, gradient_at(X), atol=1e-12)


def test_inner_logits_are_taken_with_the_argmax_of_the_model():
    flat = Wrapped(after=lambda z: torch.softmax(-1e4 * z, 1))  # tap 0 is the input of its linear layer
    outputs, grad = gradients(flat, GradientRepair(output_taps=(1,)))
    assert torch.equal(outputs.argmax(1), flat(X).argmax(1))
    assert torch.allclose(grad, gradient_at(X), atol=1e-12)


def test_an_input_alone_does_not_depend_on_the_batch():
    model = Wrapped(before=lambda x: x - x.mean((0,), keepdim=True))
    outputs, grad = gradients(model, GradientRepair(alone=True))
    assert torch.allclose(outputs, torch.cat([model(row) for row in X.split(1)]))
    assert float(grad.abs().max()) < 1e-12
    assert float(gradients(model, GradientRepair())[1].abs().max()) > 1e-3


def test_the_model_is_unchanged():
    model = Wrapped(Backwards.apply)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    gradients(model, GradientRepair(straight_through=True, leak=True, bypass=True, input_tap=ENTRIES))
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    variable = X.clone().requires_grad_()
    assert torch.allclose(torch.autograd.grad(model(variable)[:, 1].sum(), variable)[0], -gradient_at(X), atol=1e-12)
