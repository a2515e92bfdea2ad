"""Step rules: pure functions from where the inputs are, and what was seen there, to where they go next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

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


@dataclass(frozen=True)
class Descend:
    """Go down the loss: z - size * direction(gradient).

    Attributes:
        direction: what becomes of the gradient.
        size: how far to go along it; times the problem's eps if `of_eps`.
        of_eps: measure the size in parts of each example's eps.
    """

    direction: Direction
    size: float
    of_eps: bool = False
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Any:
        return self.direction.init(z)

    def update(self, z: Tensor, seen: Evaluation, state: Any, problem: Problem, project: Project) -> tuple[Tensor, Any]:
        assert seen.grad is not None
        direction, state = self.direction.update(seen.grad, state)
        return project(z - _length(self, problem, z) * direction, problem), state


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
        length = _length(self, problem, z)
        point = project(point - length * self.direction.update(velocity, ())[0], problem)
        ahead = self.decay * self.direction.update(velocity, ())[0]
        return project(point - length * ahead, problem), (point, velocity)


def _length(step: Descend | Nesterov, problem: Problem, z: Tensor) -> Tensor | float:
    if not step.of_eps:
        return step.size
    assert problem.eps is not None
    return per_example(problem.eps * step.size, z)
