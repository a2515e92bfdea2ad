"""Input bounds of a network, and lengths measured as fractions of the width of these bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen


@dataclass(frozen=True)
class Range:
    """Lower and upper bounds of inputs of one shape.

    Attributes:
        low, high: a float where one bound holds for all elements, else tensors that broadcast with inputs [B, ...].
    """

    low: Any
    high: Any

    @property
    def width(self) -> Any:
        """`high` minus `low`."""
        return self.high - self.low

    @property
    def is_unit(self) -> bool:
        """Whether the bounds are 0 and 1 for all elements."""
        return isinstance(self.low, float) and (self.low, self.high) == (0.0, 1.0)

    def of_parts(self, parts: Tensor) -> Tensor:
        """Map fractions of the width to inputs: 0 to `low`, 1 to `high`."""
        return parts if self.is_unit else self.low + self.width * parts

    def parts(self, x: Tensor) -> Tensor:
        """Map inputs to fractions of the width: `low` to 0, `high` to 1."""
        return x if self.is_unit else (x - self.low) / self.width

    def clamp(self, x: Tensor) -> Tensor:
        """Clip inputs to the bounds."""
        return x.clamp(self.low, self.high)

    def __str__(self) -> str:
        if isinstance(self.low, float):
            return f"{self.low:g}..{self.high:g}"
        return f"{float(self.low.min()):g}..{float(self.high.max()):g} (different for each element)"


def range_of(net: Frozen, like: Tensor) -> Range:
    """Bounds of the network for inputs like `like` [B, ...]; they may be infinite."""
    low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in net.bounds)
    if low.numel() == high.numel() == 1:
        return Range(float(low), float(high))  # not rounded to the dtype of `like`
    return Range(*net.box(like))


def picture_range(net: Frozen, shape: Sequence[int]) -> Range:
    """Bounds of the network for pictures of shape (C, H, W).

    Raises:
        ValueError: the bounds are infinite, so black and white are undefined, or they do not fit the shape.
    """
    like = torch.zeros((), dtype=net.dtype, device=net.device).expand(1, *shape)
    found = range_of(net, like)
    ends = [torch.as_tensor(end) for end in (found.low, found.high)]
    if not all(bool(end.isfinite().all()) for end in ends):
        raise ValueError("Pictures need finite bounds for black and white; use Frozen(model, bounds=(low, high)).")
    fits = all(_broadcasts(end.shape, like.shape) for end in ends)
    if not fits:
        raise ValueError(
            f"The model's bounds of shape {list(ends[0].shape)} cannot be broadcast to pictures of shape "
            f"{list(shape)}; give one per channel, [C, 1, 1], or make pictures only in the size of the bounds "
            "(octaves=1, initial_scale=1)."
        )
    return found


def _broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether a tensor of shape `shape` broadcasts to shape `to` without enlarging it."""
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(one in (1, other) for one, other in pairs)


def lengths(net: Frozen, like: Tensor) -> Any:
    """Unit of length of each input element: the width of its bounds, or `net.unit` where that is infinite."""
    width = range_of(net, like).width
    if isinstance(width, float):
        return width if width < float("inf") else net.unit
    return torch.where(width.isfinite(), width, net.unit)
