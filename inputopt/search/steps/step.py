"""Step rules: pure functions from where the inputs are, and what was seen there, to where they go next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.steps.directions import Direction


class Step(Protocol):
    """A step rule; its state is nested tuples and frozen dataclasses of batch-first tensors."""

    def init(self, z: Tensor, problem: Problem) -> Any:
        """The state before the first step."""

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        """Where to go next, already projected, and the new state."""


@dataclass(frozen=True)
class Descend:
    """Go down the loss: z - size * direction(gradient).

    Attributes:
        direction: what becomes of the gradient.
        size: how far to go along it.
    """

    direction: Direction
    size: float

    def init(self, z: Tensor, problem: Problem) -> Any:
        return self.direction.init(z)

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        assert seen.grad is not None
        direction, state = self.direction.update(seen.grad, state)
        return project(z - self.size * direction, problem), state
