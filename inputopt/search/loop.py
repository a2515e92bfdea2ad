"""The one loop. Every input search of this library is these lines: score, keep the best, drop who is done, step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import l2
from inputopt.search.oracle import Oracle
from inputopt.search.problem import Evaluation, Problem, Result, take
from inputopt.search.steps.step import Step

Select = Callable[[Evaluation, Tensor, Tensor], Tensor]
"""(seen, loss and success of the best so far) -> which examples of `seen` are better, bool [B]."""


@dataclass(frozen=True)
class Snapshot:
    """What a watcher is shown: step `index`, the `ids` still searching, their inputs and outputs."""

    index: int
    ids: Tensor
    x: Tensor
    outputs: Tensor


Watch = Callable[[Snapshot], None]


def lowest_loss(seen: Evaluation, loss: Tensor, success: Tensor) -> Tensor:
    """Success before failure, and then the lower loss."""
    return (seen.success & ~success) | ((seen.success == success) & (seen.loss < loss))


def latest(seen: Evaluation, loss: Tensor, success: Tensor) -> Tensor:
    """Always the newest: for random transforms, where the lowest loss is a lucky draw."""
    return torch.ones_like(success)


def optimise(
    oracle: Oracle,
    step: Step,
    project: Project,
    problem: Problem,
    z: Tensor,
    *,
    steps: int,
    select: Select = lowest_loss,
    stop_on_success: bool = True,
    size: Callable[[Tensor], Tensor] = l2,
    watch: Watch | None = None,
) -> Result:
    """Move each input of a batch until its goal is reached or `steps` steps are made.

    Args:
        oracle: scores the inputs and gives the derivative.
        step: how to move.
        project: where the inputs must stay.
        problem: the examples.
        z: where to start, [B, ...].
        steps: how many steps at most; the last point is scored too.
        select: which point of each example to keep.
        stop_on_success: drop examples that reached the goal from the batch.
        size: measures each example's change from `problem.x0`, [B].
        watch: shown every step.
    """
    z = project(z, problem)
    whole, rows = problem, torch.arange(len(z), device=z.device)
    best: _Best | None = None
    state = step.init(z, problem)
    backwards = torch.zeros_like(rows)
    forwards = torch.zeros_like(rows)
    for index in range(steps + 1):
        seen, pull = oracle(z, problem, index)
        forwards[rows] += oracle.samples
        if best is None:
            best = _Best.start(seen)
        else:
            best.update(rows, seen, select)
        if watch is not None:
            watch(Snapshot(index, problem.ids, seen.x, seen.outputs))
        going = ~_done(seen.success, problem.group) if stop_on_success else torch.ones_like(seen.success)
        if index == steps or not bool(going.any()):
            break
        if step.uses_gradient:
            seen = replace(seen, grad=pull(going))
            backwards[rows[going]] += oracle.samples
        if not bool(going.all()):
            z, seen, state, problem, rows = take((z, seen, state, problem, rows), going)
        z, state = step.update(z, seen, state, problem, project)
    assert best is not None
    return best.result(size(best.x - whole.x0), forwards, backwards)


def _done(success: Tensor, group: Tensor | None) -> Tensor:
    """Who has reached the goal, or one of whose tries has."""
    if group is None or not bool(success.any()):
        return success
    return torch.isin(group, group[success])


@dataclass(frozen=True)
class _Best:
    """The best point of every example so far, in the order of the whole batch."""

    x: Tensor
    outputs: Tensor
    loss: Tensor
    success: Tensor

    @classmethod
    def start(cls, seen: Evaluation) -> _Best:
        return cls(seen.x.clone(), seen.outputs.clone(), seen.loss.clone(), seen.success.clone())

    def update(self, rows: Tensor, seen: Evaluation, select: Select) -> None:
        """Take what is better over; these tensors are the loop's own, so they are written to."""
        better = select(seen, self.loss[rows], self.success[rows])
        chosen = rows[better]
        for mine, new in ((self.x, seen.x), (self.outputs, seen.outputs), (self.loss, seen.loss)):
            mine.index_copy_(0, chosen, new[better])
        self.success.index_copy_(0, chosen, seen.success[better])

    def result(self, distance: Tensor, forwards: Tensor, backwards: Tensor) -> Result:
        classes: Any = self.outputs.argmax(1) if self.outputs.shape[1] else torch.full_like(forwards, -1)
        return Result(self.x, self.success, distance, classes, self.outputs, self.loss, forwards, backwards)
