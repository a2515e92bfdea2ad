"""FAB: fast adaptive boundary attack (Croce and Hein, 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.deepfool import nearest_boundary
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.minimal_norm.target_choice import towards_classes
from inputopt.attacks.run import AttackRun
from inputopt.search.hyperplanes import to_hyperplane, value_at_x0
from inputopt.search.norms import Norm, NormName
from inputopt.search.objectives.logits import logit_difference, margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, best_restart, failures_at_infinity, nearer
from inputopt.search.rows import per_example


@dataclass(frozen=True)
class FABStep:
    """Step rule of FAB, in every convex norm.

    Moves to a convex combination of the projections of z and of x0 onto the linearised boundary, with more weight on
    that of x0 the further z is from the hyperplane. After a success, z first makes a backward step towards x0; the
    hyperplane is the one at the success, not after the backward step, which saves a forward.

    Attributes:
        norm: the norm to minimise.
        most: maximum weight of x0's projection (alpha_max in the paper).
        back: share of the perturbation that a backward step keeps (beta in the paper).
        overshoot: factor by which the projection steps are lengthened (eta in the paper).
    """

    norm: Norm
    most: float = 0.1
    back: float = 0.9
    overshoot: float = 1.05
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        kept = torch.where(seen.success, self.back, 1.0).to(z.dtype)
        point = problem.x0 + per_example(kept, z) * (z - problem.x0)
        loss_at_point, loss_at_x0 = (value_at_x0(x, z, seen.loss, seen.gradient) for x in (point, problem.x0))
        to_plane = to_hyperplane(self.norm, point, loss_at_point, seen.gradient, problem)
        x0_to_plane = to_hyperplane(self.norm, problem.x0, loss_at_x0, seen.gradient, problem)
        distance, x0_distance = self.norm.size(to_plane), self.norm.size(x0_to_plane)
        alpha = (distance / (distance + x0_distance).clamp_min(torch.finfo(z.dtype).tiny)).clamp(max=self.most)
        alpha = per_example(alpha, z)
        new = (1 - alpha) * (point + self.overshoot * to_plane) + alpha * (problem.x0 + self.overshoot * x0_to_plane)
        return project(new, problem), state


@dataclass(frozen=True)
class FAB(MinimalNormAttack):
    """Fast adaptive boundary (Croce and Hein, 2020), in L1, L2 and Linf.

    Attributes:
        steps: number of steps.
        classes: as for `DeepFool`.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "SigmaZero"

    norm: NormName = "linf"
    steps: int = setting(100, whole())
    classes: int = setting(9, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(
            nearest_boundary(run, self.classes), FABStep(run.norm), run.starting_points, self.steps
        )


@dataclass(frozen=True)
class TargetedFAB(MinimalNormAttack):
    """Targeted FAB, with all target classes in one batch (Croce and Hein, 2020); one backward per step and class.

    Attributes:
        steps: number of steps per class.
        classes: number of target classes, by highest logit.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "SigmaZero"

    norm: NormName = "linf"
    steps: int = setting(100, whole())
    classes: int = setting(9, whole())

    @property
    def rows_per_example(self) -> int:
        return self.classes

    def _search(self, run: AttackRun) -> Result:
        candidates, start, count = towards_classes(run, self.classes)
        untargeted = run.problem.target is None
        loss = logit_difference if untargeted else margin
        found = run.search_nearest(loss, FABStep(run.norm), start, self.steps, candidates, untargeted=untargeted)
        return best_restart(failures_at_infinity(found), count, nearer)
