"""Fast gradient sign method (Goodfellow et al., 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result


@dataclass(frozen=True)
class LowestPointStep:
    """Step to the point of ball and box where the linearised loss is lowest.

    Attributes:
        norm: norm of the ball.
    """

    norm: Norm
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        region = problem.region
        down, up = region.room(problem.x0)
        change = self.norm.lowest(seen.gradient, region.eps, down, up, region.unit)
        return project(problem.x0 + change, problem), state


@dataclass(frozen=True)
class FGSM(Attack):
    """One step from the input to the minimum of the linearised loss, in every norm (Goodfellow et al., 2015)."""

    def _search(self, run: AttackRun) -> Result:
        step = LowestPointStep(run.norm)
        return run.search(attack_cross_entropy, step, run.problem.x0, 1, stop=self.stop_on_success)
