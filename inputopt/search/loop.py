"""The one loop. Every input search of this library is these lines: score, keep the best, drop who is done, step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.inference.threads import threads_for_numbers
from inputopt.search.geometry import Project
from inputopt.search.norms import chosen, l2
from inputopt.search.oracle import Oracle
from inputopt.search.problem import Evaluation, Problem, Result, take, where_movable
from inputopt.search.steps.step import Step

Score = Callable[[Evaluation, Problem], Tensor]
"""What an example's points are compared by among themselves, lower is better, [B]."""

Stop = Callable[[Evaluation, Problem], Tensor]
"""Which examples are done, bool [B]."""


def by_loss(seen: Evaluation, problem: Problem) -> Tensor:
    """The lower loss is better."""
    return seen.loss


def by_distance(size: Callable[[Tensor], Tensor]) -> Score:
    """Among points that reach the goal, the nearer to x0 is better; among the others, the lower loss."""

    def score(seen: Evaluation, problem: Problem) -> Tensor:
        return torch.where(seen.success, size(seen.x - problem.x0), seen.loss)

    return score


def on_success(seen: Evaluation, problem: Problem) -> Tensor:
    """Done as soon as the goal is reached."""
    return seen.success


def at_x0(seen: Evaluation, problem: Problem) -> Tensor:
    """Done if x0 itself reaches the goal: nothing is nearer."""
    return seen.success & (seen.x == problem.x0).flatten(1).all(1)


def at_the_end(seen: Evaluation, problem: Problem) -> Tensor:
    """Done only when the steps are."""
    return torch.zeros_like(seen.success)


Select = Callable[[Evaluation, Tensor, Tensor], Tensor]
"""(seen, with its score for a loss; score and success of the best so far) -> which of `seen` are better, bool [B]."""


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a search.

    Attributes:
        result: the best so far, as it would have been returned.
        pictures: the pictures so far, where pictures were being made.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("interrupted")
        self.result = result
        self.pictures: list[Any] = []


def optimise(
    oracle: Oracle,
    step: Step,
    project: Project,
    problem: Problem,
    z: Tensor,
    *,
    steps: int,
    score: Score = by_loss,
    select: Select = lowest_loss,
    stop: Stop = on_success,
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
        score: what an example's points are compared by; it is the result's `loss`.
        select: which point of each example to keep.
        stop: which examples are done, and dropped from the batch.
        size: measures each example's change from `problem.x0`, [B].
        watch: shown every step.

    Raises:
        Interrupted: by Ctrl-C, once every example was scored; it holds the result so far.
    """
    z = project(z, problem)
    x0, rows = problem.x0, torch.arange(len(z), device=z.device)
    best: Evaluation | None = None
    found = _Found(len(z), oracle.samples, oracle.backwards if step.uses_gradient else 0)
    state = step.init(z, problem)
    try:
        for index in range(steps + 1):
            with threads_for_numbers(z.numel()):
                seen, pull = oracle(z, problem, index)
                best = _better(best, replace(seen, loss=score(seen, problem)), select)
                if watch is not None:
                    watch(Snapshot(index, problem.ids, seen.x, seen.outputs))
                going = ~_together(stop(seen, problem), problem.group)
                if index == steps or not bool(going.any()):
                    break
                if step.uses_gradient:
                    seen = replace(seen, grad=where_movable(pull(going), problem))
                if not bool(going.all()):
                    kept = take((z, seen, state, problem, rows, best), going)
                    found.leave(rows, ~going, best, index)
                    z, seen, state, problem, rows, best = kept
                    del kept
                z, state = step.update(z, seen, state, problem, project)
                del seen, pull  # of a large image every copy counts
    except KeyboardInterrupt as stopped:
        if best is None:
            raise
        found.leave(rows, torch.ones_like(rows, dtype=torch.bool), best, index)
        raise Interrupted(found.result(x0, size)) from stopped
    assert best is not None
    found.leave(rows, torch.ones_like(rows, dtype=torch.bool), best, index)
    return found.result(x0, size)


def _together(done: Tensor, group: Tensor | None) -> Tensor:
    """Who is done, or one of whose tries is."""
    if group is None or not bool(done.any()):
        return done
    return torch.isin(group, group[done])


def _better(best: Evaluation | None, seen: Evaluation, select: Select) -> Evaluation:
    """Of each example the better of two points."""
    if best is None:
        return seen
    better = select(seen, best.loss, best.success)
    count = int(better.sum())
    if count in (0, len(better)):
        return seen if count else best
    x = chosen(better, seen.x, best.x)
    outputs = torch.where(better[:, None], seen.outputs, best.outputs)
    loss, success = torch.where(better, seen.loss, best.loss), torch.where(better, seen.success, best.success)
    return Evaluation(x, outputs, loss, success)


class _Found:
    """Collects the best point of every example as it leaves the batch, with what it cost."""

    def __init__(self, examples: int, samples: int, backwards: int) -> None:
        self._examples, self._samples, self._backwards = examples, samples, backwards
        self._parts: list[tuple[Tensor, Evaluation, int]] = []

    def leave(self, rows: Tensor, done: Tensor, best: Evaluation, steps: int) -> None:
        """Those of `rows` that are `done` (bool) leave after so many steps."""
        self._parts.append((rows[done], take(replace(best, grad=None), done), steps))

    def result(self, x0: Tensor, size: Callable[[Tensor], Tensor]) -> Result:
        """The examples in the order of the whole batch."""
        parts = [(best.x, best.outputs, best.loss, best.success) for _, best, _ in self._parts]
        x, outputs, loss, success = parts[0]
        steps = torch.cat([torch.full_like(rows, steps) for rows, _, steps in self._parts])
        if len(parts) > 1:
            order = torch.cat([rows for rows, _, _ in self._parts]).argsort()
            x, outputs, loss, success = (torch.cat(column)[order] for column in zip(*parts, strict=True))
            steps = steps[order]
        classes: Any = outputs.argmax(1) if outputs.shape[1] else torch.full_like(steps, -1)
        forwards, backwards = (steps + 1) * self._samples, steps * self._samples * self._backwards
        return Result(x, success, size(x - x0), classes, outputs, loss, forwards, backwards)
