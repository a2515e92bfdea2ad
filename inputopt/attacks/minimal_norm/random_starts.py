"""Random images from which a decision-based attack starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.run import AttackRun
from inputopt.search import keyed_random
from inputopt.search.loop import on_success
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, failures_at_infinity

KINDS = 4
"""Kinds of images tried in turn: random elements, elements at either bound, one value, and the input mirrored."""


@dataclass(frozen=True)
class RandomImageStep:
    """Replace each input by the next of a sequence of random images.

    Attributes:
        seed: random seed.
    """

    seed: int
    uses_gradient: ClassVar[bool] = False

    def init(self, z: Tensor, problem: Problem) -> int:
        return 0

    def update(self, z: Tensor, seen: Evaluation, state: int, problem: Problem, project: Project) -> tuple[Tensor, int]:
        return project(random_image(problem, self.seed, state + 1), problem), state + 1


def random_image(problem: Problem, seed: int, number: int) -> Tensor:
    """Image `number` of each example's sequence, [B, ...]; without bounds, further from x0 with every `KINDS`."""
    x0, region = problem.x0, problem.region
    reach = region.unit * 2.0 ** (number // KINDS)
    low = torch.where(region.low.isfinite(), region.low, x0 - reach)
    high = torch.where(region.high.isfinite(), region.high, x0 + reach)
    kind = number % KINDS
    if kind == 3:
        return low + high - x0
    one_value = (1,) * (x0.ndim - 1)
    drawn = keyed_random.uniform(one_value if kind == 2 else x0.shape[1:], seed, problem.ids, number).to(x0)
    return low + (high - low) * (drawn.round() if kind == 1 else drawn).expand(x0.shape)


def random_starts(run: AttackRun, count: int, seed: int) -> Result:
    """Evaluate up to `count` random images for each example of a run, until one meets the goal."""
    first = random_image(run.problem, seed, 0)
    return failures_at_infinity(run.search_nearest(margin, RandomImageStep(seed), first, count - 1, stop=on_success))
