"""SuperDeepFool (Abdollahpoorrostami et al., 2024): DeepFool, turned square to the boundary after a success."""

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
    """DeepFool, turned square to the boundary after each success, in L2 (Abdollahpoorrostami et al., 2024).

    It ends with a bisection between the input and the nearest success.

    Attributes:
        steps: how many, the bisection's not counted.
        classes, overshoot: as for `DeepFool`.
        halvings: steps of the bisection, a forward each.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "FAB"

    steps: int = setting(50, whole())
    classes: int = setting(9, whole())
    overshoot: float = setting(0.02, number)
    halvings: int = setting(10, whole())

    def _search(self, run: AttackRun) -> Result:
        step = DeepFoolStep(run.norm, self.overshoot, project_back=True)
        found = run.search_nearest(nearest_boundary(run, self.classes), step, run.begin, self.steps)
        return onto_boundary(run, found, self.halvings)
