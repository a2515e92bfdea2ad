"""The oracle protocol, and the handling of non-finite outputs and gradients that all oracles share."""

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
"""(active) -> d loss / dz of the rows `active` (indices or a bool mask; None for all), in their order."""


class Oracle(Protocol):
    """Evaluates the points z [B, ...] of a problem at step `index`.

    Returns the evaluation, and a function that computes the gradient when called. It is called at most once: the loop
    needs no gradient at the last step or for finished rows. Rows are evaluated independently of each other. Gradients
    may come from any source. Forwards and backwards are counted in `meter` when they are run.
    """

    @property
    def meter(self) -> QueryCounter:
        """Counts forwards and backwards by `Problem.example`."""

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]: ...


LARGE = 1e30
"""Replacement for a NaN or infinite loss: large, and finite in every dtype that searches run in."""


def evaluation(
    x: Tensor, outputs: Tensor, loss: Tensor, goal: Goal, problem: Problem, meter: QueryCounter
) -> Evaluation:
    """Build an evaluation; rows with invalid outputs count as failures with loss `LARGE`.

    Outputs of a row are invalid if the largest logit is NaN or infinite. A logit of minus infinity for some classes is
    valid and excludes these classes. `x` must be detached; the other tensors are detached here.
    """
    outputs, loss = outputs.detach(), loss.detach()
    success = goal(outputs, problem)
    if known_finite(outputs) and known_finite_each(loss):
        return Evaluation(x, outputs, loss, success)
    most = outputs.amax(1) if outputs.shape[1] else loss
    zero_or_nan = most - most  # NaN for rows with invalid outputs
    meter.note_nonfinite(problem.example, zero_or_nan)
    valid = zero_or_nan == 0
    loss = torch.where(valid, loss.nan_to_num(LARGE, LARGE, -LARGE), LARGE)
    return Evaluation(x, outputs, loss, success & valid, valid=None if known_all(valid) else valid)


def finite_gradient(grad: Tensor, examples: Tensor, meter: QueryCounter) -> Tensor:
    """A gradient [B, ...] with NaN and infinite elements set to 0, so that the other elements still change."""
    if not known_finite(grad):
        total = grad.sum(numbers_of(grad))
        meter.note_nonfinite(examples, total - total)
        grad = grad.nan_to_num(0.0, 0.0, 0.0)
    meter.note_gradient(grad)
    return grad


def of_rows(values: Tensor, active: Tensor | None) -> Tensor:
    """The rows `active` of values [B, ...]; all if None."""
    return values if active is None else values[active]


def active_examples(problem: Problem, active: Tensor | None) -> Tensor:
    """The index in the whole batch of the example of each active row."""
    return problem.example if active is None else problem.example[active]
