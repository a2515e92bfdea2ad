"""Tests whether two implementations of a network agree up to floating-point rounding.

Two quantities are compared: the outputs, and the gradient of a fixed linear combination of them with respect to the
input. Each is compared by the relative L2 norm of the difference.

Tolerance: each operation rounds by a relative error of up to eps / 2, and errors of both signs accumulate like a random
walk, with the square root of the number of operations. `ROUNDING_STEPS` such errors per operation are more than a sum
of thousands of products causes (on residual networks of up to 50 convolutions a tenth of the tolerance was measured).
A gradient passes through the network twice and multiplies numbers that already have errors, so it is allowed
`GRADIENT_FACTOR` times as much. ReLU and max units near their kink may also switch. For evenly distributed
pre-activations, the fraction of units that switch is about the relative difference of the outputs, and the error in the
gradient grows with the square root of that fraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.inference.observation import Observation

ROUNDING_STEPS = 16.0
"""Upper bound on the rounding errors per operation, in units of eps."""

GRADIENT_FACTOR = 4.0
"""Tolerance of the gradient relative to that of the outputs."""

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
"""Substrings of the names of operations whose derivative is discontinuous."""


@dataclass(frozen=True)
class Tolerance:
    """Largest allowed relative L2 differences of outputs and gradient."""

    outputs: float
    gradient: float


@dataclass(frozen=True)
class Evaluation:
    """Outputs and gradient of a network on a few inputs.

    Attributes:
        outputs: one tensor per layer; None for a layer whose output is not a single tensor.
        gradient: gradient of a fixed combination of the outputs with respect to the input; None if there is none.
    """

    outputs: tuple[Tensor | None, ...]
    gradient: Tensor | None = None


def tolerance(observation: Observation, dtype: torch.dtype, device: torch.device) -> Tolerance:
    """Tolerance for the observed forward computed in `dtype`; NaN and infinity are never within it."""
    eps = torch.finfo(dtype).eps
    if dtype == torch.float32 and device.type == "cuda":
        eps = 2**-10  # CUDA convolutions use TensorFloat-32 by default
    outputs = min(0.5, ROUNDING_STEPS * eps * math.sqrt(max(1, len(observation.operations))))
    nonsmooth = any(part in operation.name for operation in observation.operations for part in NONSMOOTH)
    return Tolerance(outputs, min(0.5, GRADIENT_FACTOR * (math.sqrt(outputs) if nonsmooth else outputs)))


def fixed_combination(outputs: Sequence[Tensor | None]) -> Tensor | None:
    """Sum of all differentiable outputs with fixed quasi-random weights in [-1, 1]; None if none is differentiable."""
    parts = [
        (tensor * _weights(tensor)).sum()
        for tensor in outputs
        if tensor is not None and tensor.requires_grad and tensor.is_floating_point()
    ]
    return sum(parts[1:], parts[0]) if parts else None


def _weights(like: Tensor) -> Tensor:
    """Equidistributed weights in [-1, 1], shaped as `like`: fractional parts of multiples of the golden ratio."""
    count = torch.arange(1, like.numel() + 1, dtype=torch.float64, device="cpu")  # not every device has float64
    return ((count * 0.6180339887498949) % 1 * 2 - 1).to(like.device, like.dtype).reshape(like.shape)


def difference(plain: Evaluation, other: Evaluation, allowed: Tolerance) -> str:
    """Describe how `other` differs from `plain` by more than `allowed`; empty string if it does not."""
    for expected, actual in zip(plain.outputs, other.outputs, strict=True):
        error = _relative_difference(expected, actual)
        if error > allowed.outputs:
            return f"outputs differ by {error:.1g}, but rounding explains only {allowed.outputs:.1g}"
    error = _relative_difference(plain.gradient, other.gradient)
    if error > allowed.gradient:
        return f"input gradients differ by {error:.1g}, but rounding explains only {allowed.gradient:.1g}"
    return ""


def _relative_difference(plain: Tensor | None, other: Tensor | None) -> float:
    """Relative L2 difference; infinite if only one is None, or if shapes or non-finite entries differ."""
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
    norm, error = float(one[finite].norm()), float((one - two)[finite].norm())
    return error / norm if norm else (math.inf if error else 0.0)
