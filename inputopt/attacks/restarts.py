"""Several starts for each example in one batch: as rows of their own, finished together."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.norms import Norm
from inputopt.search.problem import Problem
from inputopt.search.rows import take


def repeated(problem: Problem, restarts: int) -> Problem:
    """Every example so many times, block after block; each restart has randomness of its own."""
    if restarts == 1:
        return problem
    count = len(problem.ids)
    rows = torch.arange(count, device=problem.ids.device).repeat(restarts)
    number = torch.arange(restarts, device=problem.ids.device).repeat_interleave(count)
    again = take(problem, rows)
    return replace(again, ids=keyed_random.child(again.ids, number), restarts=restarts)


def random_start(problem: Problem, norm: Norm, seed: int) -> Tensor:
    """A random point of each example's ball, [B, ...]."""
    region = problem.region
    return problem.x0 + norm.sample(problem.x0, region.eps, region.unit, seed, problem.ids, 0)
