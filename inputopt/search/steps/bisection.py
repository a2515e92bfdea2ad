"""Bisection between x0 and an adversarial input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.norms import Norm
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project


@dataclass(frozen=True)
class Segment:
    """End of each segment [B, ...]; its largest failing, smallest successful and evaluated fractions, [B] each."""

    end: Tensor
    low: Tensor
    high: Tensor
    tried: Tensor


@dataclass(frozen=True)
class BisectionStep:
    """Bisect between x0 and the starting point for the smallest change that is adversarial.

    Each candidate is the starting point's change projected to a smaller ball: scaled in L2, clipped in Linf, soft
    thresholded in L1, and in L0 reduced to the largest changes. The starting point must be adversarial; otherwise the
    result is meaningless.

    Attributes:
        norm: norm of the balls.
        low: fraction of the starting change's size that is assumed to fail.
    """

    norm: Norm
    low: float = 0.0
    uses_gradient: ClassVar[bool] = False

    def init(self, z: Tensor, problem: Problem) -> Segment:
        one = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return Segment(z, self.low * one, one, one)

    def update(
        self, z: Tensor, seen: Evaluation, state: Segment, problem: Problem, project: Project
    ) -> tuple[Tensor, Segment]:
        low = torch.where(seen.success, state.low, state.tried)
        high = torch.where(seen.success, state.tried, state.high)
        middle = (low + high) / 2
        end_change = state.end - problem.x0
        size = middle * self.norm.size(end_change)
        size = size.ceil() if self.norm.counts else size
        change = self.norm.project(end_change, size, -end_change.abs(), end_change.abs())
        return project(problem.x0 + change, problem), Segment(state.end, low, high, middle)
