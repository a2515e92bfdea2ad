"""Momentum iterative FGSM (Dong et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import not_negative, setting, whole
from inputopt.attacks.pgd import pgd_step
from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.result import Result
from inputopt.search.steps.directions import Momentum, chain, over_mean


@dataclass(frozen=True)
class MIFGSM(Attack):
    """Steps along an accumulated gradient, each term divided by its mean absolute value (Dong et al., 2018).

    Attributes:
        steps: number of steps, each of size eps / steps (L1: 10 eps / steps; L0: the bounds' width / steps).
        decay: decay factor of the accumulated gradient per step.
    """

    steps: int = setting(10, whole())
    decay: float = setting(1.0, not_negative)

    def _search(self, run: AttackRun) -> Result:
        step = pgd_step(run, run.norm.total_step / self.steps)
        step = replace(step, direction=chain(over_mean, Momentum(self.decay), step.direction))
        return run.search(attack_cross_entropy, step, run.problem.x0, self.steps, stop=self.stop_on_success)
