"""One batch of work for an attack, and how the one loop is run on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.search.canvas import Canvas, Levels, pixels
from inputopt.search.geometry import Ball
from inputopt.search.goals import Goal, ahead_by, reached, wrong
from inputopt.search.loop import (
    Score,
    Stop,
    Watch,
    at_the_end,
    at_x0,
    by_distance,
    by_loss,
    on_success,
    optimise,
)
from inputopt.search.norms import Norm, find_norm
from inputopt.search.objectives import Objective
from inputopt.search.oracle import Backward, Oracle
from inputopt.search.problem import Problem, Result
from inputopt.search.steps.step import Step


@dataclass(frozen=True)
class Settings(ABC):
    """What every attack has among its settings, and that it searches batch by batch.

    Attributes:
        norm: "l0", "l1", "l2" or "linf".
        levels: search only what a file with so many levels can hold (256 for PNG); the inputs must lie on them.
        mask: bool, of the shape of one input or of all: the only numbers that may move.
        samples: run each example so often and go by the mean, for networks that answer at random.
    """

    norm: str
    levels: int | None = field(default=None, kw_only=True)
    mask: Tensor | None = field(default=None, kw_only=True)
    samples: int = field(default=1, kw_only=True)

    @property
    def tries(self) -> int:
        """How often each example stands in a batch, at most."""
        return 1

    @abstractmethod
    def _search(self, setting: Setting) -> Result:
        """Search one batch."""


@dataclass(frozen=True)
class Setting:
    """One batch of work for an attack: whose settings, on what network, on which examples."""

    attack: Settings
    net: Frozen
    problem: Problem
    seed: int
    watch: Watch | None

    @property
    def norm(self) -> Norm:
        """The norm of the attack."""
        return find_norm(self.attack.norm)

    @property
    def canvas(self) -> Canvas:
        """The inputs themselves, or rounded to levels."""
        return canvas_of(self.attack.levels, self.net, self.problem.x0, self.norm)

    def run(
        self,
        objective: Objective,
        step: Step,
        start: Tensor,
        steps: int,
        problem: Problem | None = None,
        *,
        leave: bool = False,
        stop: bool = True,
    ) -> Result:
        """Run the one loop on this batch, or on a problem made of it.

        `leave`: the target only leads, and any wrong class is a success. `stop`: drop the examples that succeed.
        """
        problem = self.problem if problem is None else problem
        oracle = self.asking(objective, goal_of(problem, leave), step)
        return self._moved(oracle, step, start, steps, problem, by_loss, on_success if stop else at_the_end)

    def run_nearest(
        self,
        asked: Objective | Oracle,
        step: Step,
        start: Tensor,
        steps: int,
        problem: Problem | None = None,
        *,
        leave: bool = False,
        confidence: float = 0.0,
        stop: Stop = at_x0,
    ) -> Result:
        """Run the one loop to its last step, and keep the nearest success.

        `asked`: what to bring down, or an oracle of its own. `leave`: as for `run`. `confidence`: how far ahead the
        wrong class must be. `stop`: which examples are done before the last step.
        """
        problem = self.problem if problem is None else problem
        goal = goal_of(problem, leave)
        goal = goal & ahead_by(confidence) if confidence else goal
        oracle = self.asking(asked, goal, step) if isinstance(asked, Objective) else asked
        return self._moved(oracle, step, start, steps, problem, by_distance(self.norm.size), stop)

    def asking(self, objective: Objective, goal: Goal, step: Step) -> Backward:
        """The usual oracle, on the attack's canvas."""
        samples, derives = self.attack.samples, step.uses_gradient
        return Backward(self.net, objective, goal, canvas=self.canvas, samples=samples, derives=derives)

    def _moved(
        self, oracle: Oracle, step: Step, start: Tensor, steps: int, problem: Problem, score: Score, stop: Stop
    ) -> Result:
        return optimise(
            oracle,
            step,
            Ball(self.norm),
            problem,
            start,
            steps=steps,
            score=score,
            stop=stop,
            size=self.norm.size,
            watch=self.watch,
        )


def goal_of(problem: Problem, leave: bool) -> Goal:
    """The target, or with `leave` or without a target any class but the label."""
    return wrong if leave or problem.target is None else reached


def canvas_of(levels: int | None, net: Frozen, x0: Tensor, norm: Norm) -> Canvas:
    """The inputs themselves, or rounded to levels.

    Raises:
        ValueError, TypeError: not a number of levels, or the inputs do not lie on them.
    """
    if levels is None:
        return pixels
    canvas = Levels(checks.whole("levels", levels, least=2), *net.bounds, norm)
    if float((canvas.on_levels(x0) - x0).abs().max()) > 1e-6:
        raise ValueError(f"x must lie on {levels} levels before it is moved on them; round it first.")
    return canvas
