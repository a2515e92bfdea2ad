"""Descent in a ball that closes in on the nearest success, as the minimal-norm portfolio makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search import chance
from inputopt.search.geometry import Project
from inputopt.search.norms import L2, Norm, per_example
from inputopt.search.planes import ahead_at, to_plane
from inputopt.search.problem import Evaluation, Problem, take, where_movable
from inputopt.search.steps.directions import Direction
from inputopt.search.steps.nearest import Closing
from inputopt.search.steps.step import HalfCosine

LEAST = 1e-3
"""The least first ball: one that ends on the boundary itself would never be left."""

WIDE_SHARE = 0.3
"""Of the steps are made in wider balls."""

NOISY_SHARE = 0.6
"""Of the steps are made with noise; the others settle where they led."""


@dataclass(frozen=True)
class ChaseStep:
    """Steps in parts of a ball that shrinks after a success and grows after a failure, never to the nearest again.

    Fast minimum norm (Pintor et al., 2021) with three changes: steps are measured in parts of the ball and steepest in
    its own norm, so that they fit inputs of any scale; the ball never grows back to where a success is known; and noise
    that falls to none is added to gradients (Neelakantan et al., 2015), so that each search ends elsewhere.

    Attributes:
        norm: of the ball.
        direction: what becomes of a gradient.
        steps: how many there will be: step size and factor fall over them along half a cosine.
        size: the first step, in parts of the ball; the last is a hundredth of the ball.
        factor: by which the ball changes at first.
        last_factor: by which it changes at last.
        wide: how many times as large balls are at first; they come down to their size over part of the steps.
        noise: how long the first noise is, in parts of the gradient (L2).
        seed, drawn: what the noise is drawn by, and how often that was done before.
    """

    norm: Norm
    direction: Direction
    steps: int
    size: float = 1.0
    factor: float = 0.1
    last_factor: float = 0.003
    wide: float = 1.0
    noise: float = 0.0
    seed: int = 0
    drawn: int = 0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Closing:
        infinite = torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device)
        return Closing(self.norm.size(z - problem.x0), infinite, 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Closing, problem: Problem, project: Project
    ) -> tuple[Tensor, Closing]:
        assert seen.grad is not None
        assert problem.low is not None
        assert problem.high is not None
        distance = self.norm.size(seen.x - problem.x0)
        nearest = torch.where(seen.success, torch.minimum(state.nearest, distance), state.nearest)
        factor = HalfCosine(self.factor, self.last_factor, self.steps)(state.index)
        width = 1 + (self.wide - 1) * max(0.0, 1 - state.index / (WIDE_SHARE * self.steps))
        eps = state.eps if width > 1 else torch.where(seen.success, state.eps * (1 - factor), state.eps * (1 + factor))
        lost = torch.isinf(nearest)
        if bool(lost.any()):
            seeming = (1 + factor) * self._seeming(z, seen, problem, lost)
            eps = eps.masked_scatter(lost, torch.maximum(eps[lost], seeming))
        eps = torch.minimum(eps, nearest * (1 - factor))
        ball = eps * width
        length = ball * HalfCosine(self.size, 0.01, self.steps)(state.index)
        way, _ = self.direction.update(self.noisy(seen.grad, problem, state.index), ())
        change = z - problem.x0 - per_example(length, z) * way
        change = self.norm.confine(change, ball, problem.low - problem.x0, problem.high - problem.x0)
        return project(problem.x0 + change, problem), Closing(eps, nearest, state.index + 1)

    def noisy(self, grad: Tensor, problem: Problem, index: int) -> Tensor:
        """The gradient with the noise of step `index`, which moves nothing that may not move."""
        if self.noise == 0:
            return grad
        drawn = chance.centred(grad.shape[1:], self.seed, problem.ids, self.drawn + index, grad.dtype)
        length = self.noise * max(0.0, 1 - index / (NOISY_SHARE * self.steps)) * L2.size(grad)
        return where_movable(grad + per_example(length, grad) * L2.steepest(drawn), problem)

    def _seeming(self, z: Tensor, seen: Evaluation, problem: Problem, rows: Tensor) -> Tensor:
        """How far from x0 the boundary is if the loss goes on as it does at z, for some of the examples."""
        assert seen.grad is not None
        z, loss, grad, problem = take((z, seen.loss, seen.grad, problem), rows)
        ahead = ahead_at(problem.x0, z, loss, grad).clamp(min=0)
        return self.norm.size(to_plane(self.norm, problem.x0, ahead, grad, problem)).clamp_min(LEAST)
