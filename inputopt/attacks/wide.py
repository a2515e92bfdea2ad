"""From a wider ball into the one that counts.

In a ball of its own size a search stops at the first hill; from further out it comes back into the ball with a better
sense of where the boundary is. L1 always needs that (Croce and Hein, 2021); networks trained in another norm than they
are attacked in, and those whose gradients fade near the data, need it in L2 and Linf as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.setting import Setting
from inputopt.search.geometry import tight_bounds
from inputopt.search.norms import L1, LINF, Norm, per_example
from inputopt.search.objectives import Objective
from inputopt.search.problem import Problem, Result
from inputopt.search.steps.step import Step

SHARE = 0.6
"""Of the steps are made in the wider balls."""


def from_wide(
    setting: Setting,
    loss: Objective,
    problem: Problem,
    start: Tensor,
    steps: int,
    wide: Sequence[float],
    make_step: Callable[[int], Step],
    leave: bool,
) -> Result:
    """Search from `start` in balls `wide` times as large, one after the other, and then in the ball itself.

    `make_step` gives the step rule for a number of steps; `leave` is as for `Setting.run`.
    """
    counts = [max(1, round(SHARE / len(wide) * steps)) for _ in wide]
    forwards, backwards = torch.zeros_like(problem.ids), torch.zeros_like(problem.ids)
    for width, count in zip(wide, counts, strict=True):
        outer = widened(problem, width, setting.norm, setting.net.bounds)
        found = setting.run(loss, make_step(count), start, count, outer, leave=leave, stop=False)
        forwards, backwards, start = forwards + found.forwards, backwards + found.backwards, found.x
    count = max(1, steps - sum(counts))
    found = setting.run(loss, make_step(count), start, count, problem, leave=leave)
    return replace(found, forwards=found.forwards + forwards, backwards=found.backwards + backwards)


def widened(problem: Problem, width: float, norm: Norm, bounds: tuple[float, float]) -> Problem:
    """The same problem in a larger ball; what may not move still may not."""
    assert problem.eps is not None
    return within(problem, problem.eps * width, norm, bounds)


def within(problem: Problem, eps: Tensor, norm: Norm, bounds: tuple[float, float]) -> Problem:
    """The same problem in balls of `eps` [B]; what may not move still may not."""
    if norm is not LINF:
        return replace(problem, eps=eps)
    low, high = tight_bounds(problem.x0, per_example(eps, problem.x0), *bounds)
    assert problem.low is not None
    assert problem.high is not None
    held = problem.low == problem.high
    return replace(problem, eps=eps, low=torch.where(held, problem.x0, low), high=torch.where(held, problem.x0, high))


def wide_balls(wide: Sequence[float] | None, norm: Norm) -> Sequence[float]:
    """The settings' wide balls, or the norm's own."""
    if wide is None:
        return (3.0, 2.0) if norm is L1 else ()
    return [checks.positive("each number of wide", width) for width in wide]
