"""Descent in a ball that closes in on the nearest success: the search that the portfolio repeats."""

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
"""The least and the largest first ball, in parts of the bounds' width: one on the boundary would never be left."""

WIDE_SHARE = 0.3
"""Of the steps are made in wider balls."""

NOISY_SHARE = 0.6
"""Of the steps are made with noise; the others settle where they led."""


@dataclass(frozen=True)
class ClosingBallStep:
    """Steps in parts of a ball that shrinks after a success and grows after a failure, never to the nearest again.

    Fast minimum norm (Pintor et al., 2021) with three changes: steps are measured in parts of the ball and steepest in
    its own norm, so that they fit inputs of any scale; the ball never grows back to where a success is known; and noise
    that falls to none is added to gradients (Neelakantan et al., 2015), so that each search ends elsewhere.

    Attributes:
        norm: of the ball.
        steps: how many there will be: step size and factor fall over them along half a cosine.
        size: the first step, in parts of the ball; the last is a hundredth of the ball.
        factor: by which the ball changes at first.
        last_factor: by which it changes at last.
        wide: how many times as large balls are at first; they come down to their size over part of the steps.
        noise: how long the first noise is, in parts of the gradient (L2).
        seed, drawn: what the noise is drawn by, and how often that was done before.
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
        eps = self._at_least_to_the_boundary(eps, 1 + factor, torch.isinf(nearest), z, seen, problem)
        eps = torch.minimum(eps, nearest * (1 - factor))
        ball = eps * width
        length = ball * HalfCosine(self.size, 0.01, self.steps)(state.index)
        length = length * region.unit if self.norm.counts else length
        way = self.norm.descent(self.noisy(seen.gradient, problem, state.index))
        change = z - x0 - per_example(length, z) * way
        change = self.norm.project_fast(change, ball, problem.down, problem.up)
        return project(x0 + change, problem), FMNState(eps, nearest, state.index + 1)

    def noisy(self, grad: Tensor, problem: Problem, index: int) -> Tensor:
        """The gradient with the noise of step `index`, which moves nothing that may not change."""
        if self.noise == 0:
            return grad
        drawn = keyed_random.centred(grad.shape[1:], self.seed, problem.ids, self.drawn + index, grad.dtype)
        length = self.noise * max(0.0, 1 - index / (NOISY_SHARE * self.steps)) * L2.size(grad)
        return problem.region.masked(grad + per_example(length, grad) * L2.steepest(drawn))

    def _at_least_to_the_boundary(
        self, eps: Tensor, times: float, lost: Tensor, z: Tensor, seen: Evaluation, problem: Problem
    ) -> Tensor:
        """Balls of `lost` examples, bool [B], reach at least `times` as far as the boundary seems to be from z."""
        if known_none(lost):
            return eps
        if not immediate(lost):
            seeming = self._seeming(z, seen.loss, seen.gradient, problem)
            return torch.where(lost, torch.maximum(eps, times * seeming), eps)
        rows = lost.nonzero()[:, 0]
        seeming = self._seeming(*take((z, seen.loss, seen.gradient, problem), rows))
        return eps.index_put((rows,), torch.maximum(eps[rows], times * seeming))

    def _seeming(self, z: Tensor, loss: Tensor, grad: Tensor, problem: Problem) -> Tensor:
        """How far from x0 the boundary is if the loss goes on as it does at z, [B]."""
        ahead = value_at_x0(problem.x0, z, loss, grad).clamp(min=0)
        unit = 1.0 if self.norm.counts else problem.region.unit
        distance = self.norm.size(to_hyperplane(self.norm, problem.x0, ahead, grad, problem))
        return distance.clamp(LEAST * unit, MOST * unit)
