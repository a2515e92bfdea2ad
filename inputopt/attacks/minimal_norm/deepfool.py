"""DeepFool (Moosavi-Dezfooli et al., 2016): to where the nearest boundary would be if the network were linear."""

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

HAIR = 1e-4
"""How much further than a plane seems DeepFool goes at least, in parts of the bounds' width."""

MOST = 1e12
"""The longest step, likewise: where there is no gradient the boundary seems to be infinitely far."""


@dataclass(frozen=True)
class DeepFoolStep:
    """To the plane, and a little further (DeepFool; Moosavi-Dezfooli et al., 2016), in every norm.

    The way to the plane does not take the box into account, as in the paper: what the box cuts off is made up for in
    later, smaller steps, and a hair more than the plane's distance makes them end.

    Attributes:
        norm: what the way to the plane is least in.
        overshoot: by how much each step is longer, 0.02 for 2 %.
        project_back: after a success, go where the line through x0 along the derivative meets the plane, as
            SuperDeepFool does (Abdollahpoorrostami et al., 2024): the change turns square to the boundary.
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
        distance = (seen.loss.abs() / slope).clamp(max=MOST * problem.region.unit) + HAIR * problem.region.unit
        length = (1 + self.overshoot) * distance * seen.loss.sign()
        ahead = z - per_example(length, z) * self.norm.steepest(seen.gradient)
        if self.project_back:
            unit = L2.steepest(seen.gradient)
            straight = torch.linalg.vecdot((z - problem.x0).flatten(1), unit.flatten(1))
            ahead = torch.where(per_example(seen.success, z), problem.x0 + per_example(straight, z) * unit, ahead)
        return project(ahead, problem), state


@dataclass(frozen=True)
class DeepFool(MinimalNormAttack):
    """DeepFool (Moosavi-Dezfooli et al., 2016), in L2 and Linf: to the nearest plane, until it is wrong.

    Attributes:
        steps: at most.
        classes: how many are looked at in each step, those of the highest logits; a backward each.
        overshoot: how much further it goes than the planes, 0.02 for 2 %.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")
    elsewhere: ClassVar[str] = "FAB"

    steps: int = setting(50, whole())
    classes: int = setting(9, whole())
    overshoot: float = setting(0.02, number)

    def _search(self, run: AttackRun) -> Result:
        step = DeepFoolStep(run.norm, self.overshoot)
        return run.search_nearest(nearest_boundary(run, self.classes), step, run.begin, self.steps, stop=on_success)


def nearest_boundary(run: AttackRun, classes: int) -> Oracle:
    """The oracle that looks at the boundaries of so many classes; with a target at the target's alone."""
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
        keyed(run.seed, SEARCHING) if run.random else unseeded,
        run.meter,
    )
    return run.confirming(oracle, goal)
