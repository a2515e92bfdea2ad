"""A bisection between x0 and an input that fools the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import per_example
from inputopt.search.problem import Evaluation, Problem


@dataclass(frozen=True)
class Segment:
    """The far end of each line, which part of it fails and which succeeds, and the part being tried, [B]."""

    end: Tensor
    low: Tensor
    high: Tensor
    tried: Tensor


@dataclass(frozen=True)
class SegmentStep:
    """Halve the part of the line from x0 to where the search began in which the network is first fooled.

    Where the search began it must be fooled; where it is not, the example stays there.
    """

    uses_gradient: ClassVar[bool] = False

    def init(self, z: Tensor, problem: Problem) -> Segment:
        one = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return Segment(z, 0 * one, one, one)

    def update(
        self, z: Tensor, seen: Evaluation, state: Segment, problem: Problem, project: Project
    ) -> tuple[Tensor, Segment]:
        low = torch.where(seen.success, state.low, state.tried)
        high = torch.where(seen.success, state.tried, state.high)
        middle = (low + high) / 2
        ahead = problem.x0 + per_example(middle, z) * (state.end - problem.x0)
        return project(ahead, problem), Segment(state.end, low, high, middle)
