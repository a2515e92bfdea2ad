"""EAD: the elastic-net attack (Chen et al., 2018)."""

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
from inputopt.search.norms import L1, NormName
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example


@dataclass(frozen=True)
class EADStep:
    """Proximal gradient steps with momentum on |perturbation|_2^2 + beta |perturbation|_1 + c x loss.

    Perturbations are in units of the bounds' width. `mean` of the state is the iterate, and z the extrapolated point.

    Attributes:
        steps, first: as for `CarliniWagnerStep`.
        rate: initial learning rate of a round; it decays with the square root of the remaining share of steps.
        beta: weight of the L1 term.
    """

    steps: int
    first: float = 0.1
    rate: float = 0.01
    beta: float = 0.01
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> WeightedLossState:
        return WeightedLossState(Bisection.initial(self.first, z), z, torch.zeros_like(z), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: WeightedLossState, problem: Problem, project: Project
    ) -> tuple[Tensor, WeightedLossState]:
        bisection, number = state.seen(seen, self.steps)
        if number == self.steps:
            z = project(problem.x0, problem)
            return z, WeightedLossState(bisection, z, state.square, state.index + 1)
        unit, rate = problem.region.unit, self.rate * (1 - number / self.steps) ** 0.5
        grad = 2 * (z - problem.x0) + per_example(unit**2 * bisection.weight, z) * seen.gradient
        threshold = torch.full(z.shape[:1], self.beta * unit, dtype=z.dtype, device=z.device)
        shrunk = L1.proximal(z - rate * grad - problem.x0, threshold)
        point = project(problem.x0 + shrunk, problem)
        new = project(point + number / (number + 3) * (point - state.mean), problem)
        return new, WeightedLossState(bisection, point, state.square, state.index + 1)


@dataclass(frozen=True)
class EAD(MinimalNormAttack):
    """Elastic-net attack (Chen et al., 2018), in L1: minimises |p|_2^2 + beta |p|_1 + c x margin for a perturbation p.

    Attributes:
        steps, rounds, confidence, rate, weight: as for `CarliniWagner`.
        beta: weight of the L1 term.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1",)
    elsewhere: ClassVar[str] = "FMN"

    norm: NormName = "l1"
    steps: int = setting(1000, whole())
    rounds: int = setting(9, whole())
    confidence: float = setting(0.0, not_negative)
    rate: float = setting(0.01, number)
    weight: float = setting(0.1, number)
    beta: float = setting(0.01, number)

    def _search(self, run: AttackRun) -> Result:
        step = EADStep(steps_per_round(self.steps, self.rounds), self.weight, self.rate, self.beta)
        return search_weighted_loss(run, step, self.steps, self.confidence)
