"""The contract of every oracle, and what each of them does with a network's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from inputopt.search.goals import Goal
from inputopt.search.host_sync import known_all, known_finite, known_finite_each
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.rows import numbers_of

Vjp = Callable[[Tensor | None], Tensor]
"""(active) -> d loss / dz of the rows `active` (positions or a bool mask; None for all), in their order."""


class Oracle(Protocol):
    """Judges the inputs z [B, ...] of a problem at step `index`.

    It returns what was seen, and a function that finds the derivative if it is called: at most once, since the loop
    does not want it at the last step, nor of rows that are finished. Rows are judged one apart from another. Any source
    of gradients can stand here. What is run is counted in `meter`, when it is run.
    """

    @property
    def meter(self) -> QueryCounter:
        """Counts forwards and backwards by `Problem.example`."""

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]: ...


LARGE = 1e30
"""What stands for a loss that is NaN or infinite: large, and finite in every dtype that searches run in."""


def judged(x: Tensor, outputs: Tensor, loss: Tensor, goal: Goal, problem: Problem, meter: QueryCounter) -> Evaluation:
    """An evaluation in which nothing comes from an answer that is not a number: no success, and a finite loss.

    A logit of minus infinity rules its class out, which is an answer; NaN, plus infinity, and minus infinity for every
    class are none. `x` comes detached, and the rest is.
    """
    outputs, loss = outputs.detach(), loss.detach()
    success = goal(outputs, problem)
    if known_finite(outputs) and known_finite_each(loss):
        return Evaluation(x, outputs, loss, success)
    most = outputs.amax(1) if outputs.shape[1] else loss
    nothing = most - most  # 0, or NaN where there is no answer
    meter.note_nonfinite(problem.example, nothing)
    answered = nothing == 0
    loss = torch.where(answered, loss.nan_to_num(LARGE, LARGE, -LARGE), LARGE)
    return Evaluation(x, outputs, loss, success & answered, answered=None if known_all(answered) else answered)


def finite_gradient(grad: Tensor, examples: Tensor, meter: QueryCounter) -> Tensor:
    """A gradient [B, ...] with 0 for what is NaN or infinite, so that the other numbers still move."""
    if known_finite(grad):
        return grad
    total = grad.sum(numbers_of(grad))
    meter.note_nonfinite(examples, total - total)
    return grad.nan_to_num(0.0, 0.0, 0.0)


def of_rows(values: Tensor, active: Tensor | None) -> Tensor:
    """The rows `active` of values [B, ...]; all if None."""
    return values if active is None else values[active]


def active_examples(problem: Problem, active: Tensor | None) -> Tensor:
    """`problem.example` of the rows `active`."""
    return problem.example if active is None else problem.example[active]
