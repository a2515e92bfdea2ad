"""Auto-PGD: projected descent that halves its own step where an example makes no progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import LINF, Norm, chosen, per_example
from inputopt.search.problem import Evaluation, Problem


@dataclass(frozen=True)
class Progress:
    """The state of Auto-PGD, batch first but for the counters that all examples share.

    Attributes:
        before: the last point.
        best, best_grad, best_loss: where the loss was lowest so far.
        last_loss: at the last point.
        checked_loss: the lowest loss at the last checkpoint.
        size: the step length.
        falls: how often the loss fell since the last checkpoint.
        halved: whether the step was halved at the last checkpoint.
        index, checkpoint, window: the number of this step, of the next checkpoint, and the steps between the two last.
    """

    before: Tensor
    best: Tensor
    best_grad: Tensor
    best_loss: Tensor
    last_loss: Tensor
    checked_loss: Tensor
    size: Tensor
    falls: Tensor
    halved: Tensor
    index: int
    checkpoint: int
    window: int


@dataclass(frozen=True)
class AutoStep:
    """Auto-PGD's step rule (Croce and Hein, 2020), per example throughout.

    Momentum 0.75; at checkpoints that come closer and closer, an example whose loss fell in fewer than three quarters
    of the steps, or not below its best, halves its step and goes back to its best point.

    Attributes:
        norm: what steps are steepest in.
        steps: how many there will be: it sets the checkpoints.
        first: the first step, in parts of eps.
    """

    norm: Norm
    steps: int
    first: float = 2.0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Progress:
        assert problem.eps is not None
        infinite = torch.full_like(problem.eps, torch.inf)
        none = torch.zeros_like(problem.ids)
        window = max(1, round(0.22 * self.steps))
        return Progress(
            z, z, torch.zeros_like(z), infinite, infinite, infinite, self.first * problem.eps, none, none.bool(),
            0, window, window,
        )  # fmt: skip

    def update(
        self, z: Tensor, seen: Evaluation, state: Progress, problem: Problem, project: Project
    ) -> tuple[Tensor, Progress]:
        assert seen.grad is not None
        better = seen.loss < state.best_loss
        best = chosen(better, z, state.best)
        best_grad = chosen(better, seen.grad, state.best_grad)
        best_loss = torch.where(better, seen.loss, state.best_loss)
        falls = state.falls + (seen.loss < state.last_loss)
        before, grad, size, halved, checked = state.before, seen.grad, state.size, state.halved, state.checked_loss
        checkpoint, window = state.checkpoint, state.window
        if state.index == state.checkpoint:
            stuck = falls < 0.75 * window
            idle = ~state.halved & (best_loss >= state.checked_loss)
            halved = stuck | idle
            size = torch.where(halved, size / 2, size)
            z, before, grad = (
                chosen(halved, best, z),
                chosen(halved, best, before),
                chosen(halved, best_grad, grad),
            )
            falls, checked = torch.zeros_like(falls), best_loss
            window = max(window - max(1, round(0.03 * self.steps)), max(1, round(0.06 * self.steps)))
            checkpoint = state.index + window
        length = per_example(size, z)
        straight = z - length * self.norm.steepest(feasible(grad, z, problem, self.norm))  # projected once, at the end
        share = 0.75 if state.index else 1.0
        ahead = project(z + share * (straight - z) + (1 - share) * (z - before), problem)
        return ahead, Progress(
            z, best, best_grad, best_loss, seen.loss, checked, size, falls, halved,
            state.index + 1, checkpoint, window,
        )  # fmt: skip


def feasible(grad: Tensor, z: Tensor, problem: Problem, norm: Norm) -> Tensor:
    """The gradient without the numbers that stand at their bound and would be pushed through it.

    In L2 they would use up the length of the step for nothing; in Linf they do not matter.
    """
    if norm is LINF or problem.low is None or problem.high is None:
        return grad
    moved = (z - grad.sign()).clamp_(problem.low, problem.high)
    return grad * (moved != z)
