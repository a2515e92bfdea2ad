"""Ranges of inputs other than [0, 1], and normalisation inside `Frozen`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinds.network import CLASSES, Convolutional, Kind, attended, small

RANGES = Kind("ranges of inputs")
INFINITE = float("inf")


class Scaled(nn.Module):
    """`small` of inputs in another unit."""

    def __init__(self, middle: float, half: float) -> None:
        super().__init__()
        self.middle, self.half, self.body = middle, half, small()

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x - self.middle) / (2 * self.half) + 0.5)


@RANGES.add(bounds=(-1.0, 1.0), picture="body.1")
def minus_one_to_one() -> nn.Module:
    return Scaled(0, 1)


@RANGES.add(bounds=(0, 255), picture="body.1")
def bytes_as_numbers() -> nn.Module:
    return Scaled(127.5, 127.5)


@RANGES.add(bounds=(-0.001, 0.001), picture="body.1")
def tiny_range() -> nn.Module:
    return Scaled(0, 0.001)


@RANGES.add(
    bounds=(torch.tensor([-2.1, -2.0, -1.8])[:, None, None], torch.tensor([2.2, 2.4, 2.6])[:, None, None]),
    picture="1",
)
def bounds_for_each_channel() -> nn.Module:
    return small()


@RANGES.add(shape=(12,), bounds=(-torch.arange(1.0, 13), 10 * torch.arange(1.0, 13)))
def bounds_for_each_feature() -> nn.Module:
    """A table whose columns have units of their own."""
    return nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, CLASSES))


@RANGES.add(bounds=(torch.zeros(3, 8, 8), torch.linspace(0.5, 1, 192).reshape(3, 8, 8)), picture="1")
def bounds_for_each_number() -> nn.Module:
    return small()


@RANGES.add(shape=(5, 8), bounds=(-INFINITE, INFINITE))
class EmbeddingsWithoutBounds(nn.Module):
    """Token embeddings [B, N, C], which may be any numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.mix(attended(x))).mean(1))


@RANGES.add(shape=(12,), bounds=(0.0, INFINITE))
def bounded_on_one_side() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, CLASSES))


@RANGES.add(
    shape=(4,),
    bounds=(torch.tensor([0, 0, -INFINITE, -INFINITE]), torch.tensor([1, INFINITE, 1, INFINITE])),
)
def bounded_here_and_there() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, CLASSES))


@RANGES.add(mean=0.4, std=0.25, picture="conv")
def normalised_by_numbers() -> nn.Module:
    return Convolutional()


@RANGES.add(mean=[0.48, 0.45, 0.4], std=[0.2, 0.25, 0.3], picture="conv")
def normalised_by_channels() -> nn.Module:
    return Convolutional()


@RANGES.add(bounds=(0, 255), mean=[120.0, 110.0, 100.0], std=[60.0, 58.0, 57.0], picture="conv")
def bytes_normalised_by_channels() -> nn.Module:
    return Convolutional()
