"""FAB: fast adaptive boundary (Croce and Hein, 2020)."""

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
from inputopt.search.norms import Norm
from inputopt.search.objectives.logits import logit_difference, margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, best_restart, failures_at_infinity, nearer
from inputopt.search.rows import per_example


@dataclass(frozen=True)
class FABStep:
    """The step rule of FAB, in every convex norm.

    Between where z and where x0 would meet the plane, nearer to x0 the further it has strayed; and after a success
    first a step back towards x0. The plane is the one seen at the success itself, not after the step back: that spares
    a forward.

    Attributes:
        norm: to be minimised.
        most: the largest share of x0's own way to the plane.
        back: how much of the change a step back keeps.
        overshoot: by which factor the ways are made longer.
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
        near = problem.x0 + per_example(kept, z) * (z - problem.x0)
        here, start = (value_at_x0(x, z, seen.loss, seen.gradient) for x in (near, problem.x0))
        straight = to_hyperplane(self.norm, near, here, seen.gradient, problem)
        from_start = to_hyperplane(self.norm, problem.x0, start, seen.gradient, problem)
        near_size, start_size = self.norm.size(straight), self.norm.size(from_start)
        share = (near_size / (near_size + start_size).clamp_min(torch.finfo(z.dtype).tiny)).clamp(max=self.most)
        share = per_example(share, z)
        ahead = (1 - share) * (near + self.overshoot * straight) + share * (problem.x0 + self.overshoot * from_start)
        return project(ahead, problem), state


@dataclass(frozen=True)
class FAB(MinimalNormAttack):
    """Fast adaptive boundary (Croce and Hein, 2020), in L1, L2 and Linf.

    Attributes:
        steps: how many.
        classes: as for `DeepFool`.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "SigmaZero"

    norm: str = "linf"
    steps: int = setting(100, whole())
    classes: int = setting(9, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(nearest_boundary(run, self.classes), FABStep(run.norm), run.begin, self.steps)


@dataclass(frozen=True)
class TargetedFAB(MinimalNormAttack):
    """FAB towards one class at a time, all classes in one batch (Croce and Hein, 2020): a backward a step and class.

    Attributes:
        steps: how many for each class.
        classes: how many are tried, those of the highest logits.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "SigmaZero"

    norm: str = "linf"
    steps: int = setting(100, whole())
    classes: int = setting(9, whole())

    @property
    def rows(self) -> int:
        return self.classes

    def _search(self, run: AttackRun) -> Result:
        candidates, start, count = towards_classes(run, self.classes)
        untargeted = run.problem.target is None
        loss = logit_difference if untargeted else margin
        found = run.search_nearest(loss, FABStep(run.norm), start, self.steps, candidates, untargeted=untargeted)
        return best_restart(failures_at_infinity(found), count, nearer)
