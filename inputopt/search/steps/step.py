"""Step rules: pure functions from where the inputs are, and what was seen there, to where they go next."""

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

    A rule that needs no gradient says so, and the loop asks for none.
    """

    @property
    def uses_gradient(self) -> bool:
        """Whether `update` wants `seen.grad`."""

    def init(self, z: Tensor, problem: Problem) -> Any:
        """The state before the first step."""

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        """Where to go next, already projected, and the new state."""


Schedule = Callable[[int], float]
"""A number for each step."""


@dataclass(frozen=True)
class HalfCosine:
    """From `first` at step 0 to `last` at step `steps`, along half a cosine (Loshchilov and Hutter, 2017)."""

    first: float
    last: float
    steps: int

    def __call__(self, index: int) -> float:
        """The number at step `index`."""
        return self.last + (self.first - self.last) * (1 + math.cos(math.pi * index / self.steps)) / 2


@dataclass(frozen=True)
class Descend:
    """Go down the loss: z - size * direction(gradient).

    Attributes:
        direction: what becomes of the gradient.
        size: how far to go along it: a number, a schedule of numbers, or a tensor [n, ...] that broadcasts with the
            inputs and holds those of each `Problem.example` (or [1, ...], the same for all).
        of_eps: measure the size in parts of each example's eps.
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
        if isinstance(length, Tensor):
            ahead = torch.addcmul(z, direction, length if eps is None else eps * length, value=-1)
        elif eps is not None:
            ahead = torch.addcmul(z, direction, eps, value=-length)
        else:
            ahead = torch.sub(z, direction, alpha=length)
        return project(ahead, problem), (inner, index + 1)

    def _size(self, index: int, problem: Problem) -> float | Tensor:
        """The size of step `index`: a number, or a tensor that broadcasts with the rows of the problem."""
        if isinstance(self.size, Tensor):
            return self.size if len(self.size) == 1 else self.size.index_select(0, problem.example)
        return self.size if isinstance(self.size, (int, float)) else self.size(index)


@dataclass(frozen=True)
class Stride:
    """Go down the loss by `size` in the mean over an input's numbers, and stay between `low` and `high`.

    That is Descend(over_mean, size) inside a Box, in a single copy of the input: of a large image every copy counts.

    Attributes:
        size: the mean change of a number.
        low, high: the box, numbers or tensors that broadcast with [B, ...].
        where: how much of its step each number takes, broadcast with [B, ...]; None for all of it.
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
        ahead = torch.addcmul(z, seen.gradient, length, value=-1)
        return project(ahead.clamp_(self.low, self.high), problem), ()  # type: ignore[arg-type]
