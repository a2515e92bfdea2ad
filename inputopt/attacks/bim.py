"""Basic iterative method (Kurakin et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import above_zero, setting, whole
from inputopt.attacks.pgd import pgd_step
from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.result import Result


@dataclass(frozen=True)
class BIM(Attack):
    """Steps of constant size, starting at the input (Kurakin et al., 2017).

    Attributes:
        steps: number of steps.
        step_size: relative to eps (in L0 to the bounds' width): a number, one per example [B], or one per element.
    """

    steps: int = setting(10, whole())
    step_size: float | Tensor = setting(0.2, above_zero)

    def _search(self, run: AttackRun) -> Result:
        step = pgd_step(run, run.each("step_size", self.step_size))
        return run.search(attack_cross_entropy, step, run.problem.x0, self.steps, stop=self.stop_on_success)
