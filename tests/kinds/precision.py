"""Networks and inputs of every floating-point type, and of several at once.

Searches run in float64 if the inputs or the network are float64, else in float32; half networks compute in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinds.network import CLASSES, Convolutional, Kind, perceptron, small

PRECISION = Kind("dtypes")
HALF = "float16 has 11 bits: 2^-11 an operation, and its own rounding of the input"
BFLOAT = "bfloat16 has 8 bits: 2^-8 an operation, and its own rounding of the input"


@PRECISION.add(search=torch.float64, picture="1", tolerance=1e-12, gradient_tolerance=1e-11, reason="float64")
def float64_network() -> nn.Module:
    return small().double()


@PRECISION.add(given=torch.float64, search=torch.float64, picture="1")
def float64_inputs() -> nn.Module:
    return small()


@PRECISION.add(picture="1")
def float16_network() -> nn.Module:
    return small().half()


@PRECISION.add(picture="1")
def bfloat16_network() -> nn.Module:
    return small().bfloat16()


@PRECISION.add(given=torch.bfloat16, picture="1")
def bfloat16_inputs() -> nn.Module:
    return small()


@PRECISION.add(given=torch.float16, picture="1")
def float16_inputs_and_network() -> nn.Module:
    return small().half()


@PRECISION.add(given=torch.float64, search=torch.float64, picture="1")
def float64_inputs_of_a_bfloat16_network() -> nn.Module:
    return small().bfloat16()


class Cast(nn.Module):
    """Converts to one dtype, and to float64 where the plain network runs in it."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x if x.dtype == torch.float64 else x.to(self.dtype)


@PRECISION.add(tolerance=0.01, gradient_tolerance=0.05, search_tolerance=0.02, reason=HALF, picture="1")
def half_body_and_full_head() -> nn.Module:
    """Converts by itself, so that it cannot be computed in float32 throughout."""
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()).half()
    return nn.Sequential(Cast(torch.float16), *body, Cast(torch.float32), nn.Linear(288, CLASSES))


@PRECISION.add(tolerance=0.03, gradient_tolerance=0.1, search_tolerance=0.05, reason=BFLOAT, picture="0")
def full_body_and_bfloat16_head() -> nn.Module:
    head = nn.Linear(288, CLASSES).bfloat16()
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), Cast(torch.bfloat16), head)


@PRECISION.add(picture="bn")
class HalfTableFirst(Convolutional):
    """The first parameter is float16, and the rest takes float32."""

    def __init__(self) -> None:
        super().__init__()
        parts = dict(self.named_children())
        for name in parts:
            delattr(self, name)
        self.table = nn.Parameter(torch.rand(3, 8, 8).half())
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.table.to(x.dtype))


@PRECISION.add(picture="bn")
class IntegersFirst(Convolutional):
    """The first parameter holds whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.order = nn.Parameter(torch.tensor([2, 0, 1]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, self.order])


@PRECISION.add()
class WeightsOfEightBits(nn.Module):
    """Weights are stored as whole numbers with a scale; the derivative by the input exists."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron()
        self.register_buffer("stored", torch.randint(-127, 128, (192, 192), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(torch.sigmoid(x.flatten(1) @ self.stored.to(x.dtype) / 500))


@PRECISION.add(picture="bn")
class DoubleInside(Convolutional):
    """Computes in float64 from its first line to its last but one."""

    def read(self, h: Tensor) -> Tensor:
        h = h.double().mean((2, 3))
        return (h @ self.head.weight.double().T + self.head.bias.double()).to(self.head.weight.dtype)


@PRECISION.add(picture="bn", search=torch.float32)
class FloatLogitsOfADoubleHead(Convolutional):
    """A float32 network whose logits are float64."""

    def read(self, h: Tensor) -> Tensor:
        return super().read(h).double()
