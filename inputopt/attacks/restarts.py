"""Random restarts: several rows per example in one batch, finished together."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.norms import Norm
from inputopt.search.problem import Problem
from inputopt.search.rows import take


def repeated(problem: Problem, restarts: int) -> Problem:
    """Repeat every example `restarts` times, in blocks; each restart has its own random numbers."""
    if restarts == 1:
        return problem
    count = len(problem.ids)
    rows = torch.arange(count, device=problem.ids.device).repeat(restarts)
    restart = torch.arange(restarts, device=problem.ids.device).repeat_interleave(count)
    copies = take(problem, rows)
    return replace(copies, ids=keyed_random.child(copies.ids, restart), restarts=restarts)


def random_start(problem: Problem, norm: Norm, seed: int) -> Tensor:
    """A random point in each example's ball, [B, ...]."""
    region = problem.region
    return problem.x0 + norm.sample(problem.x0, region.eps, region.unit, seed, problem.ids, 0)
