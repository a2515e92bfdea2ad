"""Networks that answer at random: two forwards of one input differ."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinds.network import CLASSES, Convolutional, Kind, small

STOCHASTIC = Kind("answers at random")


@STOCHASTIC.add(random=True)
class DropoutKeptActive(Convolutional):
    """`eval()` keeps the dropout in training mode, as Monte Carlo dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.drop.training = True
        return self

    def read(self, h: Tensor) -> Tensor:
        return super().read(self.drop(h))


@STOCHASTIC.add(random=True)
class DropoutByAFunction(Convolutional):
    def read(self, h: Tensor) -> Tensor:
        return self.head(functional.dropout(h.mean((2, 3)), 0.5, training=True))


@STOCHASTIC.add(random=True)
class NoiseOnTheInput(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.3 * torch.randn_like(x))


@STOCHASTIC.add(random=True)
class NoiseFromItsOwnGenerator(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self.generator)
        return super().forward(x + 0.3 * noise.to(x))


@STOCHASTIC.add(random=True)
class NoiseFromNumpy(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.3 * torch.from_numpy(np.random.standard_normal(tuple(x.shape))).to(x))


@STOCHASTIC.add(random=True)
class MemberOfAnEnsembleDrawn(nn.Module):
    """One member answers the whole batch, drawn once a call."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.members[int(torch.randint(3, ()))](x)


@STOCHASTIC.add(random=True)
class MemberDrawnByPython(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return random.choice(self.members)(x)


@STOCHASTIC.add(random=True)
class ResizedAndPadded(Convolutional):
    """Random resizing and padding (Xie et al., 2018), one size a call."""

    def forward(self, x: Tensor) -> Tensor:
        side = int(torch.randint(5, 9, ()))
        left, top = (int(torch.randint(0, 9 - side, ())) for _ in range(2))
        x = functional.interpolate(x, (side, side))
        return super().forward(functional.pad(x, (left, 8 - side - left, top, 8 - side - top)))


@STOCHASTIC.add(random=True)
class BlocksLeftOut(Convolutional):
    """Stochastic depth that is not switched off: each example by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Conv2d(8, 8, 3, padding=1)

    def read(self, h: Tensor) -> Tensor:
        kept = torch.rand(len(h), 1, 1, 1) < 0.5
        return super().read(h + 4 * kept.to(h) * torch.tanh(self.block(h)))


@STOCHASTIC.add(random=True, layers=False)
def noise_in_a_function() -> Any:
    net = small().eval()
    return lambda x: net.to(x.dtype)(x + 0.3 * torch.rand_like(x))
