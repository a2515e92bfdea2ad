"""Square: no gradient at all, only random squares that are kept where they help."""

from __future__ import annotations

from dataclasses import dataclass

from inputopt import checks
from inputopt.attacks.base import Attack
from inputopt.attacks.setting import Setting
from inputopt.search.norms import L2, LINF
from inputopt.search.objectives import margin
from inputopt.search.problem import Result
from inputopt.search.steps.square import SquareL2, SquareLinf


@dataclass(frozen=True)
class Square(Attack):
    """Square attack (Andriushchenko et al., 2020), in Linf and L2: needs answers only, so masked gradients do not help.

    Attributes:
        steps: how many squares to try.
        share: of the image, that a first square covers.
    """

    steps: int = 5000
    share: float = 0.8

    def _search(self, setting: Setting) -> Result:
        checks.whole("steps", self.steps)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and up to 1, not {self.share}.")
        if setting.norm not in (L2, LINF):
            raise ValueError(f"Square is defined in linf and l2, not in {setting.norm.name}; use one of them.")
        kind = SquareLinf if setting.norm is LINF else SquareL2
        step = kind(self.steps, self.share, setting.seed)
        return setting.run(margin, step, step.start(setting.problem), self.steps)
