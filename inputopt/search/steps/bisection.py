"""A bisection between x0 and an input that fools the network."""

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
    """The far end of each line, which part of it fails and which succeeds, and the part being tried, [B]."""

    end: Tensor
    low: Tensor
    high: Tensor
    tried: Tensor


@dataclass(frozen=True)
class BisectionStep:
    """Halve the way from x0 to where the search began, down to where the network is first fooled.

    The way leads through smaller and smaller balls: straight in L2, clipped in Linf, shrunk in L1, and in L0 the
    largest changes stay. Where the search began the network must be fooled; where it is not, what is found is no use.

    Attributes:
        norm: of the balls.
        low: a part of the way that is taken to be too short.
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
        way = state.end - problem.x0
        size = middle * self.norm.size(way)
        size = size.ceil() if self.norm.counts else size
        change = self.norm.project(way, size, -way.abs(), way.abs())
        return project(problem.x0 + change, problem), Segment(state.end, low, high, middle)
