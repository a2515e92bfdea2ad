"""Jacobian-based saliency: a few numbers at a time go to the end of their range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.planes import box_around
from inputopt.search.problem import Evaluation, Problem


@dataclass(frozen=True)
class SaliencyStep:
    """JSMA's step (Papernot et al., 2016), either way for each number (Wiyatno and Xu, 2018).

    The saliency of a number is what the probability of the target gains by it times what the others lose. As
    probabilities add up to 1 these are the same but for the sign: one backward tells both, and the best pair are the
    best two.

    No number moves twice.

    Attributes:
        pixels: how many numbers move at a time.
    """

    pixels: int = 2
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[Tensor]:
        return (torch.zeros_like(z, dtype=torch.bool),)

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[Tensor], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[Tensor]]:
        assert seen.grad is not None
        down, up = box_around(z, problem)
        room = torch.where(seen.grad > 0, down, up)
        (touched,) = state
        saliency = (seen.grad.abs() * ((room != 0) & ~touched)).flatten(1)
        best = saliency.topk(min(self.pixels, saliency.shape[1]), dim=1)
        moved = torch.zeros_like(saliency).scatter(1, best.indices, (best.values > 0).to(z.dtype)).reshape(z.shape)
        return project(z + moved * room, problem), (touched | (moved > 0),)
