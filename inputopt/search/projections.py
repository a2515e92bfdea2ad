"""Projections onto the sets that inputs must stay in: boxes and norm balls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.norms.norm import Norm
from inputopt.search.problem import Problem

Project = Callable[[Tensor, Problem], Tensor]
"""(z, problem) -> a point in the set for each example, [B, ...]."""


def anywhere(z: Tensor, problem: Problem) -> Tensor:
    """No projection: for steps that keep z within the box themselves."""
    return z


def in_box(z: Tensor, problem: Problem) -> Tensor:
    """Clip z [B, ...] to the region's low and high: the nearest point in every norm."""
    return z.clamp(problem.region.low, problem.region.high)


@dataclass(frozen=True)
class Box:
    """All inputs between two bounds, numbers or tensors that broadcast with [B, ...]."""

    low: float | Tensor
    high: float | Tensor

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Clip z to the box: the nearest point in every norm."""
        if isinstance(self.low, Tensor) or isinstance(self.high, Tensor):
            low, high = (torch.as_tensor(bound, dtype=z.dtype, device=z.device) for bound in (self.low, self.high))
            return z.clamp(low, high)
        return z.clamp(self.low, self.high)


@dataclass(frozen=True)
class Ball:
    """All inputs within the region's eps of x0 and between its low and high.

    Adding the change to x0 rounds each element by up to half a unit in its last place, and computing its norm rounds
    again. The radius is reduced by that much, so that the result is never further than eps, even with rounding.
    """

    norm: Norm

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """A nearby point in both ball and box, not always the nearest (`Norm.project_fast`)."""
        x0, region = problem.x0, problem.region
        inside = self.norm.inside(x0, region.eps)
        change = self.norm.project_fast(z - x0, inside, problem.down, problem.up)
        return change.add(x0).clamp_(region.low, region.high)


@dataclass(frozen=True)
class BoxBall:
    """`Ball` for norms whose balls are boxes: clips to the box around x0, exactly (`Norm.box`)."""

    norm: Norm

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """The nearest point in ball and box, in every norm."""
        region = problem.region
        return z.clamp(*self.norm.box(problem.x0, region.eps, region.low, region.high))


def ball(norm: Norm) -> Project:
    """Projection onto the region's ball around x0 in a norm, and its bounds."""
    return BoxBall(norm) if norm.is_box else Ball(norm)
