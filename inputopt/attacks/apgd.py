"""Auto-PGD (APGD; Croce and Hein, 2020): PGD with an adaptive step size."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

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
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, best_restart, lower_loss
from inputopt.search.rows import chosen, per_example
from inputopt.search.steps.step import Step

LossName = Literal["cross_entropy", "dlr", "margin"]

LOSSES: dict[LossName, Objective] = {"cross_entropy": attack_cross_entropy, "dlr": dlr, "margin": margin}


@dataclass(frozen=True)
class Progress:
    """State of APGD: tensors are batch first; the integer counters are shared by all examples.

    Attributes:
        before: the previous point [B, ...].
        best, best_grad, best_loss: the point with the lowest loss so far, its gradient and its loss.
        last_loss: loss at the previous point [B].
        checked_loss: lowest loss up to the last checkpoint [B].
        size: step size [B].
        falls: number of steps since the last checkpoint at which the loss fell [B].
        halved: whether the step size was halved at the last checkpoint, bool [B].
        index, checkpoint, window: index of this step and of the next checkpoint, and steps between checkpoints.
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
    """Step rule of APGD (Croce and Hein, 2020), applied to each example separately.

    Momentum 0.75. At checkpoints, whose spacing decreases, an example's step size is halved and it returns to its best
    point if its loss fell in fewer than three quarters of the steps since the last checkpoint, or if its step size was
    not halved then and its best loss has not improved since.

    Attributes:
        norm: the norm whose steepest-descent direction is used.
        steps: total number of steps; sets the checkpoints.
        first: initial step size, relative to eps.
    """

    norm: Norm
    steps: int
    first: float = 2.0
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Progress:
        eps = problem.region.eps
        infinite = torch.full_like(eps, torch.inf)
        zeros = torch.zeros_like(problem.ids)
        window = max(1, round(0.22 * self.steps))
        return Progress(
            z, z, torch.zeros_like(z), infinite, infinite, infinite, self.first * eps, zeros, zeros.bool(),
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
            few_falls = falls < 0.75 * window
            no_improvement = ~state.halved & (best_loss >= state.checked_loss)
            halved = few_falls | no_improvement
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
        direction = self.norm.steepest(self.norm.feasible(grad, z, region.low, region.high))
        gradient_step = z - length * direction  # projected only once, after the momentum
        alpha = 0.75 if state.index else 1.0
        new = project(z + alpha * (gradient_step - z) + (1 - alpha) * (z - before), problem)
        return new, Progress(
            z, best, best_grad, best_loss, seen.loss, checked, size, falls, halved,
            state.index + 1, checkpoint, window,
        )  # fmt: skip


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD (Croce and Hein, 2020), in L1 with sparse steps and a shrinking ball (Croce and Hein, 2021).

    Attributes:
        steps: number of steps.
        loss: "cross_entropy", "dlr" or "margin".
        restarts: number of random starts per example, run in one batch.
        random_start: whether to start at a random point of the ball; if false, at the input.
        enlarged_radii: multiples of eps of the larger balls searched first; default: (3, 2) in L1, none in other norms.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "PGD"

    steps: int = setting(100, whole())
    loss: LossName = setting("cross_entropy", one_of(*LOSSES))
    restarts: int = setting(1, whole())
    random_start: bool = setting(True, flag)
    enlarged_radii: tuple[float, ...] | None = setting(None, optional(radii))

    @property
    def rows_per_example(self) -> int:
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
    """Step rule of APGD in a norm: sparse steps in L1, where steepest descent would change a single element."""
    return APGDL1Step(steps) if norm.name == "l1" else APGDStep(norm, steps)


def warn_if_few(run: AttackRun, classes: int) -> None:
    """Warn if the model has fewer than `classes` classes: DLR is then undefined and the logit difference is used."""
    with torch.no_grad():
        count = run.net(run.problem.x0[:1]).shape[1]
    if count < classes:
        warnings.warn(
            f"DLR needs {classes} classes, but the model has {count}; the logit difference is used instead.",
            InputoptWarning,
            stacklevel=2,
        )
