"""Step rules: pure functions from where the inputs are, and what was seen there, to where they go next."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import per_example
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.steps.directions import Direction, over_mean


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
        size: how far to go along it, at every step or by a schedule; times the problem's eps if `of_eps`.
        of_eps: measure the size in parts of each example's eps.
    """

    direction: Direction
    size: float | Schedule
    of_eps: bool = False
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Any:
        return self.direction.init(z), 0

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        assert seen.grad is not None
        inner, index = state
        direction, inner = self.direction.update(seen.grad, inner)
        size = self.size(index) if callable(self.size) else self.size
        ahead = torch.addcmul(z, direction, _length(size, self.of_eps, problem, z), value=-1)
        return project(ahead, problem), (inner, index + 1)


@dataclass(frozen=True)
class Stride:
    """Go down the loss by `size` in the mean over an input's numbers, and stay between `low` and `high`.

    That is Descend(over_mean, size) inside a Box, in a single copy of the input: of a large image every copy counts.

    Attributes:
        size: the mean change of a number.
        low, high: the box.
        where: how much of its step each number takes, broadcast with [B, ...]; None for all of it.
    """

    size: float
    low: float
    high: float
    where: Tensor | None = None
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        assert seen.grad is not None
        total = torch.linalg.vector_norm(seen.grad, 1, dim=tuple(range(1, z.ndim)))
        mean = (total / z[0].numel()).clamp_min(torch.finfo(z.dtype).tiny)
        length = per_example(self.size / mean, z)
        if self.where is not None:
            length = length * self.where
        return project(torch.addcmul(z, seen.grad, length, value=-1).clamp_(self.low, self.high), problem), ()


@dataclass(frozen=True)
class Nesterov:
    """Descend with momentum, the gradient taken where the momentum leads (NI-FGSM; Lin et al., 2020).

    z is the point ahead; the state holds the point proper and the momentum, gradients over their mean absolute value.
    """

    direction: Direction
    size: float
    decay: float = 1.0
    of_eps: bool = True
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
        return z, z * 0

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[Tensor, Tensor], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        assert seen.grad is not None
        point, velocity = state
        velocity = self.decay * velocity + over_mean.update(seen.grad, ())[0]
        length = _length(self.size, self.of_eps, problem, z)
        point = project(point - length * self.direction.update(velocity, ())[0], problem)
        ahead = self.decay * self.direction.update(velocity, ())[0]
        return project(point - length * ahead, problem), (point, velocity)


def _length(size: float, of_eps: bool, problem: Problem, z: Tensor) -> Tensor:
    if not of_eps:
        return z.new_tensor(size)
    assert problem.eps is not None
    return per_example(problem.eps * size, z)
