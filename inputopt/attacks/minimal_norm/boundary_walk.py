"""A walk along the boundary to the place where it is nearest."""

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
    """The nearest success of each example, [B, ...]; what was seen of it; and how far the next step goes, [B].

    Attributes:
        point, grad: the success and the derivative there; where there is none yet, of the last point.
        loss, distance: its loss and its distance from x0, infinite where there is none yet.
        share: of the way to where the plane is nearest.
    """

    point: Tensor
    grad: Tensor
    loss: Tensor
    distance: Tensor
    share: Tensor


@dataclass(frozen=True)
class BoundaryWalkStep:
    """From the nearest success towards where the boundary, if it were a plane, would be nearest to x0.

    The least change to the linearised boundary inside the box, as Brendel and others (2019) walk along it; but steps
    are parts of the way there, from the best foothold: twice as long after each that gains, half as long after each
    that slips. A plane is reached in one. Not for L0, where what lies between two sparse changes is not sparse.

    Attributes:
        norm: to be minimised; L1, L2 or Linf.
        overshoot: how much further than to the plane it goes.
    """

    norm: Norm
    overshoot: float = 0.001
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> BoundaryPoint:
        one = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return BoundaryPoint(z, torch.zeros_like(z), one, one * torch.inf, one)

    def update(
        self, z: Tensor, seen: Evaluation, state: BoundaryPoint, problem: Problem, project: Project
    ) -> tuple[Tensor, BoundaryPoint]:
        distance = torch.where(seen.success, self.norm.size(seen.x - problem.x0), torch.inf)
        gained = (distance < state.distance) | torch.isinf(state.distance)
        share = torch.where(gained, (2 * state.share).clamp(max=1), state.share / 2)
        point, grad = chosen(gained, z, state.point), chosen(gained, seen.gradient, state.grad)
        loss = torch.where(gained, seen.loss, state.loss)
        start = value_at_x0(problem.x0, point, loss, grad)
        aim = problem.x0 + (1 + self.overshoot) * to_hyperplane(self.norm, problem.x0, start, grad, problem)
        ahead = project(point + per_example(share, z) * (aim - point), problem)
        return ahead, BoundaryPoint(point, grad, loss, torch.minimum(distance, state.distance), share)
