"""SuperDeepFool (Abdollahpoorrostami et al., 2024): DeepFool with perturbations made orthogonal to the boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inputopt.attacks.config import number, setting, whole
from inputopt.attacks.minimal_norm.deepfool import DeepFoolStep, nearest_boundary
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, onto_boundary
from inputopt.attacks.run import AttackRun
from inputopt.search.result import Result


@dataclass(frozen=True)
class SuperDeepFool(MinimalNormAttack):
    """SuperDeepFool (Abdollahpoorrostami et al., 2024), in L2.

    After each success the perturbation is projected onto the gradient, which makes it orthogonal to the boundary. The
    attack ends with a bisection between the input and the nearest success.

    Attributes:
        steps: number of steps, without those of the bisection.
        classes, overshoot: as for `DeepFool`.
        halvings: number of steps of the bisection, one forward each.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "FAB"

    steps: int = setting(50, whole())
    classes: int = setting(9, whole())
    overshoot: float = setting(0.02, number)
    halvings: int = setting(10, whole())

    def _search(self, run: AttackRun) -> Result:
        step = DeepFoolStep(run.norm, self.overshoot, project_back=True)
        found = run.search_nearest(nearest_boundary(run, self.classes), step, run.starting_points, self.steps)
        return onto_boundary(run, found, self.halvings)
