"""Models whose `train()` and `eval()` are not what one expects, and forwards that ask for the mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kinds.network import Convolutional, Kind

MODES = Kind("training and evaluation modes")


@MODES.add(picture="bn")
class TrainReturnsNone(Convolutional):
    """Keeps its batch norms frozen, and forgets to return itself; `eval()` returns None as well."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.bn.training = False


@MODES.add(picture="bn")
class EvalReturnsNone(Convolutional):
    def eval(self) -> Any:
        super().train(False)


@MODES.add(picture="bn")
class EvalKeepsAPartInTraining(Convolutional):
    """`eval()` is overridden and means it: this part of the network answers in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.gate.training = True
        return self

    def read(self, h: Tensor) -> Tensor:
        return super().read(self.gate(h))


class Gate(nn.Module):
    """Does something else in training mode."""

    def forward(self, h: Tensor) -> Tensor:
        return torch.sin(3 * h) if self.training else h


@MODES.add(picture="bn")
class ForwardRefusesTraining(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.bn.training:
            raise RuntimeError("Call eval() first.")
        return super().forward(x)


@MODES.add(picture="bn")
class TrainingHeadIsAnother(Convolutional):
    """As a detector: in training mode it returns losses and needs targets."""

    def forward(self, x: Tensor, targets: Tensor | None = None) -> Any:
        logits = super().forward(x)
        if self.training:
            if targets is None:
                raise ValueError("targets should not be none in training mode")
            return {"loss": nn.functional.cross_entropy(logits, targets)}
        return logits


@MODES.add(picture="bn")
class BatchNormHeldInEvaluation(Convolutional):
    """The user's modes are mixed, and stay so."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.bn.eval()
        self.conv.requires_grad_(False)

    def read(self, h: Tensor) -> Tensor:
        return super().read(self.drop(h))


@MODES.add(picture="bn")
class EvaluatesItself(Convolutional):
    def forward(self, x: Tensor) -> Tensor:
        self.eval()
        return super().forward(x)
