"""Random squares: the step rules of the Square attack (Andriushchenko et al., 2020).

Inputs that are not images are treated as one row of numbers, and a square as a stretch of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search import chance
from inputopt.search.geometry import Project
from inputopt.search.norms import L2, per_example
from inputopt.search.problem import Evaluation, Problem

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 steps: when the area is halved


@dataclass(frozen=True)
class Kept:
    """The best point so far and its loss, and the number of the step."""

    best: Tensor
    loss: Tensor
    index: int


@dataclass(frozen=True)
class SquareLinf:
    """Set one square of each example to its lowest or highest allowed values, a choice a channel.

    Attributes:
        steps: how many there will be: it sets how the squares shrink.
        share: of the image, that a first square covers.
        seed: what the squares are drawn from.
    """

    steps: int
    share: float
    seed: int
    uses_gradient: ClassVar[bool] = False

    def start(self, problem: Problem) -> Tensor:
        """Vertical stripes of the lowest and highest allowed values."""
        assert problem.low is not None
        assert problem.high is not None
        images = as_images(problem.x0)
        drawn = chance.uniform((images.shape[1], 1, images.shape[3]), self.seed, problem.ids, 0)
        upper = (drawn < 0.5).expand(images.shape).reshape(problem.x0.shape)
        return torch.where(upper, problem.high, problem.low)

    def init(self, z: Tensor, problem: Problem) -> Kept:
        return Kept(z, torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Kept, problem: Problem, project: Project
    ) -> tuple[Tensor, Kept]:
        assert problem.low is not None
        assert problem.high is not None
        state = keep(z, seen, state)
        inside = squares(z, side(z, self.steps, self.share, state.index), self.seed, problem.ids, state.index)
        drawn = chance.uniform((as_images(z).shape[1], 1, 1), self.seed, problem.ids, 3 * state.index + 2)
        upper = (drawn < 0.5).expand(as_images(z).shape).reshape(z.shape)
        moved = torch.where(inside, torch.where(upper, problem.high, problem.low), state.best)
        return project(moved, problem), state


@dataclass(frozen=True)
class SquareL2:
    """Move the change of one square of each example, and what room there is, into a bump in another.

    Attributes:
        steps: how many there will be: it sets how the squares shrink.
        share: of the image, that a first square covers.
        seed: what the squares are drawn from.
    """

    steps: int
    share: float
    seed: int
    uses_gradient: ClassVar[bool] = False

    def start(self, problem: Problem) -> Tensor:
        """A random direction at full length."""
        assert problem.eps is not None
        drawn = chance.normal(problem.x0.shape[1:], self.seed, problem.ids, 0).to(problem.x0.dtype)
        return problem.x0 + L2.steepest(drawn) * per_example(problem.eps, drawn)

    def init(self, z: Tensor, problem: Problem) -> Kept:
        return Kept(z, torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: Kept, problem: Problem, project: Project
    ) -> tuple[Tensor, Kept]:
        assert problem.eps is not None
        state = keep(z, seen, state)
        change = state.best - problem.x0
        length = max(side(z, self.steps, self.share, state.index), 3)
        here = squares(z, length, self.seed, problem.ids, 2 * state.index)
        there = squares(z, length, self.seed, problem.ids, 2 * state.index + 1)
        drawn = chance.uniform((as_images(z).shape[1], 1, 1), self.seed, problem.ids, 3 * state.index + 2)
        signs = torch.where(drawn < 0.5, -1.0, 1.0).expand(as_images(z).shape).reshape(z.shape).to(z.dtype)
        area = per_example(here.flatten(1).sum(1), z)
        bump = L2.steepest(torch.where(here, signs + L2.steepest(change * here) * area**0.5, 0))
        rest = change * ~(here | there)
        room = (problem.eps**2 - L2.size(rest) ** 2).clamp_min(0).sqrt()
        return project(problem.x0 + rest + bump * per_example(room, z), problem), state


def keep(z: Tensor, seen: Evaluation, state: Kept) -> Kept:
    """The better of the last point and the best before."""
    better = seen.loss < state.loss
    best = torch.where(per_example(better, z), z, state.best)
    return Kept(best, torch.where(better, seen.loss, state.loss), state.index + 1)


def as_images(z: Tensor) -> Tensor:
    """Inputs as [B, C, H, W]; what is not an image as one row."""
    return z if z.ndim == 4 else z.reshape(len(z), 1, 1, -1)


def side(z: Tensor, steps: int, share: float, index: int) -> int:
    """The length of a square's side at step `index`."""
    halved = sum(index * 10_000 // steps > place for place in HALVINGS)
    height, width = as_images(z).shape[2:]
    area = share / 2**halved * height * width
    longest = min(height, width) if height > 1 else width
    return min(longest, max(1, round(math.sqrt(area) if height > 1 else area)))


def squares(z: Tensor, length: int, seed: int, ids: Tensor, draw: int) -> Tensor:
    """A random square of each example, bool, the shape of z."""
    height, width = as_images(z).shape[2:]
    corner = chance.uniform((2,), seed, ids, 3 * draw + 1)
    tall = min(length, height)
    top, left = (corner * corner.new_tensor([height - tall + 1, width - length + 1])).long().unbind(1)
    rows = torch.arange(height, device=z.device) - top[:, None]
    columns = torch.arange(width, device=z.device) - left[:, None]
    inside = ((rows >= 0) & (rows < tall))[:, :, None] & ((columns >= 0) & (columns < length))[:, None, :]
    return inside[:, None].expand(as_images(z).shape).reshape(z.shape)
