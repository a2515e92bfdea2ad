"""Step rules that look for the nearest success: they close in while they succeed, and go further while they fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import L0, L2, LINF, Norm, per_example
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.steps.directions import adam
from inputopt.search.steps.step import HalfCosine


@dataclass(frozen=True)
class Sphere:
    """The length that each example's change is given, [B], and the number of the step."""

    length: Tensor
    index: int


@dataclass(frozen=True)
class DecoupledStep:
    """Decoupled direction and norm (Rony et al., 2019), in L2.

    The gradient turns the change; its length shrinks by `factor` after a success and grows by it after a failure.

    Attributes:
        steps: how many there will be: the step size falls from 1 to 0.01 along half a cosine.
        factor: by which the length changes.
        first: the first length.
    """

    steps: int
    factor: float = 0.05
    first: float = 1.0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Sphere:
        begun = L2.size(z - problem.x0)
        return Sphere(torch.where(begun > 0, begun, self.first), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Sphere, problem: Problem, project: Project
    ) -> tuple[Tensor, Sphere]:
        assert seen.grad is not None
        length = state.length * torch.where(seen.success, 1 - self.factor, 1 + self.factor)
        turned = z - problem.x0 - HalfCosine(1.0, 0.01, self.steps)(state.index) * L2.steepest(seen.grad)
        ahead = problem.x0 + per_example(length, z) * L2.steepest(turned)
        return project(ahead, problem), Sphere(length, state.index + 1)


@dataclass(frozen=True)
class Closing:
    """The ball that each example searches, [B]; its nearest success, [B]; and the number of the step."""

    eps: Tensor
    nearest: Tensor
    index: int


@dataclass(frozen=True)
class FastStep:
    """Fast minimum norm (Pintor et al., 2021), in every norm.

    Steps along the gradient inside a ball. Until the first success the ball is as large as the distance to the boundary
    seems by the loss and its gradient; then it shrinks after a success and grows after a failure, less and less.

    Attributes:
        norm: of the ball.
        steps: how many there will be: step size and factor fall along half a cosine.
        size: the first step's length, in parts of the ball's radius, both measured in L2: such steps cross the ball,
            and get past hills that shorter ones end behind.
        factor: by which the ball changes at first.
    """

    norm: Norm
    steps: int
    size: float = 6.0
    factor: float = 0.05
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Closing:
        infinite = torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device)
        first = self.norm.size(z - problem.x0).clamp_min(1) if self.norm is L0 else infinite
        return Closing(first, infinite, 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Closing, problem: Problem, project: Project
    ) -> tuple[Tensor, Closing]:
        assert seen.grad is not None
        assert problem.low is not None
        assert problem.high is not None
        distance = self.norm.size(seen.x - problem.x0)
        nearest = torch.where(seen.success, torch.minimum(state.nearest, distance), state.nearest)
        factor = HalfCosine(self.factor, 0.001, self.steps)(state.index)
        eps = self._ball(seen, distance, nearest, state.eps, factor)
        length = HalfCosine(self.size, self.size / 100, self.steps)(state.index) * self._radius(eps, z)
        change = z - problem.x0 - per_example(length, z) * L2.steepest(seen.grad)
        change = self.norm.confine(change, eps, problem.low - problem.x0, problem.high - problem.x0)
        return project(problem.x0 + change, problem), Closing(eps, nearest, state.index + 1)

    def _radius(self, eps: Tensor, z: Tensor) -> Tensor:
        """How far away the corners of the ball are in L2, [B]; in L0 those that change each number by 1."""
        if self.norm is L0:
            return eps.sqrt()
        return eps * z[0].numel() ** 0.5 if self.norm is LINF else eps

    def _ball(self, seen: Evaluation, distance: Tensor, nearest: Tensor, eps: Tensor, factor: float) -> Tensor:
        if self.norm is L0:
            fewer = torch.minimum(torch.minimum(eps - 1, (eps * (1 - factor)).floor()), nearest)
            more = torch.maximum(eps + 1, (eps * (1 + factor)).floor())
            return torch.where(seen.success, fewer, more).clamp_min(0)
        assert seen.grad is not None
        ahead = distance + seen.loss.abs() / self.norm.dual(seen.grad).clamp_min(1e-12)
        # a little beyond where the boundary seems to be: a ball that ends on it would never be left
        wider = torch.where(torch.isfinite(nearest), eps, ahead.clamp_min(1e-3)) * (1 + factor)
        return torch.where(seen.success, torch.minimum(eps * (1 - factor), nearest), wider)


@dataclass(frozen=True)
class Sparse:
    """Adam's two averages, the threshold below which a change is dropped, [B], and the number of the step."""

    mean: Tensor
    square: Tensor
    threshold: Tensor
    index: int


@dataclass(frozen=True)
class SparseStep:
    """Sigma-zero (Cina et al., 2025), in L0: Adam on the margin and a smooth count of what is changed.

    After each step, changes below a threshold are dropped; it rises after a success and falls after a failure.

    Attributes:
        steps: how many there will be: the step size falls to a tenth along half a cosine.
        size: the first step.
        first: the first threshold.
        rate: of the threshold, in parts of the step size.
    """

    steps: int
    size: float = 1.0
    first: float = 0.3
    rate: float = 0.01
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Sparse:
        none = torch.zeros_like(z)
        return Sparse(none, none, torch.full(z.shape[:1], self.first, dtype=z.dtype, device=z.device), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Sparse, problem: Problem, project: Project
    ) -> tuple[Tensor, Sparse]:
        assert seen.grad is not None
        grad = seen.grad / per_example(seen.grad.flatten(1).abs().amax(1).clamp_min(1e-12), z)
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        length = HalfCosine(self.size, 0.1 * self.size, self.steps)(max(state.index - 1, 0))
        change = project(z - length * step, problem) - problem.x0
        rate = self.rate * HalfCosine(self.size, 0.1 * self.size, self.steps)(state.index)
        threshold = (state.threshold + torch.where(seen.success, rate, -rate)).clamp(0, 1)
        kept = torch.where(change.abs() < per_example(threshold, z), 0, change)
        return problem.x0 + kept, Sparse(mean, square, threshold, state.index + 1)
