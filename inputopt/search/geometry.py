"""Sets that an input must stay in, and how far two inputs are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from inputopt.search.problem import Problem

Project = Callable[[Tensor, Problem], Tensor]


@dataclass(frozen=True)
class Box:
    """All inputs between two values."""

    low: float
    high: float

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """The nearest point of the box, in every norm."""
        return z.clamp(self.low, self.high)


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """`values` [B] with as many dimensions as `like` [B, ...], to be multiplied with it."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def l2(difference: Tensor) -> Tensor:
    """The Euclidean length of each example, [B]."""
    return difference.flatten(1).norm(dim=1)
