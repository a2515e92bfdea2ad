"""Hooks of the user's own: part of what the network answers, and never to be called with anything but real inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kinds.network import Convolutional, Kind

HOOKED = Kind("hooks of the user's own")


@HOOKED.add(picture="bn")
def hook_that_changes_an_output() -> nn.Module:
    net = Convolutional()
    net.bn.register_forward_hook(lambda module, given, out: out + 0.3 * out.cos())
    return net


@HOOKED.add(picture="bn")
def hook_between_convolution_and_batch_norm() -> nn.Module:
    net = Convolutional()
    net.conv.register_forward_hook(lambda module, given, out: torch.sinh(out))
    return net


@HOOKED.add(picture="bn")
def hook_that_changes_an_input() -> nn.Module:
    net = Convolutional()
    net.bn.register_forward_pre_hook(lambda module, given: (given[0] * 1.5 - 0.2,))
    return net


@HOOKED.add(picture="bn")
def hook_on_the_whole_that_normalises() -> nn.Module:
    net = Convolutional()
    net.register_forward_pre_hook(lambda module, given: ((given[0] - 0.5) / 0.25,))
    return net


@HOOKED.add(picture="bn")
def hook_that_takes_real_tensors_only() -> nn.Module:
    """It converts, prints and branches, as no proxy of a tracer can."""

    def look(module: nn.Module, given: Any, out: Any) -> None:
        assert type(out) is Tensor
        assert type(given[0]) is Tensor
        if float(out.detach().double().sum().numpy()) == 0.123:
            raise AssertionError

    net = Convolutional()
    for module in net.modules():
        module.register_forward_hook(look)
    return net


@HOOKED.add(picture="conv")
def hook_that_reads_the_input_of_a_batch_norm() -> nn.Module:
    """What the batch norm is given adds to the answer, so that it must be what the convolution alone puts out."""
    net, seen = Convolutional(), []
    net.bn.register_forward_hook(lambda module, given, out: out + torch.tanh(given[0]))
    net.conv.register_forward_hook(lambda module, given, out: seen.append(out.shape))
    return net


@HOOKED.add(picture="bn")
def hook_on_a_derivative() -> nn.Module:
    """Relu'(x) as guided backpropagation has it: only positive derivatives pass."""

    class Guided(Convolutional):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.relu.register_full_backward_hook(lambda module, given, out: (given[0].clamp_min(0),))

        def forward(self, x: Tensor) -> Tensor:
            return self.read(self.relu(self.bn(self.conv(x))))

    return Guided()


@HOOKED.add(picture="bn")
def hook_with_keywords() -> nn.Module:
    class Keyed(Convolutional):
        def forward(self, x: Tensor) -> Tensor:
            return self.read(torch.relu(self.bn(input=self.conv(input=x))))

    net = Keyed()
    net.bn.register_forward_hook(lambda module, given, keys, out: out * keys["input"].sigmoid(), with_kwargs=True)
    return net
