"""Inputs rounded to the levels that a file can store, with a straight-through gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.norms.norm import Norm
from inputopt.search.problem import Problem
from inputopt.search.rows import per_example


@dataclass(frozen=True)
class Levels:
    """Round z to the levels that a file can store, with a straight-through gradient.

    Where rounding to the nearest level would leave the ball, changes are rounded towards x0 instead, which never makes
    them larger; x0 itself must lie on the levels. Success is therefore evaluated on the saved values.

    Attributes:
        count: number of levels from `low` to `high`, 256 for a PNG.
        low, high: the first and the last level, tensors that broadcast with [B, ...].
        norm: norm of the ball.
    """

    count: int
    low: Tensor
    high: Tensor
    norm: Norm

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        x = self.round(z.detach(), problem)
        return z + (x - z).detach() if z.requires_grad else x

    def on_levels(self, x: Tensor) -> Tensor:
        """Round each element to the nearest level."""
        return self._level(self._number(x).round())

    def round(self, z: Tensor, problem: Problem) -> Tensor:
        """Round z to the nearest levels within the problem's ball and bounds."""
        region = problem.region
        start = self._number(problem.x0).round()
        towards = start + (self._number(z) - start).trunc()
        near = self._level(self._number(z).round())
        # where the nearest level is outside the bounds, round towards x0 instead
        near = torch.where((near < region.low) | (near > region.high), self._level(towards), near)
        over = self.norm.size(near - problem.x0) > region.eps * (1 + 1e-6)
        return torch.where(per_example(over, z), self._level(towards), near)

    def _number(self, x: Tensor) -> Tensor:
        return (x - self.low) / (self.high - self.low) * (self.count - 1)

    def _level(self, number: Tensor) -> Tensor:
        # dividing, not multiplying by a step, gives exactly the floats that reading a file gives
        return self.low + number / (self.count - 1) * (self.high - self.low)
