"""The optimisation loop of all input searches: evaluate, keep the best, drop finished examples, step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.inference.threads import threads_for_numbers
from inputopt.search.host_sync import Departures, immediate, known_all, known_none, positions
from inputopt.search.norms.l2 import l2
from inputopt.search.oracles.oracle import Oracle
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import Result
from inputopt.search.rows import chosen, per_example, take
from inputopt.search.steps.step import Step

Score = Callable[[Evaluation, Problem], Tensor]
"""Per-example selection score, [B]: lower is better. Comparable only between two successes or two failures."""

Stop = Callable[[Evaluation, Problem], Tensor]
"""Which examples are finished, bool [B]."""

Size = Callable[[Tensor], Tensor]
"""Size of each change [B, ...], [B]."""


def by_loss(seen: Evaluation, problem: Problem) -> Tensor:
    """Score [B] by the loss: lower is better."""
    return seen.loss


def by_distance(seen: Evaluation, problem: Problem) -> Tensor:
    """Score [B]: successes by their distance to x0, failures by their loss.

    Raises:
        ValueError: the search does not measure distances; pass this function itself to `optimise` as `score`.
    """
    if seen.distance is None:
        raise ValueError(
            "Scoring by distance needs a search that computes distances; pass by_distance itself as the score."
        )
    return torch.where(seen.success, seen.distance, seen.loss)


def on_success(seen: Evaluation, problem: Problem) -> Tensor:
    """Finished as soon as the goal is reached, bool [B]."""
    return seen.success


def at_x0(seen: Evaluation, problem: Problem) -> Tensor:
    """Finished if x0 itself reaches the goal, since no input is nearer."""
    if known_none(seen.success):
        return seen.success
    if seen.distance is None:
        return seen.success & (seen.x == problem.x0).flatten(1).all(1)
    return seen.success & (seen.distance == 0)


def at_the_end(seen: Evaluation, problem: Problem) -> Tensor:
    """Never finished early: run all steps; bool [B]."""
    return torch.zeros_like(seen.success)


Select = Callable[[Evaluation, Tensor, Tensor], Tensor]
"""(evaluation with its score as `loss`, best score, best success) -> which evaluated points are better, bool [B]."""


def lowest_loss(seen: Evaluation, loss: Tensor, success: Tensor) -> Tensor:
    """Success is better than failure; otherwise the lower score is better."""
    if known_none(seen.success) and known_none(success):
        return seen.loss < loss
    return torch.where(seen.success == success, seen.loss < loss, seen.success)


def latest(seen: Evaluation, loss: Tensor, success: Tensor) -> Tensor:
    """Always the newest point: for random transforms, under which the lowest loss is due to chance."""
    return torch.ones_like(success)


@dataclass(frozen=True)
class Snapshot:
    """Argument of `Watch`: step `index`, `ids` of the unfinished examples, their inputs and outputs."""

    index: int
    ids: Tensor
    x: Tensor
    outputs: Tensor


Watch = Callable[[Snapshot], None]


class Interrupted(KeyboardInterrupt):
    """Raised when a search is interrupted by Ctrl-C.

    Attributes:
        result: the best result so far, in the form that the search returns.
        pictures: the pictures made so far, in functions that make pictures.
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
    size: Size = l2,
    watch: Watch | None = None,
) -> Result:
    """Optimise each input of a batch until its goal is reached or `steps` steps are made.

    The host never synchronises with the device: finished rows are dropped at once on a CPU and one step late on other
    devices, which costs time but does not change results.

    Args:
        oracle: evaluates the loss, the goal and the gradient at the inputs.
        step: the step rule.
        project: projection onto the allowed set.
        problem: the examples.
        z: starting points, [B, ...].
        steps: maximum number of steps; the last point is evaluated too.
        score: the per-example selection score; it becomes the result's `loss`.
        select: which point of each example to keep.
        stop: which examples are finished and are dropped from the batch.
        size: measures each example's change from `problem.x0`, [B].
        watch: called at every step.

    Raises:
        Interrupted: on Ctrl-C, once every example has been evaluated; it holds the result so far.
    """
    z = project(z, problem)
    full_problem, collected, departures = problem, _Collected(), Departures()
    rows = torch.arange(len(z), device=z.device)
    best: _Best | None = None
    state = step.init(z, problem)
    try:
        for index in range(steps + 1):
            with threads_for_numbers(z.numel()):
                seen, vjp = oracle(z, problem, index)
                seen = _measured(seen, problem, size, score)
                best = _better(best, seen, score(seen, problem), select, _finished(stop, seen, problem), problem)
                if watch is not None:
                    watch(Snapshot(index, problem.ids, seen.x, seen.outputs))
                if index == steps:
                    break
                done, kept = departures.finished(best.done), None
                if done is not None:
                    if done.all():
                        break
                    kept = positions(~done, z.device)
                grad = vjp(kept) if step.uses_gradient else None
                if done is not None and kept is not None:
                    collected.add(rows, best, positions(done, z.device))
                    z, seen, state, problem, rows, best = take((z, seen, state, problem, rows, best), kept)
                    departures.drop(~done)
                seen = replace(seen, grad=None if grad is None else problem.region.masked(grad))
                z, state = step.update(z, seen, state, problem, project)
                if seen.valid is not None:
                    z = _best_where_invalid(z, seen.valid, best.x)
                del seen, vjp, grad  # free memory before the next step: copies of a large image are expensive
    except KeyboardInterrupt as stopped:
        if best is None:
            raise
        collected.add(rows, best)
        raise Interrupted(collected.result(full_problem, size, oracle.meter)) from stopped
    assert best is not None  # the loop runs at least once
    collected.add(rows, best)
    return collected.result(full_problem, size, oracle.meter)


