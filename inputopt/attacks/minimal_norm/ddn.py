"""DDN: decoupled direction and norm (Rony et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import L2
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.step import HalfCosine


@dataclass(frozen=True)
class DDNState:
    """State: the norm of each example's perturbation, [B], and the index of the step."""

    length: Tensor
    index: int


@dataclass(frozen=True)
class DDNStep:
    """Step rule of DDN: the gradient changes the perturbation's direction, and its norm is set separately.

    The norm shrinks by `factor` after a success and grows by it after a failure.

    Attributes:
        steps: total number of steps; the step size decays from 1 to 0.01 along half a cosine.
        factor: relative change of the norm per step.
        first: initial norm if the search starts at x0; like the step size, as a fraction of the bounds' width.
    """

    steps: int
    factor: float = 0.05
    first: float = 1.0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> DDNState:
        initial = L2.size(z - problem.x0)
        return DDNState(torch.where(initial > 0, initial, self.first * problem.region.unit), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: DDNState, problem: Problem, project: Project
    ) -> tuple[Tensor, DDNState]:
        length = state.length * torch.where(seen.success, 1 - self.factor, 1 + self.factor)
        size = problem.region.unit * HalfCosine(1.0, 0.01, self.steps)(state.index)
        direction = torch.sub(z - problem.x0, L2.steepest(seen.gradient), alpha=size)
        new = torch.addcmul(problem.x0, per_example(length, z), L2.steepest(direction))
        return project(new, problem), DDNState(length, state.index + 1)


@dataclass(frozen=True)
class DDN(MinimalNormAttack):
    """Decoupled direction and norm (Rony et al., 2019), in L2.

    Attributes:
        steps: number of steps.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "FMN"

    steps: int = setting(100, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(attack_cross_entropy, DDNStep(self.steps), run.starting_points, self.steps)
