"""FMN: fast minimum-norm attack (Pintor et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import L2, Norm
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.step import HalfCosine

MIN_EPS = 1e-3
"""Minimum initial eps, as a fraction of the bounds' width: with eps 0 an example on the boundary could not move."""


MAX_EPS = 1e12
"""Maximum eps, likewise: where the gradient is zero, the linearised boundary is infinitely far away."""


@dataclass(frozen=True)
class FMNState:
    """State: eps of each example, [B]; distance of its nearest success, [B]; and the index of the step."""

    eps: Tensor
    nearest: Tensor
    index: int


@dataclass(frozen=True)
class FMNStep:
    """Gradient steps in a ball whose eps shrinks after a success and grows after a failure, by a decaying factor.

    Until the first success, eps is the distance to the boundary estimated from the loss and its gradient.

    Attributes:
        norm: norm of the ball.
        steps: total number of steps; step size and factor decay along half a cosine.
        size: initial step size, relative to the ball's radius, both in L2: such steps cross the ball and escape local
            minima in which shorter steps end.
        factor: initial relative change of eps per step.
    """

    norm: Norm
    steps: int
    size: float = 6.0
    factor: float = 0.05
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> FMNState:
        infinite = torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device)
        first = self.norm.size(z - problem.x0).clamp_min(1) if self.norm.counts else infinite
        return FMNState(first, infinite, 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: FMNState, problem: Problem, project: Project
    ) -> tuple[Tensor, FMNState]:
        region, change = problem.region, z - problem.x0
        distance = self.norm.size(change) if seen.distance is None else seen.distance
        nearest = torch.where(seen.success, torch.minimum(state.nearest, distance), state.nearest)
        factor = HalfCosine(self.factor, 0.001, self.steps)(state.index)
        eps = self._next_eps(seen, distance, nearest, state.eps, factor, region.unit)
        size = HalfCosine(self.size, self.size / 100, self.steps)(state.index)
        length = per_example(size * self.norm.l2_radius(eps, z, region.unit), z)
        change = torch.addcmul(change, L2.steepest(seen.gradient), length, value=-1)
        change = self.norm.project_fast(change, eps, problem.down, problem.up)
        return project(problem.x0 + change, problem), FMNState(eps, nearest, state.index + 1)

    def _next_eps(
        self, seen: Evaluation, distance: Tensor, nearest: Tensor, eps: Tensor, factor: float, unit: float
    ) -> Tensor:
        if self.norm.counts:
            fewer = torch.minimum(torch.minimum(eps - 1, (eps * (1 - factor)).floor()), nearest)
            more = torch.maximum(eps + 1, (eps * (1 + factor)).floor())
            return torch.where(seen.success, fewer, more).clamp_min(0)
        slope = self.norm.dual(seen.gradient).clamp_min(torch.finfo(eps.dtype).tiny)
        estimate = (distance + seen.loss.abs() / slope).clamp(MIN_EPS * unit, MAX_EPS * unit)
        wider = torch.where(torch.isinf(nearest), estimate, eps) * (1 + factor)  # just beyond the estimated boundary
        return torch.where(seen.success, torch.minimum(eps * (1 - factor), nearest), wider)


@dataclass(frozen=True)
class FMN(MinimalNormAttack):
    """Fast minimum norm (Pintor et al., 2021), in every norm.

    Attributes:
        steps: number of steps.
    """

    steps: int = setting(100, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(margin, FMNStep(run.norm, self.steps), run.starting_points, self.steps)
