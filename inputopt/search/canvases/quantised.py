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
    """Only what a file with so many levels can hold: z is rounded, and the gradient passes as if it were not.

    Where rounding to the nearest level would leave the ball, each change is rounded towards x0, which never makes it
    larger: x0 must lie on the levels itself. So success is judged on what will be saved.

    Attributes:
        count: levels from `low` to `high`, 256 for a PNG.
        low, high: the first and the last level, tensors that broadcast with [B, ...].
        norm: what the ball is measured in.
    """

    count: int
    low: Tensor
    high: Tensor
    norm: Norm

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        x = self.round(z.detach(), problem)
        return z + (x - z).detach() if z.requires_grad else x

    def on_levels(self, x: Tensor) -> Tensor:
        """The nearest level of each number."""
        return self._level(self._number(x).round())

    def round(self, z: Tensor, problem: Problem) -> Tensor:
        """The nearest levels of z that the problem allows."""
        region = problem.region
        start = self._number(problem.x0).round()
        towards = start + (self._number(z) - start).trunc()
        near = self._level(self._number(z).round())
        # a level outside the bounds of its own number gives way to the one nearer to x0
        near = torch.where((near < region.low) | (near > region.high), self._level(towards), near)
        over = self.norm.size(near - problem.x0) > region.eps * (1 + 1e-6)
        return torch.where(per_example(over, z), self._level(towards), near)

    def _number(self, x: Tensor) -> Tensor:
        return (x - self.low) / (self.high - self.low) * (self.count - 1)

    def _level(self, number: Tensor) -> Tensor:
        # divided, not multiplied by a step: the very floats that reading a file gives
        return self.low + number / (self.count - 1) * (self.high - self.low)
