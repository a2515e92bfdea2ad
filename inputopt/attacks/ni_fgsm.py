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
    """State: the iterate [B, ...], the accumulated gradient [B, ...] and the index of the step."""

    point: Tensor
    velocity: Tensor
    index: int


@dataclass(frozen=True)
class NesterovStep:
    """Nesterov momentum: gradients are taken at the look-ahead point, step size x decay x momentum beyond the iterate.

    z is the look-ahead point; after the last step it is the iterate itself.

    Attributes:
        norm: the norm whose descent direction is used.
        steps: total number of steps.
        size: step size, relative to eps (in L0 to the bounds' width).
        decay: decay factor of the accumulated gradient, whose terms are divided by their mean absolute value.
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
        point = project(state.point - length * self.norm.ascent(velocity), problem)
        last = state.index + 1 == self.steps
        scale = self.norm.ascent(torch.ones_like(z[:1]))  # step per element if all gradient elements are equal
        look_ahead = point if last else project(point - length * self.decay * scale * velocity, problem)
        return look_ahead, Nesterov(point, velocity, state.index + 1)


@dataclass(frozen=True)
class NIFGSM(Attack):
    """Momentum iterative FGSM with the gradient taken at the Nesterov look-ahead point (Lin et al., 2020).

    Attributes:
        steps: number of steps; the step sizes add up to eps (in L1 to 10 eps, in L0 to the bounds' width).
        decay: decay factor of the accumulated gradient per step.
    """

    steps: int = setting(10, whole())
    decay: float = setting(1.0, not_negative)

    def _search(self, run: AttackRun) -> Result:
        step = NesterovStep(run.norm, self.steps, run.norm.total_step / self.steps, self.decay)
        return run.search(attack_cross_entropy, step, run.problem.x0, self.steps, stop=self.stop_on_success)
