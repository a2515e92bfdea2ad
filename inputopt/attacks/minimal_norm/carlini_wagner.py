"""Carlini and Wagner's attack (2017): minimises the squared L2 norm plus a weighted loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import not_negative, number, setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.minimal_norm.weight_bisection import (
    Bisection,
    WeightedLossState,
    search_weighted_loss,
    steps_per_round,
)
from inputopt.attacks.run import AttackRun
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.directions import adam


@dataclass(frozen=True)
class CarliniWagnerStep:
    """Adam on |perturbation|^2 + c x loss, with binary search of the constant c; in units of the bounds' width.

    The box is enforced by projection: with the paper's change of variables, elements that start at a bound hardly move.

    Attributes:
        steps: steps per round of the binary search; after each round one more step returns to x0.
        first: initial constant c.
        rate: Adam's learning rate.
    """

    steps: int
    first: float = 0.1
    rate: float = 0.01
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> WeightedLossState:
        return WeightedLossState(Bisection.initial(self.first, z), torch.zeros_like(z), torch.zeros_like(z), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: WeightedLossState, problem: Problem, project: Project
    ) -> tuple[Tensor, WeightedLossState]:
        bisection, number = state.seen(seen, self.steps)
        if number == self.steps:
            zeros = torch.zeros_like(z)
            return project(problem.x0, problem), WeightedLossState(bisection, zeros, zeros, state.index + 1)
        unit = problem.region.unit
        grad = 2 / unit * (z - problem.x0) + per_example(unit * bisection.weight, z) * seen.gradient
        mean, square, step = adam(grad, state.mean, state.square, number)
        return project(z - self.rate * unit * step, problem), WeightedLossState(
            bisection, mean, square, state.index + 1
        )


@dataclass(frozen=True)
class CarliniWagner(MinimalNormAttack):
    """Carlini and Wagner's attack (2017), in L2: minimises |perturbation|^2 + c x margin.

    Attributes:
        steps: total number of steps, over all rounds of the binary search.
        rounds: rounds of the binary search of the constant c.
        confidence: lead that the wrong class must have over the other classes, in logits.
        rate: Adam's learning rate, as a fraction of the bounds' width.
        weight: initial constant c; perturbations are measured in units of the bounds' width.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "FMN"

    steps: int = setting(1000, whole())
    rounds: int = setting(9, whole())
    confidence: float = setting(0.0, not_negative)
    rate: float = setting(0.01, number)
    weight: float = setting(0.1, number)

    def _search(self, run: AttackRun) -> Result:
        step = CarliniWagnerStep(steps_per_round(self.steps, self.rounds), self.weight, self.rate)
        return search_weighted_loss(run, step, self.steps, self.confidence)
