"""DeepFool (Moosavi-Dezfooli et al., 2016): steps to the nearest linearised decision boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import number, setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import SEARCHING, AttackRun
from inputopt.search.loop import on_success
from inputopt.search.network_draws import keyed, unseeded
from inputopt.search.norms import L2, Norm
from inputopt.search.oracles import NearestBoundary, Oracle
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.transforms import unchanged

EXTRA_STEP = 1e-4
"""Length added to the distance to the hyperplane, as a fraction of the bounds' width."""

MAX_STEP = 1e12
"""Maximum step length, likewise: where the gradient is zero, the linearised boundary is infinitely far away."""


@dataclass(frozen=True)
class DeepFoolStep:
    """DeepFool's step to the linearised boundary (Moosavi-Dezfooli et al., 2016), with overshoot, in every norm.

    The step to the hyperplane ignores the box, as in the paper: later, smaller steps make up for what the box cuts off,
    and adding `EXTRA_STEP` to the distance makes these steps terminate.

    Attributes:
        norm: the norm in which the step to the hyperplane is shortest.
        overshoot: relative extra length of each step, 0.02 for 2 %.
        project_back: after a success, project the perturbation onto the gradient, as SuperDeepFool does
            (Abdollahpoorrostami et al., 2024), which makes it orthogonal to the boundary.
    """

    norm: Norm
    overshoot: float = 0.02
    project_back: bool = False
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        slope = self.norm.dual(seen.gradient).clamp_min(torch.finfo(z.dtype).tiny)
        bounds_width = problem.region.unit
        distance = (seen.loss.abs() / slope).clamp(max=MAX_STEP * bounds_width) + EXTRA_STEP * bounds_width
        length = (1 + self.overshoot) * distance * seen.loss.sign()
        new = z - per_example(length, z) * self.norm.steepest(seen.gradient)
        if self.project_back:
            unit = L2.steepest(seen.gradient)
            projection = torch.linalg.vecdot((z - problem.x0).flatten(1), unit.flatten(1))
            new = torch.where(per_example(seen.success, z), problem.x0 + per_example(projection, z) * unit, new)
        return project(new, problem), state


@dataclass(frozen=True)
class DeepFool(MinimalNormAttack):
    """DeepFool (Moosavi-Dezfooli et al., 2016), in L2 and Linf: steps to the nearest hyperplane until misclassified.

    Attributes:
        steps: maximum number of steps.
        classes: number of classes, by highest logit, considered per step; one backward each.
        overshoot: relative extra length of each step, 0.02 for 2 %.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")
    elsewhere: ClassVar[str] = "FAB"

    steps: int = setting(50, whole())
    classes: int = setting(9, whole())
    overshoot: float = setting(0.02, number)

    def _search(self, run: AttackRun) -> Result:
        step = DeepFoolStep(run.norm, self.overshoot)
        return run.search_nearest(
            nearest_boundary(run, self.classes), step, run.starting_points, self.steps, stop=on_success
        )


def nearest_boundary(run: AttackRun, classes: int) -> Oracle:
    """Oracle for the nearest linearised boundary of `classes` classes, or with a target of the target only."""
    problem, attack = run.problem, run.attack
    with torch.no_grad():
        others = run.net(problem.x0[:1]).shape[1] - 1
    goal = run.goal_of(problem)
    oracle = NearestBoundary(
        run.net,
        goal,
        run.norm,
        1 if problem.target is not None else min(classes, others),
        attack.transform or unchanged,
        run.canvas,
        attack.eot_samples,
        keyed(run.seed, SEARCHING) if run.stochastic else unseeded,
        run.meter,
        run.scores,
    )
    return run.confirming(oracle, goal)
