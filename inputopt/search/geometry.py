"""Sets that an input must stay in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.norms import L0, LINF, Norm
from inputopt.search.problem import Problem

Project = Callable[[Tensor, Problem], Tensor]


def anywhere(z: Tensor, problem: Problem) -> Tensor:
    """z itself: for steps that stay in their box on their own."""
    return z


@dataclass(frozen=True)
class Box:
    """All inputs between two values."""

    low: float
    high: float

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """The nearest point of the box, in every norm."""
        return z.clamp(self.low, self.high)


@dataclass(frozen=True)
class Ball:
    """All inputs within the problem's eps of its x0 and between its low and high.

    Adding the change to x0 rounds each number by up to half a unit in its last place, and measuring it rounds again, so
    the radius is held that much inside eps: what comes out is never further than eps, not even by rounding.
    """

    norm: Norm

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """A point near by of ball and box."""
        assert problem.eps is not None
        assert problem.low is not None
        assert problem.high is not None
        if self.norm is LINF:  # its ball is a box, and low and high hold it already
            return z.clamp(problem.low, problem.high)
        x0 = problem.x0
        inside = problem.eps if self.norm is L0 else self._inside(x0, problem.eps)
        change = self.norm.confine(z - x0, inside, problem.low - x0, problem.high - x0)
        return change.add(x0).clamp_(problem.low, problem.high)

    def _inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        unit = torch.finfo(x0.dtype).eps
        return (eps * (1 - 16 * unit) - unit / 2 * self.norm.size(x0)).clamp_min(0)


def tight_bounds(x0: Tensor, eps: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """The box within `eps` [B, 1, ...] of x0 and between low and high, so that |bound - x0| <= eps as floats."""
    eps = eps.clamp(max=2 * (high - low))  # as good as infinite, and its arithmetic is not NaN
    down, up = x0 - eps, x0 + eps
    # where rounding went over, a unit in the last place back: as a sum, which is quicker than a choice
    down += (x0 - down).sub_(eps).gt_(0) * (torch.nextafter(down, x0) - down)
    up += (up - x0).sub_(eps).gt_(0) * (torch.nextafter(up, x0) - up)
    return down.clamp_(low, high), up.clamp_(low, high)
