"""Step rules that weigh the size of the change against a penalty for not having fooled the network yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import L1, Norm, per_example
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.steps.directions import adam
from inputopt.search.steps.primal import proximal


@dataclass(frozen=True)
class Bisection:
    """A weight for each example and what is known to be too small and enough for it, [B]; and whether it was enough."""

    weight: Tensor
    low: Tensor
    high: Tensor
    enough: Tensor

    @staticmethod
    def begun(first: float, like: Tensor) -> Bisection:
        """Nothing is known yet."""
        weight = torch.full(like.shape[:1], first, dtype=like.dtype, device=like.device)
        return Bisection(weight, 0 * weight, weight + torch.inf, torch.zeros_like(weight, dtype=torch.bool))

    def next(self) -> Bisection:
        """The weight of the next round: between the two, or ten times as much where none was enough yet."""
        high = torch.where(self.enough, torch.minimum(self.high, self.weight), self.high)
        low = torch.where(self.enough, self.low, torch.maximum(self.low, self.weight))
        weight = torch.where(torch.isfinite(high), (low + high) / 2, self.weight * 10).clamp(max=1e10)
        return Bisection(weight, low, high, torch.zeros_like(self.enough))


@dataclass(frozen=True)
class Averages:
    """The bisection of the weight, two running averages or points, and the number of the step."""

    weighed: Bisection
    mean: Tensor
    square: Tensor
    index: int


@dataclass(frozen=True)
class WeighedStep:
    """Adam on |change|^2 + weight x loss, the weight found by bisection (Carlini and Wagner, 2017).

    The box is kept by projection: with their change of variables, numbers that start at a bound hardly move.

    Attributes:
        steps: in a round of the bisection; after each, one more leads back to x0.
        first: the first weight.
        rate: Adam's.
    """

    steps: int
    first: float = 0.1
    rate: float = 0.01
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Averages:
        return Averages(Bisection.begun(self.first, z), torch.zeros_like(z), torch.zeros_like(z), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Averages, problem: Problem, project: Project
    ) -> tuple[Tensor, Averages]:
        assert seen.grad is not None
        weighed, number = _counted(state, seen, self.steps)
        if number == self.steps:
            none = torch.zeros_like(z)
            return project(problem.x0, problem), Averages(weighed, none, none, state.index + 1)
        grad = 2 * (z - problem.x0) + per_example(weighed.weight, z) * seen.grad
        mean, square, step = adam(grad, state.mean, state.square, number)
        return project(z - self.rate * step, problem), Averages(weighed, mean, square, state.index + 1)


@dataclass(frozen=True)
class ElasticStep:
    """Proximal steps on |change|_2^2 + beta |change|_1 + weight x loss, with momentum (EAD; Chen et al., 2018).

    `mean` of the state is the last point, and z the point ahead of it.

    Attributes:
        steps, first: as for `WeighedStep`.
        rate: of the first step of a round; it falls with the square root of what is left.
        beta: the weight of L1.
    """

    steps: int
    first: float = 0.1
    rate: float = 0.01
    beta: float = 0.01
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Averages:
        return Averages(Bisection.begun(self.first, z), z, torch.zeros_like(z), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Averages, problem: Problem, project: Project
    ) -> tuple[Tensor, Averages]:
        assert seen.grad is not None
        weighed, number = _counted(state, seen, self.steps)
        if number == self.steps:
            z = project(problem.x0, problem)
            return z, Averages(weighed, z, state.square, state.index + 1)
        rate = self.rate * (1 - number / self.steps) ** 0.5
        grad = 2 * (z - problem.x0) + per_example(weighed.weight, z) * seen.grad
        least = torch.full(z.shape[:1], self.beta, dtype=z.dtype, device=z.device)
        shrunk = proximal(L1, z - rate * grad - problem.x0, least)
        point = project(problem.x0 + shrunk, problem)
        ahead = project(point + number / (number + 3) * (point - state.mean), problem)
        return ahead, Averages(weighed, point, state.square, state.index + 1)


def _counted(state: Averages, seen: Evaluation, steps: int) -> tuple[Bisection, int]:
    """The bisection after this evaluation, and the number of this step in its round; at number `steps` one begins."""
    old, number = state.weighed, state.index % (steps + 1)
    weighed = Bisection(old.weight, old.low, old.high, old.enough | seen.success)
    return (weighed.next() if number == steps else weighed), number


@dataclass(frozen=True)
class Lagrangian:
    """RMSProp's average and momentum, the multiplier and the penalty's weight, [B], and the course of the search.

    Attributes:
        square, momentum: like z.
        multiplier, weight: of the penalty, [B].
        checked: the loss at the last check, [B].
        found: at which step the first success was, [B]; beyond the last while there is none.
        index: the number of the step.
    """

    square: Tensor
    momentum: Tensor
    multiplier: Tensor
    weight: Tensor
    checked: Tensor
    found: Tensor
    index: int


@dataclass(frozen=True)
class AugmentedStep:
    """Augmented Lagrangian (ALMA; Rony et al., 2021) with their penalty P2.

    RMSProp on |change| + penalty(loss). The multiplier follows the penalty's slope, and its weight grows while an
    example has never succeeded and its loss hardly falls.

    Attributes:
        norm: to be minimised, L1 or L2.
        steps: how many there will be: from the first success on, the step size falls to a hundredth.
        rate: the first step size.
        check: after how many steps the loss must have fallen.
    """

    norm: Norm
    steps: int
    rate: float = 0.1
    check: int = 10
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Lagrangian:
        one = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return Lagrangian(
            torch.ones_like(z), torch.zeros_like(z), one, one, one * torch.inf, one * (self.steps + 1), 0
        )  # fmt: skip

    def update(
        self, z: Tensor, seen: Evaluation, state: Lagrangian, problem: Problem, project: Project
    ) -> tuple[Tensor, Lagrangian]:
        assert seen.grad is not None
        index, loss = state.index, seen.loss
        found = torch.where(seen.success, state.found.clamp(max=index), state.found)
        weight, checked = state.weight, state.checked
        if index % self.check == self.check - 1:
            stuck = (found > self.steps) & (loss >= 0.95 * checked)
            weight, checked = torch.where(stuck, 1.2 * weight, weight), loss
        slope = _penalty_slope(loss, weight, state.multiplier)
        multiplier = state.multiplier
        if index:
            multiplier = (0.9 * multiplier + 0.1 * slope).clamp(1e-6, 1e12)
            slope = _penalty_slope(loss, weight, multiplier)
        grad = per_example(slope, z) * seen.grad + self._outwards(z - problem.x0)
        square = 0.9 * state.square + 0.1 * grad * grad
        momentum = 0.9 * state.momentum + grad / (square.sqrt() + 1e-8)
        rate = self.rate * 0.01 ** ((index - found).clamp(min=0) / (self.steps + 1 - found).clamp(min=1))
        ahead = project(z - per_example(rate, z) * momentum, problem)
        return ahead, Lagrangian(square, momentum, multiplier, weight, checked, found, index + 1)

    def _outwards(self, change: Tensor) -> Tensor:
        """The derivative of the change's size; 0 where there is none."""
        if self.norm is L1:
            return change.sign()
        return change / per_example(self.norm.size(change).clamp_min(1e-12), change)


def _penalty_slope(loss: Tensor, weight: Tensor, multiplier: Tensor) -> Tensor:
    """The derivative by the loss of P2 (Birgin et al., 2005, as chosen by Rony et al.), [B]."""
    over = loss.clamp(min=0)
    above = multiplier * (1 + 2 * weight * over) + weight**2 * over**2 / 2
    return torch.where(loss >= 0, above, multiplier / (1 - weight * loss.clamp(max=0)) ** 2)
