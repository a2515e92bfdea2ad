"""Modules that are reached in two ways, and weights that are read twice: what is folded for one reader is wrong for the
other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinds.network import CLASSES, Convolutional, Kind

SHARING = Kind("shared modules and weights")


@SHARING.add(picture="features.1")
class ConvolutionUnderTwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.features = nn.Sequential(self.conv1, nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


@SHARING.add(picture="bn")
class BatchNormUnderTwoNames(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.hooked = self.bn

    def forward(self, x: Tensor) -> Tensor:
        return self.read(torch.relu(self.hooked(self.conv(x))))


@SHARING.add(picture="conv")
class ConvolutionCalledTwice(Convolutional):
    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.conv(torch.relu(self.bn(self.conv(x)))))


@SHARING.add(picture="bn")
class BatchNormCalledTwice(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.bn(self.second(torch.relu(self.bn(self.conv(x))))))


@SHARING.add(picture="conv")
class ConvolutionReadTwice(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.read(torch.relu(self.bn(h)) + 0.5 * h)


@SHARING.add(picture="conv")
class ConvolutionBeforeTwoBatchNorms(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(torch.relu(self.bn(self.conv(x))) - torch.relu(self.other(self.conv(1 - x))))


@SHARING.add(picture="bn")
class TiedTransposedConvolution(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.bn(self.conv(x)))
        return self.read(functional.conv_transpose2d(h, self.conv.weight))


@SHARING.add()
class TiedLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.bn, self.head = nn.Linear(192, 8), nn.BatchNorm1d(8), nn.Linear(192, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.bn(self.encode(x.flatten(1))))
        return self.head(functional.linear(h, self.encode.weight.t()))


@SHARING.add(picture="bn")
class OneWeightInTwoConvolutions(Convolutional):
    def __init__(self) -> None:
        super().__init__(3)
        self.second = nn.Conv2d(3, 3, 3)
        self.second.weight = self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.second(torch.relu(self.bn(self.conv(x)))))


@SHARING.add(picture="bn")
class OneBiasInTwoConvolutions(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(8, 8, 3)
        self.second.bias = self.conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.second(torch.relu(self.bn(self.conv(x)))))


@SHARING.add(picture="0")
def block_in_two_places() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
    return nn.Sequential(block, nn.Upsample(scale_factor=2), block, nn.Flatten(), nn.Linear(768, CLASSES))


@SHARING.add(picture="bn")
class WeightReadForAScale(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / self.conv.weight.square().mean().sqrt()


@SHARING.add(picture="conv")
class StatisticsReadAgain(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.bn(self.conv(x)))
        return self.read(h * self.bn.running_var[:, None, None] + self.bn.running_mean[:, None, None])


@SHARING.add(picture="conv")
class BatchNormAsAFunction(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        bn = self.bn
        h = functional.batch_norm(self.conv(x), bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        return self.read(torch.relu(h))


@SHARING.add(picture="bn")
class ConvolutionAsAFunction(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return self.read(torch.relu(self.bn(functional.conv2d(x, self.conv.weight, self.conv.bias))))


@SHARING.add(picture="bn")
class ForwardsCalledPastTheModules(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return self.read(torch.relu(self.bn(self.conv.forward(x))))


@SHARING.add(picture="bn")
class ViewOfAWeightKept(Convolutional):
    """A plain tensor that shares the memory of a weight, so that writing to the weight changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.conv.weight.detach()[:CLASSES]

    def forward(self, x: Tensor) -> Tensor:
        edges = functional.conv2d(x, self.first.to(x.dtype))
        return super().forward(x) + torch.tanh(edges).mean((2, 3))
