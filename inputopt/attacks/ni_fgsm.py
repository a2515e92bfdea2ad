"""Nesterov iterative FGSM (Lin et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import not_negative, setting, whole
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.directions import over_mean


@dataclass(frozen=True)
class Nesterov:
    """The point itself, [B, ...]; the sum of gradients; and the number of the step."""

    point: Tensor
    velocity: Tensor
    index: int


@dataclass(frozen=True)
class NesterovStep:
    """Momentum whose gradients are taken where it leads: at the point plus length x decay x the sum of gradients.

    z is that place ahead; after the last step it is the point itself.

    Attributes:
        norm: whose direction of descent is stepped along.
        steps: how many there will be.
        size: of a step, in parts of eps (in L0 of the bounds' width).
        decay: of the sum of gradients, each divided by its mean absolute value.
    """

    norm: Norm
    steps: int
    size: float
    decay: float = 1.0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Nesterov:
        return Nesterov(z, torch.zeros_like(z), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Nesterov, problem: Problem, project: Project
    ) -> tuple[Tensor, Nesterov]:
        velocity = self.decay * state.velocity + over_mean.function(seen.gradient)
        eps = torch.full_like(problem.region.eps, problem.region.unit) if self.norm.counts else problem.region.eps
        length = per_example(self.size * eps, z)
        point = project(state.point - length * self.norm.descent(velocity), problem)
        last = state.index + 1 == self.steps
        scale = self.norm.descent(torch.ones_like(z[:1]))  # as long as a step where all gradients are as large
        ahead = point if last else project(point - length * self.decay * scale * velocity, problem)
        return ahead, Nesterov(point, velocity, state.index + 1)


@dataclass(frozen=True)
class NIFGSM(Attack):
    """Momentum iterative FGSM with the gradient taken where the momentum leads (Lin et al., 2020).

    Attributes:
        steps: how many; together they are as long as the radius.
        decay: of the sum of gradients at each step.
    """

    steps: int = setting(10, whole())
    decay: float = setting(1.0, not_negative)

    def _search(self, run: AttackRun) -> Result:
        step = NesterovStep(run.norm, self.steps, run.norm.travel / self.steps, self.decay)
        return run.search(attack_cross_entropy, step, run.problem.x0, self.steps, stop=self.stop_on_success)
