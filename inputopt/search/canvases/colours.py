"""Colours of pictures: decorrelated colour space and the squashing into the bounds (Olah et al., 2017)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

COLOURS = ((-0.661, -0.497, -0.562), (-0.734, 0.272, 0.622), (0.157, -0.824, 0.544))
"""Photos' principal directions of colour (red, green, blue): lightness, red against blue, green against the rest."""


SPREADS = (1.0, 0.49, 0.144)
"""How far photos' colours spread along each, in parts of the first."""


@dataclass(frozen=True)
class Squash:
    """Any numbers into the bounds, by the logistic function, in photos' directions of colour if there are three."""

    low: float
    high: float
    decorrelated: bool = True

    def __call__(self, y: Tensor) -> Tensor:
        """[B, C, H, W] of any value -> colours in the bounds."""
        if self.decorrelated and y.shape[1] == 3:
            y = _mixed(y, _colours(y.dtype, y.device))
        inside = y.sigmoid()
        return inside if (self.low, self.high) == (0, 1) else self.low + (self.high - self.low) * inside

    def undo(self, x: Tensor) -> Tensor:
        """What gives these colours; black and white are infinitely far, and held a thousandth away."""
        y = ((x - self.low) / (self.high - self.low)).clamp(1e-3, 1 - 1e-3).logit()
        if self.decorrelated and y.shape[1] == 3:
            y = _mixed(y, torch.linalg.inv(_colours(torch.float64, y.device)).to(y))
        return y


def _mixed(y: Tensor, colours: Tensor) -> Tensor:
    """Images [B, K, H, W] whose channels are K colours [K, C], as [B, C, H, W]."""
    return (colours.T @ y.flatten(2)).reshape(len(y), -1, *y.shape[2:])


@functools.lru_cache(maxsize=8)
def _colours(dtype: torch.dtype, device: torch.device) -> Tensor:
    """`COLOURS` as far apart as `SPREADS`, [K, C]."""
    return torch.tensor(SPREADS, dtype=dtype, device=device).diag() @ torch.tensor(COLOURS, dtype=dtype, device=device)
