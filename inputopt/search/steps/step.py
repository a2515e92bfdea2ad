"""Step rules: pure functions from the current inputs and their evaluation to the next inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.rows import per_example
from inputopt.search.steps.directions import Direction


class Step(Protocol):
    """A step rule; its state is nested tuples and frozen dataclasses of batch-first tensors.

    If `uses_gradient` is false, the loop computes no gradient.
    """

    @property
    def uses_gradient(self) -> bool:
        """Whether `update` needs `seen.grad`."""

    def init(self, z: Tensor, problem: Problem) -> Any:
        """The state before the first step."""

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        """The next inputs, already projected, and the new state."""


Schedule = Callable[[int], float]
"""Step index -> value, such as a step size."""


@dataclass(frozen=True)
class HalfCosine:
    """Cosine schedule from `first` at step 0 to `last` at step `steps` (Loshchilov and Hutter, 2017)."""

    first: float
    last: float
    steps: int

    def __call__(self, index: int) -> float:
        """The value at step `index`."""
        return self.last + (self.first - self.last) * (1 + math.cos(math.pi * index / self.steps)) / 2


@dataclass(frozen=True)
class GradientStep:
    """Gradient descent: z - size * direction(gradient).

    Attributes:
        direction: transform of the gradient.
        size: step size: a number, a schedule of numbers, or a tensor [n, ...] that broadcasts with the inputs and is
            indexed by `Problem.example` (or [1, ...], the same for all).
        of_eps: whether the size is a fraction of each example's eps.
    """

    direction: Direction
    size: float | Tensor | Schedule
    of_eps: bool = False
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Any:
        return self.direction.init(z), 0

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        inner, index = state
        direction, inner = self.direction.update(seen.gradient, inner)
        length = self._size(index, problem)
        eps = per_example(problem.region.eps, z) if self.of_eps else None
        # moved = z - length * eps * direction, in one operation where possible
        if isinstance(length, Tensor):
            moved = torch.addcmul(z, direction, length if eps is None else eps * length, value=-1)
        elif eps is not None:
            moved = torch.addcmul(z, direction, eps, value=-length)
        else:
            moved = torch.sub(z, direction, alpha=length)
        return project(moved, problem), (inner, index + 1)

    def _size(self, index: int, problem: Problem) -> float | Tensor:
        """Step size at step `index`: a number, or a tensor that broadcasts with the rows of the problem."""
        if isinstance(self.size, Tensor):
            return self.size if len(self.size) == 1 else self.size.index_select(0, problem.example)
        return self.size if isinstance(self.size, (int, float)) else self.size(index)


@dataclass(frozen=True)
class Stride:
    """Gradient descent with a mean absolute change of `size` per element, clipped to `low` and `high`.

    Equivalent to GradientStep(over_mean, size) inside a Box, but with a single copy of the input, to save memory on
    large images.

    Attributes:
        size: mean absolute change of an element.
        low, high: bounds, numbers or tensors that broadcast with [B, ...].
        where: factor on each element's step, broadcast with [B, ...]; None for 1 everywhere.
    """

    size: float
    low: float | Tensor
    high: float | Tensor
    where: Tensor | None = None
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        total = torch.linalg.vector_norm(seen.gradient, 1, dim=tuple(range(1, z.ndim)))
        mean = (total / z[0].numel()).clamp_min(torch.finfo(z.dtype).tiny)
        length = per_example(self.size / mean, z)
        if self.where is not None:
            length = length * self.where
        moved = torch.addcmul(z, seen.gradient, length, value=-1)
        return project(moved.clamp_(self.low, self.high), problem), ()  # type: ignore[arg-type]
