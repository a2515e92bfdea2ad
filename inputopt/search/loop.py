"""The one loop that every input search runs: score, keep the best, drop what is finished, step."""

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
"""Per-example selection score, [B]: lower is better. Only scores of two successes, or of two failures, compare."""

Stop = Callable[[Evaluation, Problem], Tensor]
"""Which examples are finished, bool [B]."""

Size = Callable[[Tensor], Tensor]
"""The size of each change [B, ...], [B]."""


def by_loss(seen: Evaluation, problem: Problem) -> Tensor:
    """The lower loss is better."""
    return seen.loss


def by_distance(seen: Evaluation, problem: Problem) -> Tensor:
    """Of two successes the one nearer to x0 is better, of two failures the one with the lower loss.

    Raises:
        ValueError: the search does not measure distances; give `optimise` this very function.
    """
    if seen.distance is None:
        raise ValueError("The nearest can be kept only where distances are measured; use by_distance as the score.")
    return torch.where(seen.success, seen.distance, seen.loss)


def on_success(seen: Evaluation, problem: Problem) -> Tensor:
    """Finished as soon as the goal is reached."""
    return seen.success


def at_x0(seen: Evaluation, problem: Problem) -> Tensor:
    """Finished if x0 itself reaches the goal: nothing is nearer."""
    if known_none(seen.success):
        return seen.success
    if seen.distance is None:
        return seen.success & (seen.x == problem.x0).flatten(1).all(1)
    return seen.success & (seen.distance == 0)


def at_the_end(seen: Evaluation, problem: Problem) -> Tensor:
    """Finished only when all steps are made."""
    return torch.zeros_like(seen.success)


Select = Callable[[Evaluation, Tensor, Tensor], Tensor]
"""(seen, with its score for a loss; score and success of the best so far) -> which of `seen` are better, bool [B]."""


def lowest_loss(seen: Evaluation, loss: Tensor, success: Tensor) -> Tensor:
    """Success before failure, and then the lower score."""
    if known_none(seen.success) and known_none(success):
        return seen.loss < loss
    return torch.where(seen.success == success, seen.loss < loss, seen.success)


def latest(seen: Evaluation, loss: Tensor, success: Tensor) -> Tensor:
    """Always the newest: for random transforms, where the lowest loss is a lucky draw."""
    return torch.ones_like(success)


@dataclass(frozen=True)
class Snapshot:
    """What a watcher is shown: step `index`, the `ids` still searching, their inputs and outputs."""

    index: int
    ids: Tensor
    x: Tensor
    outputs: Tensor


Watch = Callable[[Snapshot], None]


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
    size: Size = l2,
    watch: Watch | None = None,
) -> Result:
    """Move each input of a batch until its goal is reached or `steps` steps are made.

    The host never waits for the device: which rows are finished is known at once on a CPU, and one step late elsewhere,
    which costs time and changes nothing else.

    Args:
        oracle: scores the inputs and gives the derivative.
        step: how to move.
        project: where the inputs must stay.
        problem: the examples.
        z: where to start, [B, ...].
        steps: how many steps at most; the last point is scored too.
        score: the per-example selection score; it becomes the result's `loss`.
        select: which point of each example to keep.
        stop: which examples are finished, and dropped from the batch.
        size: measures each example's change from `problem.x0`, [B].
        watch: shown every step.

    Raises:
        Interrupted: by Ctrl-C, once every example was scored; it holds the result so far.
    """
    z = project(z, problem)
    whole, found, leaving = problem, _Found(), Departures()
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
                done, kept = leaving.finished(best.done), None
                if done is not None:
                    if done.all():
                        break
                    kept = positions(~done, z.device)
                grad = vjp(kept) if step.uses_gradient else None
                if done is not None and kept is not None:
                    found.leave(rows, best, positions(done, z.device))
                    z, seen, state, problem, rows, best = take((z, seen, state, problem, rows, best), kept)
                    leaving.drop(~done)
                seen = replace(seen, grad=None if grad is None else problem.region.masked(grad))
                z, state = step.update(z, seen, state, problem, project)
                if seen.answered is not None:
                    z = _back_to_an_answer(z, seen.answered, best.x)
                del seen, vjp, grad  # of a large image every copy counts
    except KeyboardInterrupt as stopped:
        if best is None:
            raise
        found.leave(rows, best)
        raise Interrupted(found.result(whole, size, oracle.meter)) from stopped
    assert best is not None  # there is at least one evaluation
    found.leave(rows, best)
    return found.result(whole, size, oracle.meter)


