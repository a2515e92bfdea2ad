"""Minimal-norm attacks: how little must change?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from inputopt import checks
from inputopt.recipes.attacks.base import Nearest, Setting
from inputopt.search.norms import L2
from inputopt.search.objectives import Objective, attack_cross_entropy, margin
from inputopt.search.problem import Problem, Result
from inputopt.search.steps.nearest import DecoupledStep, FastStep, SparseStep
from inputopt.search.steps.primal import PrimalDualStep


@dataclass(frozen=True)
class DDN(Nearest):
    """Decoupled direction and norm (Rony et al., 2019), in L2.

    Attributes:
        steps: how many.
    """

    steps: int = 100

    def _search(self, setting: Setting) -> Result:
        if setting.norm is not L2:
            raise ValueError(f"DDN is defined in l2, not in {setting.norm.name}; use FMN there.")
        step = DecoupledStep(checks.whole("steps", self.steps))
        return setting.run(attack_cross_entropy, step, begun(setting.problem), self.steps, nearest=True)


@dataclass(frozen=True)
class FMN(Nearest):
    """Fast minimum norm (Pintor et al., 2021), in every norm.

    Attributes:
        steps: how many.
    """

    steps: int = 100

    def _search(self, setting: Setting) -> Result:
        step = FastStep(setting.norm, checks.whole("steps", self.steps))
        return setting.run(margin, step, begun(setting.problem), self.steps, nearest=True)


@dataclass(frozen=True)
class SigmaZero(Nearest):
    """Sigma-zero (Cina et al., 2025), in L0.

    Attributes:
        steps: how many.
        sigma: how sharply the smooth count tells a change from none.
    """

    norm: str = "l0"
    steps: int = 100
    sigma: float = 0.001

    def _search(self, setting: Setting) -> Result:
        if setting.norm.name != "l0":
            raise ValueError(f"Sigma-zero is defined in l0, not in {setting.norm.name}; use FMN there.")
        objective = smooth_count(checks.positive("sigma", self.sigma))
        step = SparseStep(checks.whole("steps", self.steps))
        return setting.run(objective, step, begun(setting.problem), self.steps, nearest=True)


@dataclass(frozen=True)
class PDPGD(Nearest):
    """Primal-dual proximal gradient descent (Matyasko and Chau, 2021), in every norm.

    Attributes:
        steps: how many.
    """

    steps: int = 500

    def _search(self, setting: Setting) -> Result:
        step = PrimalDualStep(setting.norm, checks.whole("steps", self.steps))
        return setting.run(margin, step, begun(setting.problem), self.steps, nearest=True)


def begun(problem: Problem) -> Tensor:
    """Where the search begins."""
    return problem.x0 if problem.start is None else problem.start


def smooth_count(sigma: float) -> Objective:
    """The margin as far as it is above 0, and the mean of d^2 / (d^2 + sigma) over the changes d."""

    def value(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
        square = (x - problem.x0).flatten(1).square()
        return functional.relu(margin(outputs, x, problem)) + (square / (square + sigma)).mean(1)

    return Objective(value)
