"""Whether two ways to run a network say the same, as far as rounding lets them.

What is compared are outputs, and the derivative of a fixed combination of them by the input, each by the length of the
difference in parts of the length of the plain one (relative L2 norm).

How far two correct computations may be apart: each operation rounds by up to half of `eps`, relative to the number,
and errors of either sign add up like a random walk, with the root of the number of operations. `ROUNDING_STEPS` such
steps per operation are more than a sum of thousands of products makes (on residual networks of up to 50 convolutions a
tenth of the tolerance was measured). A derivative runs through the network twice and multiplies numbers that have
errors: `GRADIENT_FACTOR` times as much. Rectifiers and maxima near their kink may also switch. If units are spread
evenly, the share of units that near is about the relative difference of the outputs; each carries its part of the
derivative, and the parts of those that switch add up like the root of their share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.inference.observation import Observation

ROUNDING_STEPS = 16.0
"""Steps of one rounding error that an operation takes at most."""

GRADIENT_FACTOR = 4.0
"""Errors of a derivative, in those of the outputs."""

NONSMOOTH = (
    "relu",
    "threshold",
    "hardtanh",
    "clamp",
    "max",
    "min",
    "abs",
    "sign",
    "where",
    "sort",
    "topk",
    "hard",
    "elu",
)
"""In the names of operations whose derivative jumps."""


@dataclass(frozen=True)
class Tolerance:
    """How far apart, in relative L2 norm, outputs and derivatives of two right ways may be."""

    outputs: float
    gradient: float


@dataclass(frozen=True)
class Evaluation:
    """What a network said of a few inputs.

    Attributes:
        outputs: None for what was no one tensor.
        gradient: of a fixed combination of them by the input; None where there is none.
    """

    outputs: tuple[Tensor | None, ...]
    gradient: Tensor | None = None


def tolerance(observation: Observation, dtype: torch.dtype, device: torch.device) -> Tolerance:
    """What rounding explains in the forward observed, computed in that dtype; NaN and infinity it does not."""
    eps = torch.finfo(dtype).eps
    if dtype == torch.float32 and device.type == "cuda":
        eps = 2**-10  # its convolutions round their factors to TensorFloat-32 unless they are told not to
    outputs = min(0.5, ROUNDING_STEPS * eps * math.sqrt(max(1, len(observation.operations))))
    nonsmooth = any(part in operation.name for operation in observation.operations for part in NONSMOOTH)
    return Tolerance(outputs, min(0.5, GRADIENT_FACTOR * (math.sqrt(outputs) if nonsmooth else outputs)))


def fixed_combination(outputs: Sequence[Tensor | None]) -> Tensor | None:
    """A fixed combination of all outputs that have a derivative, of either sign and of no pattern; None if none has."""
    parts = [
        (tensor * _weights(tensor)).sum()
        for tensor in outputs
        if tensor is not None and tensor.requires_grad and tensor.is_floating_point()
    ]
    return sum(parts[1:], parts[0]) if parts else None


def _weights(like: Tensor) -> Tensor:
    """Numbers between -1 and 1, equidistributed: multiples of the golden section without their whole part."""
    count = torch.arange(1, like.numel() + 1, dtype=torch.float64, device="cpu")  # not every device has float64
    return ((count * 0.6180339887498949) % 1 * 2 - 1).to(like.device, like.dtype).reshape(like.shape)


def difference(plain: Evaluation, other: Evaluation, allowed: Tolerance) -> str:
    """How `other` differs from `plain` beyond what is allowed, in words; empty if it does not."""
    for mine, theirs in zip(plain.outputs, other.outputs, strict=True):
        apart = _relative_difference(mine, theirs)
        if apart > allowed.outputs:
            return f"outputs differ by {apart:.1g}, where rounding explains {allowed.outputs:.1g}"
    apart = _relative_difference(plain.gradient, other.gradient)
    if apart > allowed.gradient:
        return f"derivatives by the input differ by {apart:.1g}, where rounding explains {allowed.gradient:.1g}"
    return ""


def _relative_difference(plain: Tensor | None, other: Tensor | None) -> float:
    """The difference in relative L2 norm; infinite where one is missing, or not finite in the same places."""
    if plain is None or other is None:
        return 0.0 if plain is None and other is None else math.inf
    if plain.shape != other.shape:
        return math.inf
    if plain.is_complex():
        plain, other = torch.view_as_real(plain.resolve_conj()), torch.view_as_real(other.resolve_conj())
    one, two = plain.detach().cpu().double(), other.detach().cpu().double()  # not every device has float64
    finite = one.isfinite()
    if not torch.equal(finite, two.isfinite()) or not torch.equal(one[~finite].nan_to_num(), two[~finite].nan_to_num()):
        return math.inf
    length, apart = float(one[finite].norm()), float((one - two)[finite].norm())
    return apart / length if length else (math.inf if apart else 0.0)