@dataclass(frozen=True)
class _Best:
    """The best point of each example so far, as in `Evaluation` with its score for a loss; and which are finished."""

    x: Tensor
    outputs: Tensor
    loss: Tensor
    success: Tensor
    done: Tensor


def _measured(seen: Evaluation, problem: Problem, size: Size, score: Score) -> Evaluation:
    """An evaluation with its distances, if they decide what is kept."""
    return replace(seen, distance=size(seen.x - problem.x0)) if score is by_distance else seen


def _finished(stop: Stop, seen: Evaluation, problem: Problem) -> Tensor:
    """Examples that are finished, including every restart of an example one of whose restarts is."""
    done = stop(seen, problem)
    if problem.restarts == 1 or known_none(done):
        return done
    return ((problem.example[:, None] == problem.example) & done).any(1)


def _better(
    best: _Best | None, seen: Evaluation, score: Tensor, select: Select, done: Tensor, problem: Problem
) -> _Best:
    """Of each example the better of two points; one that is finished keeps its point, though it leaves a step late."""
    if best is None:
        return _Best(_answered_or_x0(seen, problem), seen.outputs, score, seen.success, done)
    better = select(replace(seen, loss=score), best.loss, best.success)
    if not immediate(done):
        better, done = better & ~best.done, done | best.done
    if known_none(better):
        return replace(best, done=done)
    if known_all(better):
        return _Best(seen.x, seen.outputs, score, seen.success, done)
    if seen.answered is None:
        x = chosen(better, seen.x, best.x)
    else:  # what is not chosen may not be finite
        x = torch.where(per_example(better, seen.x), seen.x, best.x)
    outputs = torch.where(better[:, None], seen.outputs, best.outputs)
    loss, success = torch.where(better, score, best.loss), torch.where(better, seen.success, best.success)
    return _Best(x, outputs, loss, success, done)


def _answered_or_x0(seen: Evaluation, problem: Problem) -> Tensor:
    """Where the search begins; x0 for an example of which the network says nothing there."""
    if seen.answered is None or seen.x.shape != problem.x0.shape:
        return seen.x
    return torch.where(per_example(seen.answered, seen.x), seen.x, problem.x0)


def _back_to_an_answer(ahead: Tensor, answered: Tensor, best: Tensor) -> Tensor:
    """From a point at which the network gave no answer, back to the best one; others go ahead.

    On canvases whose z is no input there is no way back: such a point has no gradient, and stays.
    """
    return ahead if best.shape != ahead.shape else torch.where(per_example(answered, ahead), ahead, best)


class _Found:
    """Collects the best point of every example as it leaves the batch."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, _Best]] = []

    def leave(self, rows: Tensor, best: _Best, which: Tensor | None = None) -> None:
        """The rows at the positions `which` leave; all if None."""
        self._parts.append((rows, best) if which is None else take((rows, best), which))

    def result(self, problem: Problem, size: Size, meter: QueryCounter) -> Result:
        """The examples in the order of the whole batch."""
        parts = [(best.x, best.outputs, best.loss, best.success) for _, best in self._parts]
        x, outputs, loss, success = parts[0]
        if len(parts) > 1:
            order = torch.cat([rows for rows, _ in self._parts]).argsort()
            x, outputs, loss, success = (torch.cat(column)[order] for column in zip(*parts, strict=True))
        unseen = torch.full_like(problem.label, -1)
        forwards, backwards = meter.totals(problem.example)
        return Result(
            x=x,
            success=success,
            distance=size(x - problem.x0),
            prediction=outputs.argmax(1) if outputs.shape[1] else unseen,
            logits=outputs.clone(),  # a view of x, if the network is one
            loss=loss,
            forwards=forwards,
            backwards=backwards,
            nonfinite=meter.nonfinite(problem.example),
            label=problem.label,
            skipped=torch.zeros_like(success),
            success_rate=success.to(loss.dtype),
        )
