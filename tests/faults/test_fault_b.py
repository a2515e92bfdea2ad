"""Faults b: a captured layer is written to by the next line of the model, so that what comes back is not its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kinds.network import CLASSES
from torch import Tensor, nn

import inputopt


class Block(nn.Module):
    """A residual block: written as torchvision has it, or without writing to anything."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.writes = writes
        self.conv, self.bn = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=writes)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn(self.conv(x))
        if self.writes:
            out += x
            return self.relu(out)
        return self.relu(out + x)


class Scaled(Block):
    """Writes to a part of the layer, through a view, and then to all of it."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn(self.conv(x))
        if not self.writes:
            return torch.sigmoid(out * torch.tensor([3.0, 1.0, 3.0])[:, None, None]) + x
        out[:, ::2] *= 3
        return out.sigmoid_() + x


class Ignored(Block):
    """Uses the rectifier for what it does to its input."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn(self.conv(x))
        if not self.writes:
            return self.relu(out) * 2 + x
        self.relu(out)
        return out * 2 + x


class ToTheInput(Block):
    """Adds to what the block before has put out."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.tanh(self.bn(self.conv(2 * x)))
        if not self.writes:
            return x + out
        x += out
        return x


BLOCKS = [Block, Scaled, Ignored, ToTheInput]
every_block = pytest.mark.parametrize("block", BLOCKS)


def model(block: type[Block], writes: bool) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 3, 1)
    return nn.Sequential(first, block(writes), block(writes), nn.Flatten(), nn.Linear(3 * 144, CLASSES)).eval()


X = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
LAYERS = ["0", "1.conv", "1.bn", "1.relu", "1", "2.conv", "2.bn", "2"]


def called(net: nn.Module) -> list[str]:
    """Those of the layers that a forward calls."""
    seen, modules = [], dict(net.named_modules())
    hooks = [modules[layer].register_forward_hook(lambda *_, layer=layer: seen.append(layer)) for layer in LAYERS]
    net(X)
    for hook in hooks:
        hook.remove()
    return seen


@every_block
def test_captured_layers_are_what_the_modules_put_out_alone_and_together_first_and_last(block):
    """As of the same network that writes to nothing."""
    clean, net = inputopt.Frozen(model(block, False)), inputopt.Frozen(model(block, True))
    layers = called(model(block, True))
    with torch.no_grad():
        together, want = net.features(X, layers), clean.features(X, LAYERS[:1] + layers)
        for layer in layers:
            for found in (
                together[layer],
                net.features(X, [layer])[layer],
                net.features(X, [f"{layer}:last"])[f"{layer}:last"],
                net.features(X, [layer, "4"])[layer],
            ):
                # a rectifier in place shares its memory with its input, which is what it then puts out
                torch.testing.assert_close(found, want[layer], rtol=0, atol=1e-5)


@every_block
def test_derivatives_of_captured_layers_are_those_of_the_network_that_writes_to_nothing(block):
    clean, net = inputopt.Frozen(model(block, False)), inputopt.Frozen(model(block, True))
    slopes = []
    for each in (clean, net):
        x = X.clone().requires_grad_()
        found = each.features(x, ["1.bn", "2"])
        slopes.append(each.gradient(found["1.bn"].square().sum((1, 2, 3)) + found["2"].sum((1, 2, 3)), x))
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-5)


PICTURES: dict[str, Callable[[nn.Module], Any]] = {
    "dream": lambda net: inputopt.dream(net, X[0], {"1.bn": 1.0}, octaves=1, steps=4, jitter=0).x,
    "dream to the end": lambda net: inputopt.dream(net, X[0], {"1.bn": 1.0, "4": 0.0}, octaves=1, steps=4, jitter=0).x,
    "channel": lambda net: inputopt.visualize(net, inputopt.Channel("1.bn", 1), size=12, steps=4).x,
    "invert": lambda net: inputopt.invert(net, X[0], ["1.bn"], steps=4).x,
}


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("block", [Block, ToTheInput])
def test_pictures_are_those_of_the_network_that_writes_to_nothing(block, picture):
    clean, net = (PICTURES[picture](model(block, writes)) for writes in (False, True))
    torch.testing.assert_close(net, clean, rtol=0, atol=1e-3)


def test_a_layer_that_is_captured_beside_another_dreams_the_same():
    net = model(Block, True)
    alone, beside = (
        inputopt.dream(net, X[0], layers, octaves=1, steps=5, jitter=0).x
        for layers in ({"1.bn": 1.0}, {"1.bn": 1.0, "2": 0.0})
    )
    torch.testing.assert_close(alone, beside, rtol=0, atol=1e-4)


def test_what_was_captured_stays_as_it_is_when_the_network_is_asked_again():
    net = inputopt.Frozen(model(Block, True))
    with torch.no_grad():
        kept = net.features(X, ["1.bn", "2.bn"])
        before = {layer: value.clone() for layer, value in kept.items()}
        net.features(X.flip(0), ["1.bn", "2.bn"])
        net(1 - X)
    assert all(torch.equal(kept[layer], before[layer]) for layer in kept)
