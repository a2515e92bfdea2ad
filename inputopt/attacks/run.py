"""One batch of an attack, and the calls of the optimisation loop on it."""

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
    latest,
    lowest_loss,
    on_success,
    optimise,
)
from inputopt.search.network_draws import keyed, unseeded
from inputopt.search.norms import Norm, find_norm
from inputopt.search.objectives.objective import Objective
from inputopt.search.objectives.probability_scores import Scores, on_scores, unchanged_scores
from inputopt.search.oracles import Autograd, Oracle, confirmed
from inputopt.search.problem import Problem
from inputopt.search.projections import ball, in_box
from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.step import Step
from inputopt.search.transforms import unchanged

CONFIRMING = 5
"""Fresh draws per success of a stochastic network during the search; it counts if more than half succeed."""

SEARCHING, CONFIRMING_DRAWS, JUDGING = 2, 3, 4
"""Purposes that key the random draws."""


@dataclass(frozen=True)
class AttackRun:
    """An attack on one batch of examples.

    Attributes:
        attack: the attack's settings.
        net: the network.
        problem: the batch.
        positions: positions of the batch's examples in the call, int64 [B].
        examples: number of examples in the call.
        seed: random seed, combined with the examples' ids.
        stochastic: whether the network or the attack's transform is stochastic.
        watch: callback called at every step.
        loss: loss to minimise instead of the attack's own.
        goal: success criterion instead of a wrong class or the target.
        start: starting points instead of x0, [B, ...].
        scores: the scores that the attack's own loss is computed from: the outputs, or logarithms of probabilities.
        given_canvas: canvas given to the call instead of the attack's levels.
        meter: counts the forwards and backwards of the batch.
    """

    attack: AttackConfig
    net: Frozen
    problem: Problem
    positions: Tensor
    examples: int = 1
    seed: int = 0
    stochastic: bool = False
    watch: Watch | None = None
    loss: Objective | None = None
    goal: Goal | None = None
    start: Tensor | None = None
    scores: Scores = unchanged_scores
    given_canvas: Canvas | None = None
    meter: QueryCounter = field(default_factory=QueryCounter)

    @property
    def norm(self) -> Norm:
        """The attack's norm."""
        return find_norm(self.attack.norm)

    @property
    def canvas(self) -> Canvas:
        """The canvas given to the call, the identity, or rounding to the attack's levels."""
        if self.given_canvas is not None:
            return self.given_canvas
        return levels_of(self.attack.levels, self.net, self.problem.x0, self.norm)

    @property
    def starting_points(self) -> Tensor:
        """Starting points, [B, ...]."""
        return self.problem.x0 if self.start is None else self.start

    def each(self, what: str, value: float | Tensor) -> float | Tensor:
        """The values for this batch of a setting given for the whole call.

        Args:
            what: name of the setting, for the error message.
            value: a number, one per example of the call [B], or one per element, [B, ...] or [...].

        Returns:
            A number, or a tensor that broadcasts with the batch, [B, ...] or [1, ...].

        Raises:
            ValueError: `value` has another shape.
        """
        if not isinstance(value, Tensor):
            return value
        like = self.problem.x0
        made = value.to(like)
        if made.ndim == 1 and self.examples == len(made):
            return per_example(made[self.positions], like)
        made = made if made.ndim == like.ndim else made[None]
        if made.ndim == like.ndim and len(made) == self.examples > 1:
            made = made[self.positions]
        try:
            return made.expand(len(made), *like.shape[1:])
        except RuntimeError as error:
            raise ValueError(
                f"{what} must be a number, one per example ({self.examples} numbers), or a tensor of the inputs' shape "
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
        """Run the optimisation loop in the problem's ball, and keep the point with the lowest loss.

        For random networks, searches by gradients keep the last point instead.

        Args:
            objective: loss to minimise, unless the call was given one.
            step: step rule.
            start: starting points, [B, ...].
            steps: maximum number of steps.
            problem: a problem derived from the batch; default: the batch.
            untargeted: count any wrong class as a success; the problem's target is used by the loss only.
            stop: whether examples that succeed are dropped.
        """
        problem = self.problem if problem is None else problem
        oracle = self.oracle(self.loss or on_scores(objective, self.scores), self.goal_of(problem, untargeted), step)
        return optimise(
            oracle,
            step,
            # in Linf the region's bounds are those of the ball already
            in_box if self.norm.is_box else ball(self.norm),
            problem,
            start,
            steps=steps,
            score=by_loss,
            # of a random network the lowest loss met is that of the luckiest draws
            select=latest if self.stochastic and step.uses_gradient else lowest_loss,
            stop=on_success if stop else at_the_end,
            size=self.norm.size,
            watch=self.watch,
        )

    def search_nearest(
        self,
        objective: Objective | Oracle,
        step: Step,
        start: Tensor,
        steps: int,
        problem: Problem | None = None,
        *,
        untargeted: bool = False,
        confidence: float = 0.0,
        stop: Stop = at_x0,
    ) -> Result:
        """Run the optimisation loop up to its last step, and keep the nearest success.

        Args:
            objective: objective to minimise, or an oracle.
            step, start, steps, problem, untargeted: as for `search`.
            confidence: lead that the wrong class must have over the other classes, in logits (or the run's scores).
            stop: which examples are finished before the last step.
        """
        problem = self.problem if problem is None else problem
        if isinstance(objective, Objective):
            goal = self.goal_of(problem, untargeted)
            if confidence:
                goal = goal & ahead_by(confidence, self.scores)
            objective = self.oracle(on_scores(objective, self.scores), goal, step)
        return optimise(
            objective,
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
        """The goal given to the call; otherwise the target is predicted, or without a target any wrong class."""
        if self.goal is not None:
            return self.goal
        return wrong if untargeted or problem.target is None else reached

    def oracle(self, objective: Objective, goal: Goal, step: Step) -> Oracle:
        """Autograd oracle with the attack's canvas and transform; confirms successes of a stochastic network."""
        return self.confirming(
            Autograd(
                self.net,
                objective,
                goal,
                self.attack.transform or unchanged,
                self.canvas,
                self.attack.eot_samples,
                step.uses_gradient,
                keyed(self.seed, SEARCHING) if self.stochastic else unseeded,
                self.meter,
            ),
            goal,
        )

    def confirming(self, oracle: Oracle, goal: Goal) -> Oracle:
        """Wrap an oracle so that its successes are confirmed on fresh draws if the network is stochastic."""
        if not self.stochastic:
            return oracle

        def confirm(x: Tensor, problem: Problem, index: int) -> Tensor:
            self.meter.forward(problem.example, CONFIRMING)
            return self.share_of_draws(x, problem, goal, CONFIRMING, CONFIRMING_DRAWS, index * CONFIRMING) > 0.5

        return confirmed(oracle, confirm)

    @torch.no_grad()
    def share_of_draws(
        self, x: Tensor, problem: Problem, goal: Goal, draws: int, purpose: int, first: int = 0
    ) -> Tensor:
        """Fraction of `draws` new random forwards in which each input meets the goal, [B].

        Random numbers are keyed by seed, `purpose` (independent for each) and the draw's number, from `first` on.
        """
        fresh, transform = keyed(self.seed, purpose), self.attack.transform or unchanged
        successes = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for draw in range(first, first + draws):
            with fresh(draw):
                # transforms are keyed by id and draw: inverted ids avoid repeating those of the search
                outputs = self.net(transform(x, replace(problem, ids=~problem.ids), draw))
            successes += goal(outputs, problem) & outputs.amax(1).isfinite()
        return successes / draws


def levels_of(levels: int | None, net: Frozen, x0: Tensor, norm: Norm) -> Canvas:
    """The identity canvas if `levels` is None; otherwise rounding to this many levels of the network's bounds."""
    return pixels if levels is None else Levels(levels, *net.box(x0), norm)


def check_levels(levels: int | None, net: Frozen, x0: Tensor, norm: Norm) -> None:
    """Check that the inputs lie on the levels.

    Raises:
        ValueError: they do not, or the bounds are infinite.
    """
    if levels is None:
        return
    canvas = Levels(levels, *net.box(x0), norm)
    if not bool(torch.isfinite(canvas.high - canvas.low).all()):
        raise ValueError("levels needs finite bounds; freeze the model with finite bounds, or omit levels.")
    if float((canvas.on_levels(x0) - x0).abs().max()) > 1e-6 * net.unit:
        raise ValueError(f"x must already lie on the {levels} levels; round it first.")
