"""Networks whose answer depends on earlier calls or on the other inputs of the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from defences.defence import cnn
from defences.fitting import digits


class InputCounter(nn.Module):
    """A counter of inputs, kept in a buffer, decides by how many pixels the image is shifted."""

    offsets = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1))

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        numbers = self.seen + torch.arange(len(x))
        self.seen += len(x)
        shifted = torch.stack([torch.roll(x, offset, (2, 3)) for offset in self.offsets])
        return self.net(shifted[numbers % len(self.offsets), torch.arange(len(x))])


class MovingMean(nn.Module):
    """The running mean of all images seen so far is subtracted, and each forward moves it."""

    def __init__(self, momentum: float = 0.1) -> None:
        super().__init__()
        mean = digits().x.mean(0)
        self.momentum = momentum
        self.register_buffer("reference", mean)
        self.register_buffer("running", mean.clone())
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.running.lerp_(x.mean(0), self.momentum)
        return self.net(x - self.running + self.reference)


class BatchStatistics(nn.Module):
    """Batch normalisation that stays in training mode: each channel is normalised over the batch that it comes in.

    Its affine weights restore each channel's mean and deviation on the training digits, so that nothing was retrained.
    """

    def __init__(self) -> None:
        super().__init__()
        net = cnn()
        self.conv1, self.conv2, self.linear1, self.linear2 = net.conv1, net.conv2, net.linear1, net.linear2
        first = self.conv1(digits().x[::8])
        self.norm1 = _restoring(first)
        self.norm2 = _restoring(self.conv2(first.relu()))

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.norm1.train()
        self.norm2.train()
        return self

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.norm1(self.conv1(x)))
        h = functional.relu(self.norm2(self.conv2(h)))
        return self.linear2(functional.relu(self.linear1(h.flatten(1))))


def _restoring(h: Tensor) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(h.shape[1])
    with torch.no_grad():
        norm.weight.copy_(h.std((0, 2, 3)))
        norm.bias.copy_(h.mean((0, 2, 3)))
    return norm


class Whitened(nn.Module):
    """Contrast is normalised over the whole batch, by a helper that the parent calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([cnn()])

    def stretch(self, x: Tensor) -> Tensor:
        return x * 0.31 / x.std().clamp_min(1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](self.stretch(x))
