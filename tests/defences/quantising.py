"""Defences that quantise the input: it has no derivative, or one that is zero almost everywhere."""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from defences.defence import cnn
from defences.fitting import digits, fit, seeded
from inputopt.nets.cnn import DigitsCNN


class Round(nn.Module):
    """Round to `levels` values."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x * (self.levels - 1)) / (self.levels - 1)


def rounded_input() -> nn.Module:
    """Bit-depth reduction (Xu et al., 2018) as a layer in front."""
    return nn.Sequential(Round(8), cnn())


class IntegerInput(nn.Module):
    """A network that wants bytes, as image files hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        image = (x * 255).to(torch.uint8)
        return self.net(image.float() / 255)


class Thermometer(nn.Module):
    """Thermometer code (Buckman et al., 2018): channel k of a pixel is 1 where the pixel exceeds k / levels."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.register_buffer("thresholds", torch.arange(levels) / levels)

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.get_buffer("thresholds")[:, None, None]).to(x.dtype)


class ThermometerNetwork(nn.Module):
    """A small convolutional network trained on the thermometer code."""

    def __init__(self, levels: int = 6) -> None:
        super().__init__()
        self.encode = Thermometer(levels)
        self.classify = DigitsCNN(width=6, hidden=50)
        self.classify.conv1 = nn.Conv2d(levels, 6, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.encode(x))


@functools.cache
def _thermometer() -> nn.Module:
    return fit(seeded(ThermometerNetwork), epochs=3, rate=4e-3)


def thermometer() -> nn.Module:
    """A copy of the trained network with the thermometer code."""
    return copy.deepcopy(_thermometer())


class Codebook(nn.Module):
    """Pixels replaced by the nearest entry of a table that k-means (Lloyd, 1982) learned from the training digits."""

    def __init__(self, entries: int = 6) -> None:
        super().__init__()
        pixels = digits().x[::40].flatten()
        table = torch.linspace(0, 1, entries)
        for _ in range(10):
            nearest = torch.bucketize(pixels, (table[1:] + table[:-1]) / 2)
            table = torch.zeros(entries).index_add(0, nearest, pixels) / torch.bincount(nearest, minlength=entries)
        self.table = nn.Embedding.from_pretrained(table[:, None])

    def forward(self, x: Tensor) -> Tensor:
        entries = self.table.weight[:, 0]
        return self.table(torch.bucketize(x.contiguous(), (entries[1:] + entries[:-1]) / 2)).squeeze(-1)


def learned_table() -> nn.Module:
    """The table in front of a network whose own layers are in a list."""
    net = cnn()
    return nn.Sequential(
        Codebook(), net.conv1, nn.ReLU(), net.conv2, nn.ReLU(), nn.Flatten(), net.linear1, nn.ReLU(), net.linear2
    )


class Chain(nn.Module):
    """Preprocessing in lists of lists, applied in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(
            {
                "prepare": nn.ModuleList(
                    [nn.ModuleList([nn.Identity(), Round(6)]), nn.ModuleList([nn.Hardtanh(0, 1)])]
                ),
                "classify": nn.ModuleList([cnn()]),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        for group in self.stages["prepare"]:
            for stage in group:
                x = stage(x)
        return self.stages["classify"][0](x)


class SignActivation(torch.autograd.Function):
    """Sign with a straight-through backward, which training needs (Hubara et al., 2016)."""

    @staticmethod
    def forward(ctx, h):
        ctx.save_for_backward(h)
        return torch.where(h > 0, 1.0, -1.0).to(h)

    @staticmethod
    def backward(ctx, grad):
        (h,) = ctx.saved_tensors
        return grad * (h.abs() < 1)


class BinarisedNetwork(nn.Module):
    """Hidden activations are +1 or -1; in evaluation `torch.sign` computes them, whose derivative is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 128)
        self.norm = nn.BatchNorm1d(128)
        self.out = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.hidden(x.flatten(1)))
        return self.out(SignActivation.apply(h) if self.training else torch.sign(h))


@functools.cache
def _binarised() -> nn.Module:
    return fit(seeded(BinarisedNetwork), epochs=6)


def binarised() -> nn.Module:
    """A copy of the trained network with binary activations."""
    return copy.deepcopy(_binarised())
