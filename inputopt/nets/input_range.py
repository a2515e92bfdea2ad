"""The inputs of a network: the box they lie in, and the mean and deviation that its weights were made for.

Numbers that differ from part to part of an input are given as one for each channel, [C], along the input's first
dimension, or as any shape that broadcasts to one input.
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
    """The lowest and the highest value that each number of an input may have; either may be infinite.

    Attributes:
        low, high: a number, or a tensor that is one for each channel or broadcasts to one input.
        unit: the length that step sizes are parts of: the largest finite width, 1 if there is none.
    """

    low: float | Tensor
    high: float | Tensor
    unit: float
    _boxes: Cache = field(default_factory=dict, repr=False, compare=False)

    def box(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Low and high of inputs such as `like` [B, ...]: tensors of its dtype and device that broadcast to it.

        Raises:
            ValueError: the bounds do not broadcast to such inputs.
        """
        key = (like.shape[1:], like.dtype, like.device)
        if key not in self._boxes:
            self._boxes[key] = (broadcastable("bounds", self.low, like), broadcastable("bounds", self.high, like))
        return self._boxes[key]


def made_bounds(bounds: Any) -> Bounds:
    """The bounds that somebody gave as (low, high): numbers, tensors, arrays or lists of numbers.

    Raises:
        ValueError: no such pair, NaN, or a low that is not below its high.
    """
    try:
        low, high = bounds
        least, most = _end(low), _end(high)
        width = _numbers(most).cpu().double() - _numbers(least).cpu().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"bounds must be (low, high), numbers or tensors that fit each other, not {bounds}."
        ) from error
    if not bool((width > 0).all()):  # which NaN is not either
        raise ValueError(f"bounds must be (low, high) with low below high, not {bounds}.")
    finite = width[width.isfinite()]
    return Bounds(least, most, float(finite.max()) if finite.numel() else 1.0)


def _end(value: Any) -> float | Tensor:
    if isinstance(value, numbers.Real):
        return float(value)
    tensor = _numbers(value)
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise TypeError("bounds are numbers")
    if tensor.ndim == 0:
        return float(tensor)
    return tensor.to(torch.float64 if not tensor.is_floating_point() else tensor.dtype, copy=True)


def _numbers(value: Any) -> Tensor:
    """A tensor or array as it is, other numbers in float64 whatever the default dtype is."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (np.ndarray, np.generic)):
        return torch.as_tensor(np.array(value), device="cpu")
    return torch.as_tensor(value, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class Scaling:
    """What a model expects subtracted from and divided out of its inputs.

    Attributes:
        mean, std: float64 tensors, one number, one for each channel, or what broadcasts to one input.
        is_none: whether inputs stay as they are.
    """

    mean: Tensor
    std: Tensor
    is_none: bool
    _broadcast: Cache = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Inputs [B, ...] as the model expects them, in their own dtype."""
        if self.is_none:
            return x
        key = (x.shape[1:], x.dtype, x.device)
        if key not in self._broadcast:
            self._broadcast[key] = (broadcastable("mean", self.mean, x), broadcastable("std", self.std, x))
        mean, std = self._broadcast[key]
        return (x - mean) / std


def made_scaling(mean: Any, std: Any) -> Scaling:
    """The scaling that somebody gave; 0 and 1 where nothing is given.

    Raises:
        ValueError, TypeError: a mean that is not finite, or a std that is not above 0.
    """
    try:
        less = _numbers(0.0 if mean is None else mean).to("cpu", torch.float64, copy=True)
        over = _numbers(1.0 if std is None else std).to("cpu", torch.float64, copy=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"mean and std must be numbers, or tensors or lists of them, not {mean} and {std}.") from error
    checks.finite("mean", less)
    if not bool((over > 0).all()) or not math.isfinite(float(over.max())):
        raise ValueError("std must be finite and above 0; leave it out for a model that takes its inputs as they are.")
    return Scaling(less, over, bool((less == 0).all()) and bool((over == 1).all()))


def broadcastable(what: str, value: float | Tensor, like: Tensor) -> Tensor:
    """`value` in the dtype and on the device of `like` [B, ...], in a shape that broadcasts to it.

    Raises:
        ValueError: it does not broadcast to one input.
    """
    made = _numbers(value).to(like.device, like.dtype)
    shape = like.shape[1:]
    if made.ndim == 1 and shape:
        made = made.reshape(-1, *(1,) * (len(shape) - 1))
    try:
        fits = torch.broadcast_shapes(made.shape, shape) == shape  # type: ignore[no-untyped-call]
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{what} of shape {list(_numbers(value).shape)} does not fit inputs of shape {list(shape)}; "
            "give a number, one for each channel, or what broadcasts to one input."
        )
    return made
