"""The range of a model's inputs: their bounds, and the mean and standard deviation of its normalisation.

Each is a number, a tensor [C] with one value per channel (the first dimension of an input), or a tensor of any shape
that broadcasts to one input.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inputopt import checks

Cache = dict[tuple[Any, ...], Any]


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bounds of inputs; either may be infinite.

    Attributes:
        low, high: a number, a tensor with one value per channel, or a tensor that broadcasts to one input.
        unit: the length that step sizes are fractions of: the largest finite width, 1 if there is none.
    """

    low: float | Tensor
    high: float | Tensor
    unit: float
    _boxes: Cache = field(default_factory=dict, repr=False, compare=False)

    def box(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return low and high as tensors that broadcast to `like` [B, ...], in its dtype and on its device.

        Raises:
            ValueError: the bounds do not broadcast to such inputs.
        """
        key = (like.shape[1:], like.dtype, like.device)
        if key not in self._boxes:
            self._boxes[key] = (broadcastable("bounds", self.low, like), broadcastable("bounds", self.high, like))
        return self._boxes[key]


def parse_bounds(bounds: Any) -> Bounds:
    """Convert bounds given as (low, high), each a number, tensor, array or list of numbers.

    Raises:
        ValueError: not such a pair, NaN, or a low that is not below its high.
    """
    try:
        low, high = bounds
        lowest, highest = _bound(low), _bound(high)
        width = _as_tensor(highest).cpu().double() - _as_tensor(lowest).cpu().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"bounds must be (low, high), numbers or tensors of compatible shapes, not {bounds}."
        ) from error
    if not bool((width > 0).all()):  # also rejects NaN
        raise ValueError(f"bounds must be (low, high) with low below high, not {bounds}.")
    finite = width[width.isfinite()]
    return Bounds(lowest, highest, float(finite.max()) if finite.numel() else 1.0)


def _bound(value: Any) -> float | Tensor:
    if isinstance(value, numbers.Real):
        return float(value)
    tensor = _as_tensor(value)
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise TypeError("bounds are numbers")
    if tensor.ndim == 0:
        return float(tensor)
    return tensor.to(torch.float64 if not tensor.is_floating_point() else tensor.dtype, copy=True)


def _as_tensor(value: Any) -> Tensor:
    """Return a tensor or array in its own dtype, other numbers in float64 whatever the default dtype is."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (np.ndarray, np.generic)):
        return torch.as_tensor(np.array(value), device="cpu")
    return torch.as_tensor(value, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class Scaling:
    """Normalisation (x - mean) / std of a model's inputs.

    Attributes:
        mean, std: float64 tensors: one number, one per channel, or any shape that broadcasts to one input.
        is_none: whether mean is 0 and std is 1, so that inputs are returned unchanged.
    """

    mean: Tensor
    std: Tensor
    is_none: bool
    _broadcast: Cache = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise inputs [B, ...], in their own dtype."""
        if self.is_none:
            return x
        key = (x.shape[1:], x.dtype, x.device)
        if key not in self._broadcast:
            self._broadcast[key] = (broadcastable("mean", self.mean, x), broadcastable("std", self.std, x))
        mean, std = self._broadcast[key]
        return (x - mean) / std


def parse_scaling(mean: Any, std: Any) -> Scaling:
    """Convert a given mean and std; None means 0 and 1.

    Raises:
        TypeError: not numbers.
        ValueError: a mean that is not finite, or a std that is not finite and above 0.
    """
    try:
        mean_tensor = _as_tensor(0.0 if mean is None else mean).to("cpu", torch.float64, copy=True)
        std_tensor = _as_tensor(1.0 if std is None else std).to("cpu", torch.float64, copy=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"mean and std must be numbers, or tensors or lists of them, not {mean} and {std}.") from error
    checks.finite("mean", mean_tensor)
    if not bool((std_tensor > 0).all()) or not math.isfinite(float(std_tensor.max())):
        raise ValueError("std must be finite and above 0; omit it for a model without normalisation.")
    return Scaling(mean_tensor, std_tensor, bool((mean_tensor == 0).all()) and bool((std_tensor == 1).all()))


def broadcastable(what: str, value: float | Tensor, like: Tensor) -> Tensor:
    """Return `value` in the dtype and on the device of `like` [B, ...], in a shape that broadcasts to it.

    Args:
        what: the name of the value in error messages.

    Raises:
        ValueError: `value` does not broadcast to one input.
    """
    converted = _as_tensor(value).to(like.device, like.dtype)
    shape = like.shape[1:]
    if converted.ndim == 1 and shape:
        converted = converted.reshape(-1, *(1,) * (len(shape) - 1))
    try:
        fits = torch.broadcast_shapes(converted.shape, shape) == shape  # type: ignore[no-untyped-call]
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{what} of shape {list(_as_tensor(value).shape)} cannot be broadcast to inputs of shape {list(shape)}; "
            "give a number, one per channel, or a tensor that broadcasts to one input."
        )
    return converted
