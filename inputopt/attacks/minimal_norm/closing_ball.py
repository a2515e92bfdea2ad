"""Descent in a ball that shrinks towards the nearest success: the search that the portfolio repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.minimal_norm.fmn import FMNState
from inputopt.search import keyed_random
from inputopt.search.host_sync import immediate, known_none
from inputopt.search.hyperplanes import to_hyperplane, value_at_x0
from inputopt.search.norms import L2, Norm
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.rows import per_example, take
from inputopt.search.steps.step import HalfCosine

LEAST, MOST = 1e-3, 1e6
"""Minimum and maximum initial radius, as a fraction of the bounds' width: with radius 0 an example could not move."""

WIDE_SHARE = 0.3
"""Share of the steps made in enlarged balls."""

NOISY_SHARE = 0.6
"""Share of the steps made with gradient noise; the remaining steps converge without noise."""


@dataclass(frozen=True)
class ClosingBallStep:
    """Steps in a ball that shrinks after a success and grows after a failure, but stays below the nearest success.

    FMN (Pintor et al., 2021) with three changes. Step sizes are relative to the radius, and directions are steepest in
    the norm. The radius stays below the distance of the nearest success. Decaying noise is added to the gradients
    (Neelakantan et al., 2015), so that repeated searches end at different points.

    Attributes:
        norm: norm of the ball.
        steps: total number of steps; step size and factor decay over them along half a cosine.
        size: initial step size, relative to the radius; the last is a hundredth of the radius.
        factor: initial relative change of the radius per step.
        last_factor: final relative change of the radius per step.
        wide: factor by which the balls are enlarged at first; it decays to 1 over the first `WIDE_SHARE` of the steps.
        noise: initial L2 norm of the noise, relative to the gradient's.
        seed, drawn: random seed of the noise, and number of draws already used.
    """

    norm: Norm
    steps: int
    size: float = 1.0
    factor: float = 0.1
    last_factor: float = 0.003
    wide: float = 1.0
    noise: float = 0.0
    seed: int = 0
    drawn: int = 0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> FMNState:
        infinite = torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device)
        return FMNState(self.norm.size(z - problem.x0), infinite, 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: FMNState, problem: Problem, project: Project
    ) -> tuple[Tensor, FMNState]:
        region, x0 = problem.region, problem.x0
        distance = self.norm.size(seen.x - x0) if seen.distance is None else seen.distance
        nearest = torch.where(seen.success, torch.minimum(state.nearest, distance), state.nearest)
        factor = HalfCosine(self.factor, self.last_factor, self.steps)(state.index)
        width = 1 + (self.wide - 1) * max(0.0, 1 - state.index / (WIDE_SHARE * self.steps))
        eps = state.eps if width > 1 else torch.where(seen.success, state.eps * (1 - factor), state.eps * (1 + factor))
        eps = self._reach_boundary(eps, 1 + factor, torch.isinf(nearest), z, seen, problem)
        eps = torch.minimum(eps, nearest * (1 - factor))
        radius = eps * width
        length = radius * HalfCosine(self.size, 0.01, self.steps)(state.index)
        length = length * region.unit if self.norm.counts else length
        direction = self.norm.ascent(self.noisy(seen.gradient, problem, state.index))
        change = z - x0 - per_example(length, z) * direction
        change = self.norm.project_fast(change, radius, problem.down, problem.up)
        return project(x0 + change, problem), FMNState(eps, nearest, state.index + 1)

    def noisy(self, grad: Tensor, problem: Problem, index: int) -> Tensor:
        """The gradient plus the noise of step `index`; 0 where the mask forbids changes."""
        if self.noise == 0:
            return grad
        drawn = keyed_random.centred(grad.shape[1:], self.seed, problem.ids, self.drawn + index, grad.dtype)
        length = self.noise * max(0.0, 1 - index / (NOISY_SHARE * self.steps)) * L2.size(grad)
        return problem.region.masked(grad + per_example(length, grad) * L2.steepest(drawn))

    def _reach_boundary(
        self, eps: Tensor, times: float, unsuccessful: Tensor, z: Tensor, seen: Evaluation, problem: Problem
    ) -> Tensor:
        """Enlarge eps to `times` the estimated boundary distance for `unsuccessful` examples, bool [B]."""
        if known_none(unsuccessful):
            return eps
        if not immediate(unsuccessful):
            estimate = self._boundary_distance(z, seen.loss, seen.gradient, problem)
            return torch.where(unsuccessful, torch.maximum(eps, times * estimate), eps)
        rows = unsuccessful.nonzero()[:, 0]
        estimate = self._boundary_distance(*take((z, seen.loss, seen.gradient, problem), rows))
        return eps.index_put((rows,), torch.maximum(eps[rows], times * estimate))

    def _boundary_distance(self, z: Tensor, loss: Tensor, grad: Tensor, problem: Problem) -> Tensor:
        """Distance from x0 to the boundary of the loss linearised at z, [B]."""
        loss_at_x0 = value_at_x0(problem.x0, z, loss, grad).clamp(min=0)
        unit = 1.0 if self.norm.counts else problem.region.unit
        distance = self.norm.size(to_hyperplane(self.norm, problem.x0, loss_at_x0, grad, problem))
        return distance.clamp(LEAST * unit, MOST * unit)
