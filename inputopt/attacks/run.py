"""One batch of an attack, and how the one loop is run on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from inputopt.attacks.config import AttackConfig
from inputopt.nets.frozen import Frozen
from inputopt.search.canvases.canvas import Canvas, pixels
from inputopt.search.canvases.quantised import Levels
from inputopt.search.goals import Goal, ahead_by, reached, wrong
from inputopt.search.loop import (
    Stop,
    Watch,
    at_the_end,
    at_x0,
    by_distance,
    by_loss,
    on_success,
    optimise,
)
from inputopt.search.network_draws import keyed, unseeded
from inputopt.search.norms import Norm, find_norm
from inputopt.search.objectives.objective import Objective
from inputopt.search.oracles import Autograd, Oracle, confirmed
from inputopt.search.problem import Problem
from inputopt.search.projections import ball, in_box
from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.step import Step
from inputopt.search.transforms import unchanged

CONFIRMING = 5
"""Fresh draws in which a success of a random network must hold, more often than not, to count while searching."""

SEARCHING, CONFIRMING_DRAWS, JUDGING = 2, 3, 4
"""Purposes that draws are keyed by."""


@dataclass(frozen=True)
class AttackRun:
    """An attack's settings on one batch of examples.

    Attributes:
        attack: the settings.
        net: the network.
        problem: the batch.
        rows: which examples of the call these are, int64 [B].
        calls: how many examples the call has.
        seed: what randomness is drawn from, with the ids.
        random: whether the network, or the attack's transform, answers at random.
        watch: shown every step.
        loss: what to bring down instead of the attack's own loss.
        goal: when an example is done instead of a wrong class or the target.
        start: where to begin instead of x0, [B, ...].
        meter: counts what the whole batch costs.
    """

    attack: AttackConfig
    net: Frozen
    problem: Problem
    rows: Tensor
    calls: int = 1
    seed: int = 0
    random: bool = False
    watch: Watch | None = None
    loss: Objective | None = None
    goal: Goal | None = None
    start: Tensor | None = None
    meter: QueryCounter = field(default_factory=QueryCounter)

    @property
    def norm(self) -> Norm:
        """Of the attack."""
        return find_norm(self.attack.norm)

    @property
    def canvas(self) -> Canvas:
        """The inputs themselves, or rounded to levels."""
        return levels_of(self.attack.levels, self.net, self.problem.x0, self.norm)

    @property
    def begin(self) -> Tensor:
        """Where the search begins, [B, ...]."""
        return self.problem.x0 if self.start is None else self.start

    def each(self, what: str, value: float | Tensor) -> float | Tensor:
        """A setting that is a number, one for each example of the call [B] or one for each number [B, ...] or [...].

        Returns:
            A number, or a tensor that broadcasts with the batch [B, ...] or [1, ...].

        Raises:
            ValueError: it has another shape.
        """
        if not isinstance(value, Tensor):
            return value
        like = self.problem.x0
        made = value.to(like)
        if made.ndim == 1 and self.calls == len(made):
            return per_example(made[self.rows], like)
        made = made if made.ndim == like.ndim else made[None]
        if made.ndim == like.ndim and len(made) == self.calls > 1:
            made = made[self.rows]
        try:
            return made.expand(len(made), *like.shape[1:])
        except RuntimeError as error:
            raise ValueError(
                f"{what} must be a number, {self.calls} of them, one an input, or numbers of the inputs' shape "
                f"{list(like.shape[1:])}, not of shape {list(value.shape)}."
            ) from error

    def search(
        self,
        objective: Objective,
        step: Step,
        start: Tensor,
        steps: int,
        problem: Problem | None = None,
        *,
        untargeted: bool = False,
        stop: bool = True,
    ) -> Result:
        """Run the one loop in the ball of the problem, and keep the lowest loss.

        Args:
            objective: what to bring down, unless the call asked for another loss.
            step: how to move.
            start: where to begin, [B, ...].
            steps: how many at most.
            problem: the batch, or one made of it.
            untargeted: the problem's target only leads, and any wrong class is a success.
            stop: whether examples that succeed are dropped.
        """
        problem = self.problem if problem is None else problem
        oracle = self.oracle(self.loss or objective, self.goal_of(problem, untargeted), step)
        return optimise(
            oracle,
            step,
            ball(self.norm),
            problem,
            start,
            steps=steps,
            score=by_loss,
            stop=on_success if stop else at_the_end,
            size=self.norm.size,
            watch=self.watch,
        )

    def search_nearest(
        self,
        asked: Objective | Oracle,
        step: Step,
        start: Tensor,
        steps: int,
        problem: Problem | None = None,
        *,
        untargeted: bool = False,
        confidence: float = 0.0,
        stop: Stop = at_x0,
    ) -> Result:
        """Run the one loop to its last step, and keep the nearest success.

        Args:
            asked: what to bring down, or an oracle.
            step, start, steps, problem, untargeted: as for `search`.
            confidence: how far ahead the wrong class must be, in logits.
            stop: which examples are finished before the last step.
        """
        problem = self.problem if problem is None else problem
        if isinstance(asked, Objective):
            goal = self.goal_of(problem, untargeted)
            asked = self.oracle(asked, goal & ahead_by(confidence) if confidence else goal, step)
        return optimise(
            asked,
            step,
            in_box,
            problem,
            start,
            steps=steps,
            score=by_distance,
            stop=stop,
            size=self.norm.size,
            watch=self.watch,
        )

    def goal_of(self, problem: Problem, untargeted: bool = False) -> Goal:
        """What the call asked for; else the target, or any class but the label."""
        if self.goal is not None:
            return self.goal
        return wrong if untargeted or problem.target is None else reached

    def oracle(self, objective: Objective, goal: Goal, step: Step) -> Oracle:
        """The usual oracle, with the attack's canvas and transform; for a random network with confirmed successes."""
        return self.confirming(
            Autograd(
                self.net,
                objective,
                goal,
                self.attack.transform or unchanged,
                self.canvas,
                self.attack.eot_samples,
                step.uses_gradient,
                keyed(self.seed, SEARCHING) if self.random else unseeded,
                self.meter,
            ),
            goal,
        )

    def confirming(self, oracle: Oracle, goal: Goal) -> Oracle:
        """An oracle whose successes are confirmed on fresh draws if the network is random."""
        if not self.random:
            return oracle

        def again(x: Tensor, problem: Problem, index: int) -> Tensor:
            self.meter.forward(problem.example, CONFIRMING)
            return self.share_of_draws(x, problem, goal, CONFIRMING, CONFIRMING_DRAWS, index * CONFIRMING) > 0.5

        return confirmed(oracle, again)

    @torch.no_grad()
    def share_of_draws(
        self, x: Tensor, problem: Problem, goal: Goal, draws: int, purpose: int, first: int = 0
    ) -> Tensor:
        """The share of fresh draws in which inputs reach a goal, [B]; draws are keyed by seed, purpose and number."""
        fresh, transform = keyed(self.seed, purpose), self.attack.transform or unchanged
        held = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for draw in range(first, first + draws):
            with fresh(draw):
                # transforms are drawn by example and draw: those of the search are not met again
                outputs = self.net(transform(x, replace(problem, ids=~problem.ids), draw))
            held += goal(outputs, problem) & outputs.amax(1).isfinite()
        return held / draws


def levels_of(levels: int | None, net: Frozen, x0: Tensor, norm: Norm) -> Canvas:
    """The inputs themselves, or rounded to so many levels of the network's bounds."""
    return pixels if levels is None else Levels(levels, *net.box(x0), norm)


def check_levels(levels: int | None, net: Frozen, x0: Tensor, norm: Norm) -> None:
    """Refuse inputs that do not lie on the levels.

    Raises:
        ValueError: they do not, or the bounds are infinite.
    """
    if levels is None:
        return
    canvas = Levels(levels, *net.box(x0), norm)
    if not bool(torch.isfinite(canvas.high - canvas.low).all()):
        raise ValueError("levels need finite bounds; freeze the model with bounds, or leave levels out.")
    if float((canvas.on_levels(x0) - x0).abs().max()) > 1e-6 * net.unit:
        raise ValueError(f"x must lie on {levels} levels before it is moved on them; round it first.")
