"""Random search from the best point of another attack: it needs no gradient, and corrects an imprecise one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import setting, share, whole
from inputopt.attacks.run import AttackRun
from inputopt.attacks.square import square_step
from inputopt.search.objectives.logits import margin
from inputopt.search.result import Result


@dataclass(frozen=True)
class LocalSquare(Attack):
    """Square attack (Andriushchenko et al., 2020) that starts at the given points, with small squares.

    Attributes:
        steps: number of squares to try.
        share: share of the image covered by the first square.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    elsewhere: ClassVar[str] = "SparseRS"
    gradient_free: ClassVar[bool] = True

    steps: int = setting(500, whole())
    share: float = setting(0.06, share)

    def _search(self, run: AttackRun) -> Result:
        step = square_step(run.norm, self.steps, self.share, run.seed + 1)  # other squares than those of `Square`
        return run.search(margin, step, run.starting_points, self.steps, stop=self.stop_on_success)
