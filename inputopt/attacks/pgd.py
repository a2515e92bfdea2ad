"""Projected gradient descent (PGD; Madry et al., 2018), and the step rules shared with its variants."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import above_zero, flag, optional, setting, whole
from inputopt.attacks.restarts import random_start, repeated
from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.result import Result, best_restart, lower_loss
from inputopt.search.steps.directions import ascent
from inputopt.search.steps.step import GradientStep, HalfCosine, Schedule

FIRST_STEP = 2.0
"""Initial step size, relative to eps: it crosses the ball, so that a search can leave the side it started on."""


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient descent from random points of the ball (Madry et al., 2018).

    Each step is x <- project(x - step size * direction(gradient of the loss)), with the gradient's sign as the
    direction in Linf and the norm's `ascent` in others, projected to the ball and the bounds: `run.search` calls
    `optimise` (search/loop.py), which calls `GradientStep.update` (search/steps/step.py) at every step.

    Deviations from the paper: the loss is the log-odds of the label, whose gradient has the direction of that of
    cross-entropy but does not underflow where logits are large, and turns into that of the margin there. Where a model
    returns probabilities, the loss is computed from their logarithms; where its logits are below 1e-12, from the logits
    times a power of two.

    Attributes:
        steps: number of steps.
        step_size: relative to eps (in L0 to the bounds' width), constant over the steps as in the paper: a number, one
            per example [B], or one per element. Default: it decays from 2 eps to 0.01 eps along half a cosine, with
            which more examples succeed, and sooner.
        restarts: number of random starts per example, run in one batch; an example is finished when one succeeds.
        random_start: whether to start at a random point of the ball; if false, at the input.
    """

    steps: int = setting(40, whole())
    step_size: float | Tensor | None = setting(None, optional(above_zero))
    restarts: int = setting(1, whole())
    random_start: bool = setting(True, flag)

    @property
    def rows_per_example(self) -> int:
        return self.restarts

    def _search(self, run: AttackRun) -> Result:
        candidates = repeated(run.problem, self.restarts)
        if self.step_size is None:
            step = decaying_step(run, self.steps)
        else:
            step = pgd_step(run, run.each("step_size", self.step_size))
        # minimised: the log-odds of the label (of the target: negated), with the gradient direction of -cross-entropy
        start = random_start(candidates, run.norm, run.seed) if self.random_start else candidates.x0
        found = run.search(attack_cross_entropy, step, start, self.steps, candidates, stop=self.stop_on_success)
        return best_restart(found, self.restarts, lower_loss)


def pgd_step(run: AttackRun, size: float | Tensor | Schedule) -> GradientStep:
    """Descent with step size `size`, relative to eps; in L0, where eps is a count, relative to the bounds' width."""
    if not run.norm.counts:
        return GradientStep(ascent(run.norm), size, of_eps=True)
    unit = run.problem.region.unit
    if callable(size):
        return GradientStep(ascent(run.norm), lambda index: unit * size(index))
    return GradientStep(ascent(run.norm), unit * size)


def decaying_step(run: AttackRun, steps: int) -> GradientStep:
    """Descent whose step size decays from `FIRST_STEP` x eps to 0.01 eps along half a cosine."""
    return pgd_step(run, HalfCosine(FIRST_STEP, 0.01, steps))
