"""Decorrelated colour space, and the sigmoid that maps colours into the bounds (Olah et al., 2017)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

COLOURS = ((-0.661, -0.497, -0.562), (-0.734, 0.272, 0.622), (0.157, -0.824, 0.544))
"""Principal components of colour (red, green, blue) in photos: lightness, red against blue, green against the rest."""


SPREADS = (1.0, 0.49, 0.144)
"""Standard deviation of photos' colours along each component, relative to the first."""


@dataclass(frozen=True)
class Squash:
    """Map real numbers into the bounds by a sigmoid, with decorrelated colours for images of three channels."""

    low: float
    high: float
    decorrelated: bool = True

    def __call__(self, y: Tensor) -> Tensor:
        """Map real numbers [B, C, H, W] to colours within the bounds."""
        if self.decorrelated and y.shape[1] == 3:
            y = _mixed(y, _colours(y.dtype, y.device))
        inside = y.sigmoid()
        return inside if (self.low, self.high) == (0, 1) else self.low + (self.high - self.low) * inside

    def undo(self, x: Tensor) -> Tensor:
        """The inverse map; it is infinite at the bounds, so colours are clipped to 0.001 of the width inside them."""
        y = ((x - self.low) / (self.high - self.low)).clamp(1e-3, 1 - 1e-3).logit()
        if self.decorrelated and y.shape[1] == 3:
            y = _mixed(y, torch.linalg.inv(_colours(torch.float64, y.device)).to(y))
        return y


def _mixed(y: Tensor, colours: Tensor) -> Tensor:
    """Convert images [B, K, H, W] with coefficients of K colours [K, C] to [B, C, H, W]."""
    return (colours.T @ y.flatten(2)).reshape(len(y), -1, *y.shape[2:])


@functools.lru_cache(maxsize=8)
def _colours(dtype: torch.dtype, device: torch.device) -> Tensor:
    """`COLOURS` scaled by `SPREADS`, [K, C]."""
    return torch.tensor(SPREADS, dtype=dtype, device=device).diag() @ torch.tensor(COLOURS, dtype=dtype, device=device)
