"""Networks whose logits are scaled or saturated so that losses or gradients vanish in floating point."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from defences.defence import cnn, mlp
from defences.fitting import digits, fit, seeded
from inputopt import MLP, Frozen


class Scaled(nn.Module):
    """Logits times a factor."""

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.factor


def small_logits() -> nn.Module:
    return Scaled(cnn(), 1 / 1000)


def large_logits() -> nn.Module:
    """The last layer's weights themselves are a thousand times as large."""
    net = cnn()
    with torch.no_grad():
        net.linear2.weight *= 1000
        net.linear2.bias *= 1000
    return net


def denormal_logits() -> nn.Module:
    """Logits near 1e-39: below the smallest normal number of float32, with few bits left."""
    return Scaled(cnn(), 1e-40)


class HalfPrecision(nn.Module):
    """Probabilities are rounded to float16, where most underflow to zero."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(4 * self.net(x), 1).half().float()


TEMPERATURE = 40.0


@functools.cache
def _distilled() -> nn.Module:
    """Trained at a high temperature on a teacher's soft labels, and used at temperature 1."""
    with torch.no_grad():
        labels = torch.softmax(cnn()(digits().x).double(), 1)  # those of a teacher trained at the same temperature
    student = MLP([784, 64, 10], activation="relu", output="identity")
    with torch.no_grad():
        student.weights[1].mul_(TEMPERATURE)
    return fit(student, labels, lambda z, soft: functional.cross_entropy(z / TEMPERATURE, soft))


def distilled() -> nn.Module:
    """Defensive distillation (Papernot et al., 2016)."""
    return copy.deepcopy(_distilled())


class SaturatingNetwork(nn.Module):
    """Hidden units are pushed into the flat parts of their activation (Nayebi and Ganguli, 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 100)
        self.out = nn.Linear(100, 10)
        self.slope = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.clamp(self.slope * self.hidden(x.flatten(1)), 0, 1))


@functools.cache
def _saturating() -> nn.Module:
    net = seeded(SaturatingNetwork)
    assert isinstance(net, SaturatingNetwork)

    def steepen(epoch: int) -> None:
        net.slope = 1.0 + 3.0 * epoch

    return fit(net, epochs=6, each_epoch=steepen)


def saturating() -> nn.Module:
    """A bounded rectifier with a steep slope: its derivative is zero at nearly every unit."""
    return copy.deepcopy(_saturating())


class OutputCode(nn.Module):
    """Error-correcting output code (Verma and Swami, 2019): 20 bits by steep tanh, and their correlation with codes."""

    def __init__(self, bits: int = 20) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("codes", torch.randint(0, 2, (10, bits), generator=generator) * 2.0 - 1)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, bits))
        self.steepness = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.steepness * self.features(x)) @ self.get_buffer("codes").to(x.dtype).T


@functools.cache
def _output_code() -> nn.Module:
    net = fit(seeded(OutputCode), epochs=6)
    assert isinstance(net, OutputCode)
    net.steepness = 10.0
    return net


def output_code() -> nn.Module:
    """A copy of the network trained with the code, its bits made nearly hard."""
    return copy.deepcopy(_output_code())


def softmax_callable() -> Frozen:
    """A partial of a function: probabilities of a sharpened network, rounded to six digits as a web service does."""
    return Frozen(functools.partial(_served, mlp().eval(), 5.0))


def _served(net: nn.Module, sharpness: float, x: Tensor) -> Tensor:
    return torch.softmax(sharpness * net(x), 1).mul(1e6).round().div(1e6)
