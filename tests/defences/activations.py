"""Networks with activations, or a map of the input, that shatter the gradient."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from defences.defence import cnn
from defences.fitting import fit, seeded


class KWinners(nn.Module):
    """The k largest activations of each example are kept, all others are zero (Xiao et al., 2020)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, h: Tensor) -> Tensor:
        kept = max(1, round(self.share * h.shape[1]))
        return torch.where(h >= h.topk(kept, 1).values[:, -1:], h, torch.zeros_like(h))


def _winners_network() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 200), KWinners(0.15), nn.Linear(200, 200), KWinners(0.15), nn.Linear(200, 10)
    )


@functools.cache
def _k_winners() -> nn.Module:
    return fit(seeded(_winners_network), epochs=4, rate=4e-3)


def k_winners() -> nn.Module:
    """A copy of the trained network with k-winners-take-all."""
    return copy.deepcopy(_k_winners())


class SineShattered(nn.Module):
    """A fine sine is added to the input: the gradient changes its sign a few hundred times per unit."""

    def __init__(self, amplitude: float = 0.02, frequency: float = 2000.0) -> None:
        super().__init__()
        self.amplitude, self.frequency = amplitude, frequency
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + self.amplitude * torch.sin(self.frequency * x))


def sine_in_a_hook() -> nn.Module:
    """A forward pre-hook of the second linear layer adds a fine sine to its features."""
    net = cnn()
    net.linear2.register_forward_pre_hook(_ripple)
    return net


def _ripple(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (inputs[0] + 0.05 * torch.sin(3000 * inputs[0]),)


class RoundedFeatures(nn.Module):
    """Features between two layers are rounded coarsely (in the spirit of Rakin et al., 2018)."""

    def __init__(self) -> None:
        super().__init__()
        net = cnn()
        self.front = nn.Sequential(net.conv1, nn.ReLU(), net.conv2, nn.ReLU(), nn.Flatten())
        self.back = nn.Sequential(net.linear1, nn.ReLU(), net.linear2)

    def forward(self, x: Tensor) -> Tensor:
        return self.back(torch.floor(4 * self.front(x)) / 4)
