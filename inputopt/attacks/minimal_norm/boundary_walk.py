"""A walk along the decision boundary towards its point nearest to x0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.hyperplanes import to_hyperplane, value_at_x0
from inputopt.search.norms import Norm
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.rows import chosen, per_example


@dataclass(frozen=True)
class BoundaryPoint:
    """State of the walk: the nearest success of each example.

    Attributes:
        point, grad: the nearest success and the gradient there, [B, ...]; of the last point while there is none.
        loss, distance: its loss and its distance from x0, [B]; the distance is infinite while there is none.
        share: length of the next step, as a fraction of the way to the nearest point of the hyperplane, [B].
    """

    point: Tensor
    grad: Tensor
    loss: Tensor
    distance: Tensor
    share: Tensor


@dataclass(frozen=True)
class BoundaryWalkStep:
    """Step from the nearest success towards the point of the linearised boundary that is nearest to x0.

    That point is the smallest perturbation inside the box that reaches the linearised boundary, as in Brendel et al.
    (2019). A step covers a fraction of the way from the nearest success: the fraction is doubled (up to 1) after a step
    that comes nearer to x0 and halved after one that does not. A linear boundary is reached in one step. Not for L0,
    where points between two sparse perturbations are not sparse.

    Attributes:
        norm: the norm to minimise: L1, L2 or Linf.
        overshoot: relative extra length of the perturbation beyond the hyperplane.
    """

    norm: Norm
    overshoot: float = 0.001
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> BoundaryPoint:
        ones = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return BoundaryPoint(z, torch.zeros_like(z), ones, ones * torch.inf, ones)

    def update(
        self, z: Tensor, seen: Evaluation, state: BoundaryPoint, problem: Problem, project: Project
    ) -> tuple[Tensor, BoundaryPoint]:
        distance = torch.where(seen.success, self.norm.size(seen.x - problem.x0), torch.inf)
        improved = (distance < state.distance) | torch.isinf(state.distance)
        share = torch.where(improved, (2 * state.share).clamp(max=1), state.share / 2)
        point, grad = chosen(improved, z, state.point), chosen(improved, seen.gradient, state.grad)
        loss = torch.where(improved, seen.loss, state.loss)
        loss_at_x0 = value_at_x0(problem.x0, point, loss, grad)
        nearest = problem.x0 + (1 + self.overshoot) * to_hyperplane(self.norm, problem.x0, loss_at_x0, grad, problem)
        new = project(point + per_example(share, z) * (nearest - point), problem)
        return new, BoundaryPoint(point, grad, loss, torch.minimum(distance, state.distance), share)
