"""Auto-PGD (Croce and Hein, 2020): no step size to choose."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.apgd_l1 import APGDL1Step
from inputopt.attacks.attack import Attack
from inputopt.attacks.config import flag, one_of, optional, radii, setting, whole
from inputopt.attacks.enlarged_radii import multiples_of, search_inwards
from inputopt.attacks.restarts import random_start, repeated
from inputopt.attacks.run import AttackRun
from inputopt.search.inputs import InputoptWarning
from inputopt.search.norms import Norm
from inputopt.search.objectives.dlr import dlr
from inputopt.search.objectives.logits import attack_cross_entropy, margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, best_restart, lower_loss
from inputopt.search.rows import chosen, per_example
from inputopt.search.steps.step import Step

LOSSES = {"cross_entropy": attack_cross_entropy, "dlr": dlr, "margin": margin}


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
class APGDStep:
    """The step rule of Auto-PGD (Croce and Hein, 2020), each example by itself.

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
        eps = problem.region.eps
        infinite = torch.full_like(eps, torch.inf)
        none = torch.zeros_like(problem.ids)
        window = max(1, round(0.22 * self.steps))
        return Progress(
            z, z, torch.zeros_like(z), infinite, infinite, infinite, self.first * eps, none, none.bool(),
            0, window, window,
        )  # fmt: skip

    def update(
        self, z: Tensor, seen: Evaluation, state: Progress, problem: Problem, project: Project
    ) -> tuple[Tensor, Progress]:
        better = seen.loss < state.best_loss
        best = chosen(better, z, state.best)
        best_grad = chosen(better, seen.gradient, state.best_grad)
        best_loss = torch.where(better, seen.loss, state.best_loss)
        falls = state.falls + (seen.loss < state.last_loss)
        before, grad, size, halved, checked = state.before, seen.gradient, state.size, state.halved, state.checked_loss
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
        region = problem.region
        way = self.norm.steepest(self.norm.feasible(grad, z, region.low, region.high))
        straight = z - length * way  # projected once, at the end
        share = 0.75 if state.index else 1.0
        ahead = project(z + share * (straight - z) + (1 - share) * (z - before), problem)
        return ahead, Progress(
            z, best, best_grad, best_loss, seen.loss, checked, size, falls, halved,
            state.index + 1, checkpoint, window,
        )  # fmt: skip


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD (Croce and Hein, 2020), in L1 with sparse steps and a shrinking ball (Croce and Hein, 2021).

    Attributes:
        steps: how many.
        loss: "cross_entropy", "dlr" or "margin".
        restarts: random starts, all in one batch.
        random_start: start from the input itself if false.
        enlarged_radii: search in balls of these multiples of eps first; (3, 2) in L1 and none elsewhere if not given.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "PGD"

    steps: int = setting(100, whole())
    loss: str = setting("cross_entropy", one_of(*LOSSES))
    restarts: int = setting(1, whole())
    random_start: bool = setting(True, flag)
    enlarged_radii: tuple[float, ...] | None = setting(None, optional(radii))

    @property
    def rows(self) -> int:
        return self.restarts

    def _search(self, run: AttackRun) -> Result:
        candidates = repeated(run.problem, self.restarts)
        if self.loss == "dlr":
            warn_if_few(run, 3 if candidates.target is None else 4)
        start = random_start(candidates, run.norm, run.seed) if self.random_start else candidates.x0
        found = search_inwards(
            run,
            LOSSES[self.loss],
            candidates,
            start,
            self.steps,
            multiples_of(self.enlarged_radii, run.norm),
            partial(apgd_step, run.norm),
            untargeted=False,
            stop=self.stop_on_success,
        )
        return best_restart(found, self.restarts, lower_loss)


def apgd_step(norm: Norm, steps: int) -> Step:
    """The step rule of Auto-PGD in a norm: sparse ones where the steepest change is of a single number."""
    return APGDL1Step(steps) if norm.name == "l1" else APGDStep(norm, steps)


def warn_if_few(run: AttackRun, classes: int) -> None:
    """Say it where DLR is not defined, and the plain difference of logits is used."""
    with torch.no_grad():
        count = run.net(run.problem.x0[:1]).shape[1]
    if count < classes:
        warnings.warn(
            f"DLR needs {classes} classes and the model has {count}; the difference of logits is used instead.",
            InputoptWarning,
            stacklevel=2,
        )