@dataclass(frozen=True)
class _Best:
    """The best point of each example so far, as in `Evaluation` with its score as `loss`; `done` means finished."""

    x: Tensor
    outputs: Tensor
    loss: Tensor
    success: Tensor
    done: Tensor


def _measured(seen: Evaluation, problem: Problem, size: Size, score: Score) -> Evaluation:
    """Add distances to an evaluation if they are the selection score."""
    return replace(seen, distance=size(seen.x - problem.x0)) if score is by_distance else seen


def _finished(stop: Stop, seen: Evaluation, problem: Problem) -> Tensor:
    """Examples that are finished, including all restarts of an example with a finished restart."""
    done = stop(seen, problem)
    if problem.restarts == 1 or known_none(done):
        return done
    return ((problem.example[:, None] == problem.example) & done).any(1)


def _better(
    best: _Best | None, seen: Evaluation, score: Tensor, select: Select, done: Tensor, problem: Problem
) -> _Best:
    """The better of two points of each example; a finished example that is still in the batch keeps its point."""
    if best is None:
        return _Best(_x0_where_invalid(seen, problem), seen.outputs, score, seen.success, done)
    better = select(replace(seen, loss=score), best.loss, best.success)
    if not immediate(done):
        better, done = better & ~best.done, done | best.done
    if known_none(better):
        return replace(best, done=done)
    if known_all(better):
        return _Best(seen.x, seen.outputs, score, seen.success, done)
    if seen.valid is None:
        x = chosen(better, seen.x, best.x)
    else:  # points not chosen may be non-finite, which `chosen` does not allow
        x = torch.where(per_example(better, seen.x), seen.x, best.x)
    outputs = torch.where(better[:, None], seen.outputs, best.outputs)
    loss, success = torch.where(better, score, best.loss), torch.where(better, seen.success, best.success)
    return _Best(x, outputs, loss, success, done)


def _x0_where_invalid(seen: Evaluation, problem: Problem) -> Tensor:
    """The starting points, replaced by x0 where the logits are not valid."""
    if seen.valid is None or seen.x.shape != problem.x0.shape:
        return seen.x
    return torch.where(per_example(seen.valid, seen.x), seen.x, problem.x0)


def _best_where_invalid(next_z: Tensor, valid: Tensor, best: Tensor) -> Tensor:
    """Replace the next point by the best one where the logits were not valid (`valid` false).

    On canvases where z has another shape than the input this is not possible: the gradient there is 0, so z stays.
    """
    return next_z if best.shape != next_z.shape else torch.where(per_example(valid, next_z), next_z, best)


class _Collected:
    """Collects the best point of every example when it is dropped from the batch."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, _Best]] = []

    def add(self, rows: Tensor, best: _Best, which: Tensor | None = None) -> None:
        """Add the rows at the indices `which`, or all rows if None."""
        self._parts.append((rows, best) if which is None else take((rows, best), which))

    def result(self, problem: Problem, size: Size, meter: QueryCounter) -> Result:
        """The collected points as a result, in the order of the full batch."""
        parts = [(best.x, best.outputs, best.loss, best.success) for _, best in self._parts]
        x, outputs, loss, success = parts[0]
        if len(parts) > 1:
            order = torch.cat([rows for rows, _ in self._parts]).argsort()
            x, outputs, loss, success = (torch.cat(column)[order] for column in zip(*parts, strict=True))
        no_prediction = torch.full_like(problem.label, -1)
        forwards, backwards = meter.totals(problem.example)
        return Result(
            x=x,
            success=success,
            distance=size(x - problem.x0),
            prediction=outputs.argmax(1) if outputs.shape[1] else no_prediction,
            logits=outputs.clone(),  # a network may return a view of x
            loss=loss,
            forwards=forwards,
            backwards=backwards,
            nonfinite=meter.nonfinite(problem.example),
            label=problem.label,
            skipped=torch.zeros_like(success),
            success_rate=success.to(loss.dtype),
        )
