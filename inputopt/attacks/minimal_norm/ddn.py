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
    """The length that each example's change is given, [B], and the number of the step."""

    length: Tensor
    index: int


@dataclass(frozen=True)
class DDNStep:
    """The gradient turns the change; its length shrinks by `factor` after a success and grows by it after a failure.

    Attributes:
        steps: how many there will be: the step size falls from 1 to 0.01 along half a cosine.
        factor: by which the length changes.
        first: the first length; like the step size in parts of the bounds' width.
    """

    steps: int
    factor: float = 0.05
    first: float = 1.0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> DDNState:
        begun = L2.size(z - problem.x0)
        return DDNState(torch.where(begun > 0, begun, self.first * problem.region.unit), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: DDNState, problem: Problem, project: Project
    ) -> tuple[Tensor, DDNState]:
        length = state.length * torch.where(seen.success, 1 - self.factor, 1 + self.factor)
        size = problem.region.unit * HalfCosine(1.0, 0.01, self.steps)(state.index)
        turned = torch.sub(z - problem.x0, L2.steepest(seen.gradient), alpha=size)
        ahead = torch.addcmul(problem.x0, per_example(length, z), L2.steepest(turned))
        return project(ahead, problem), DDNState(length, state.index + 1)


@dataclass(frozen=True)
class DDN(MinimalNormAttack):
    """Decoupled direction and norm (Rony et al., 2019), in L2.

    Attributes:
        steps: how many.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "FMN"

    steps: int = setting(100, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(attack_cross_entropy, DDNStep(self.steps), run.begin, self.steps)
