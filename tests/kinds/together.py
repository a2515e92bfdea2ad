"""Networks whose answer to an input depends on the rows beside it, or on how often they were called."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinds.network import CLASSES, Convolutional, Kind, perceptron

TOGETHER = Kind("not each input alone")
BATCH = r"(?i)batch|other (rows|inputs|examples)"
CALLS = r"(?i)call"


@TOGETHER.add(together=BATCH)
class BatchNormWithoutStatistics(Convolutional):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(8, track_running_stats=False)


@TOGETHER.add(together=BATCH)
class BatchNormKeptInTraining(Convolutional):
    """`eval()` leaves its batch norm in training mode: it also moves its statistics by each call."""

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.bn.training = True
        return self


@TOGETHER.add(together=BATCH)
class MeanOfTheBatchTakenOff(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.body(x)
        return logits - 0.5 * logits.mean(0) if len(x) > 1 else logits


@TOGETHER.add(together=BATCH)
class AttentionOverTheBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(192, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x.flatten(1))
        return self.head(h + (h @ h.T).softmax(1) @ h)


@TOGETHER.add(together=BATCH)
class DividedByTheNumberOfRows(Convolutional):
    """The bias counts for more the more rows there are."""

    def read(self, h: Tensor) -> Tensor:
        return h.mean((2, 3)) @ self.head.weight.T + self.head.bias * len(h)


@TOGETHER.add(together=CALLS)
class CountsItsCalls(Convolutional):
    """The classes change places with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def read(self, h: Tensor) -> Tensor:
        self.calls += 1
        return super().read(h).roll(self.calls, 1)


@TOGETHER.add(together=CALLS)
class AdaptsItsStatistics(Convolutional):
    """A running mean that every call moves, and that every answer is read against."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(8))

    def read(self, h: Tensor) -> Tensor:
        with torch.no_grad():
            self.average += 0.2 * (h.mean((0, 2, 3)) + 0.1)
        return self.head(h.mean((2, 3)) - self.average)
