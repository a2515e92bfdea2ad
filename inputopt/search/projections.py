"""Sets that an input must stay in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.norms.norm import Norm
from inputopt.search.problem import Problem

Project = Callable[[Tensor, Problem], Tensor]
"""(z, problem) -> a point of the set for each example, [B, ...]."""


def anywhere(z: Tensor, problem: Problem) -> Tensor:
    """z itself: for steps that stay in their box on their own."""
    return z


def in_box(z: Tensor, problem: Problem) -> Tensor:
    """The nearest point between the region's low and high, in every norm."""
    return z.clamp(problem.region.low, problem.region.high)


@dataclass(frozen=True)
class Box:
    """All inputs between two values, numbers or tensors that broadcast with [B, ...]."""

    low: float | Tensor
    high: float | Tensor

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """The nearest point of the box, in every norm."""
        if isinstance(self.low, Tensor) or isinstance(self.high, Tensor):
            low, high = (torch.as_tensor(bound, dtype=z.dtype, device=z.device) for bound in (self.low, self.high))
            return z.clamp(low, high)
        return z.clamp(self.low, self.high)


@dataclass(frozen=True)
class Ball:
    """All inputs within the region's eps of x0 and between its low and high.

    Adding the change to x0 rounds each number by up to half a unit in its last place, and measuring it rounds again, so
    the radius is held that much inside eps: what comes out is never further than eps, not even by rounding.
    """

    norm: Norm

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """A point near by of ball and box."""
        x0, region = problem.x0, problem.region
        inside = self.norm.inside(x0, region.eps)
        change = self.norm.project_fast(z - x0, inside, problem.down, problem.up)
        return change.add(x0).clamp_(region.low, region.high)


def ball(norm: Norm) -> Project:
    """The ball and box of a norm; where its box alone holds the ball (`Norm.box`), that box."""
    return in_box if norm.is_box else Ball(norm)
