"""Minimal-norm attacks by one descent: the gradient turns the change, success shortens it, failure lengthens it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from inputopt import checks
from inputopt.attacks.nearest import Nearest, begun, nearer, only_in, onto_boundary
from inputopt.attacks.setting import Setting
from inputopt.search.norms import L0
from inputopt.search.objectives import Objective, attack_cross_entropy, margin, relative_margin
from inputopt.search.problem import Problem, Result
from inputopt.search.steps.nearest import DecoupledStep, FastStep, SparseStep
from inputopt.search.steps.penalty import AugmentedStep
from inputopt.search.steps.primal import PrimalDualGradientStep, PrimalDualStep
from inputopt.search.steps.walk import WalkStep


@dataclass(frozen=True)
class DDN(Nearest):
    """Decoupled direction and norm (Rony et al., 2019), in L2.

    Attributes:
        steps: how many.
    """

    steps: int = 100

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "DDN", ("l2",), "FMN")
        step = DecoupledStep(checks.whole("steps", self.steps))
        return setting.run_nearest(attack_cross_entropy, step, begun(setting.problem), self.steps)


@dataclass(frozen=True)
class FMN(Nearest):
    """Fast minimum norm (Pintor et al., 2021), in every norm.

    Attributes:
        steps: how many.
    """

    steps: int = 100

    def _search(self, setting: Setting) -> Result:
        step = FastStep(setting.norm, checks.whole("steps", self.steps))
        return setting.run_nearest(margin, step, begun(setting.problem), self.steps)


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
        only_in(setting, "Sigma-zero", ("l0",), "FMN")
        objective = smooth_count(checks.positive("sigma", self.sigma))
        step = SparseStep(checks.whole("steps", self.steps))
        return setting.run_nearest(objective, step, begun(setting.problem), self.steps)


@dataclass(frozen=True)
class PDPGD(Nearest):
    """Primal-dual proximal gradient descent (Matyasko and Chau, 2021), in every norm.

    Its last steps still cross the boundary to and fro, so it ends with a walk along the boundary from the nearest
    success (but in L0), and a bisection between the input and what is then the nearest.

    Attributes:
        steps: how many, the walk's and the bisection's not counted.
        walk: steps of the walk.
        halvings: steps of the bisection, a forward each.
    """

    steps: int = 500
    walk: int = 10
    halvings: int = 10

    def _search(self, setting: Setting) -> Result:
        step = PrimalDualStep(setting.norm, checks.whole("steps", self.steps))
        found = setting.run_nearest(margin, step, begun(setting.problem), self.steps)
        if setting.norm is not L0:
            walk = checks.whole("walk", self.walk)
            found = nearer(found, setting.run_nearest(margin, WalkStep(setting.norm), found.x, walk))
        return onto_boundary(setting, found, self.halvings)


@dataclass(frozen=True)
class PDGD(Nearest):
    """Primal-dual gradient descent (Matyasko and Chau, 2021), in L2.

    Attributes:
        steps: how many.
    """

    steps: int = 500

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "PDGD", ("l2",), "PDPGD")
        step = PrimalDualGradientStep(checks.whole("steps", self.steps))
        return setting.run_nearest(margin, step, begun(setting.problem), self.steps)


@dataclass(frozen=True)
class ALMA(Nearest):
    """Augmented Lagrangian method for adversarial attacks (Rony et al., 2021), in L1 and L2.

    Attributes:
        steps: how many.
    """

    steps: int = 1000

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "ALMA", ("l1", "l2"), "PDPGD")
        step = AugmentedStep(setting.norm, checks.whole("steps", self.steps))
        return setting.run_nearest(relative_margin, step, begun(setting.problem), self.steps)


def smooth_count(sigma: float) -> Objective:
    """The margin as far as it is above 0, and the mean of d^2 / (d^2 + sigma) over the changes d."""

    def value(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
        square = (x - problem.x0).flatten(1).square()
        return functional.relu(margin(outputs, x, problem)) + (square / (square + sigma)).mean(1)

    return Objective(value)
