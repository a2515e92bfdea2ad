"""Weights that are computed, kept or shaped otherwise than a parameter of a plain module."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from kinds.network import CLASSES, Convolutional, Kind, small

WEIGHTS = Kind("weights that are made")


@WEIGHTS.add(picture="1")
def spectral_norm() -> nn.Module:
    net = small()
    net[0] = parametrizations.spectral_norm(net[0])
    return net


@WEIGHTS.add(picture="1")
def weight_norm() -> nn.Module:
    net = small()
    net[0] = parametrizations.weight_norm(net[0])
    return net


@WEIGHTS.add(picture="1")
def orthogonal() -> nn.Module:
    net = small()
    net[0] = parametrizations.orthogonal(net[0])
    return net


@WEIGHTS.add(picture="1")
def parametrised_batch_norm() -> nn.Module:
    class Positive(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return functional.softplus(weight)

    net = small()
    parametrize.register_parametrization(net[1], "weight", Positive())
    return net


@WEIGHTS.add(picture="1")
def weight_norm_by_hooks() -> nn.Module:
    """The older `weight_norm`, whose weight is no leaf, so that `deepcopy` refuses it."""
    return hooked(torch.nn.utils.weight_norm)


@WEIGHTS.add(picture="1")
def spectral_norm_by_hooks() -> nn.Module:
    return hooked(torch.nn.utils.spectral_norm)


def hooked(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Older norms of weights, which torch warns of."""
    net = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        norm(net[0])
    return net


@WEIGHTS.add(picture="1")
def pruned() -> nn.Module:
    net = small()
    prune.random_unstructured(net[0], "weight", amount=0.5)
    return net


@WEIGHTS.add(picture="1")
def standardised_convolution() -> nn.Module:
    """A subclass of `Conv2d` whose forward standardises the weights first."""

    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return functional.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias)

    net = small()
    net[0] = Standardised(3, 8, 3)
    return net


@WEIGHTS.add(picture="1")
def batch_norm_of_its_own() -> nn.Module:
    """A subclass of `BatchNorm2d` whose forward does more."""

    class Gated(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(super().forward(x)) * x

    net = small()
    net[1] = Gated(8)
    return net


@WEIGHTS.add(picture="1")
def lazy_modules() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a lazy module says that it may change
        net = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
    net(torch.rand(2, 3, 8, 8))
    return net


@WEIGHTS.add(refused=r"(?i)lazy|initiali[sz]ed|not yet|first forward")
def lazy_modules_that_never_ran() -> nn.Module:
    """There are no weights yet: whatever a copy of it drew would be another network than the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))


@WEIGHTS.add(layers=False)
class WeightsAsPlainTensors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.randn(12, 192), torch.randn(CLASSES, 12)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.first.T.to(x.dtype) / 10) @ self.second.T.to(x.dtype)


@WEIGHTS.add(picture="bn")
class WeightsMadeOfTheInput(Convolutional):
    """A convolution by kernels that another layer makes for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Linear(3, 8 * 3 * 9)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel(x.mean((2, 3))).reshape(-1, 3, 3, 3)
        made = functional.conv2d(x.reshape(1, -1, 8, 8), kernel, groups=len(x)).reshape(len(x), 8, 6, 6)
        return self.read(torch.relu(self.bn(made) + self.bn(self.conv(x))))


@WEIGHTS.add()
class LowRankUpdate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.head = nn.Linear(192, 12).requires_grad_(False), nn.Linear(12, CLASSES)
        self.down, self.up = nn.Parameter(torch.randn(2, 192) / 14), nn.Parameter(torch.randn(12, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.head(torch.relu(self.frozen(x) + x @ self.down.T @ self.up.T))


@WEIGHTS.add(layers=False)
class WeightsInAParameterList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.randn(12, 192) / 10, torch.randn(CLASSES, 12)])
        self.biases = nn.ParameterDict({"first": torch.randn(12)})

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x.flatten(1) @ self.weights[0].T + self.biases["first"]) @ self.weights[1].T
