"""Projected gradient descent and its relatives: one step or many, with and without momentum."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from inputopt import checks
from inputopt.attacks.base import Attack
from inputopt.attacks.setting import Setting
from inputopt.attacks.tries import best_try, repeated
from inputopt.search.norms import L0, L1, Norm
from inputopt.search.objectives import attack_cross_entropy
from inputopt.search.problem import Problem, Result
from inputopt.search.steps.directions import Direction, Momentum, chain, over_largest, over_mean, steepest
from inputopt.search.steps.step import Descend, HalfCosine, Nesterov


def direction(norm: Norm) -> Direction:
    """What to step along in this norm.

    Steepest in L2 and Linf. In L1 and L0 that is a single pixel, so there it is the gradient itself, its largest number
    brought to 1, and the projection decides which pixels stay.
    """
    return over_largest if norm in (L0, L1) else steepest(norm)


CORNER = 1000.0
"""In L1 and L0, a step so long that its projection is the point of ball and box where a linear loss is lowest."""

LEAP = 10.0
"""In L1, the way that attacks whose steps sum to eps go instead: few pixels stay of so many that are moved."""


def descend(norm: Norm, setting: Setting, share: float) -> Descend:
    """Steps of `share` of eps; in L0, where eps counts pixels, of the width of the bounds."""
    return Descend(direction(norm), share * unit_step(norm, setting), of_eps=norm is not L0)


def unit_step(norm: Norm, setting: Setting) -> float:
    """What step sizes are parts of: 1, for eps; in L0 the width of the bounds."""
    low, high = setting.net.bounds
    return high - low if norm is L0 else 1.0


FIRST = 2.0
"""The first step, in parts of eps: it crosses the ball, so that a search may leave the side that it began on."""


def falling(setting: Setting, steps: int) -> Descend:
    """Steps that fall from `FIRST` times eps (in L0, the width of the bounds) to a hundredth of eps."""
    whole = unit_step(setting.norm, setting)
    return replace(descend(setting.norm, setting, 1.0), size=HalfCosine(FIRST * whole, whole / 100, steps))


@dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method (Goodfellow et al., 2015): one step to where a linear loss would be lowest."""

    def _search(self, setting: Setting) -> Result:
        step = descend(setting.norm, setting, CORNER if setting.norm in (L0, L1) else 1.0)
        return setting.run(attack_cross_entropy, step, setting.problem.x0, 1)


@dataclass(frozen=True)
class BIM(Attack):
    """Basic iterative method (Kurakin et al., 2017): small steps from the input itself.

    Attributes:
        steps: how many.
        step_size: in parts of eps.
    """

    steps: int = 10
    step_size: float = 0.2

    def _search(self, setting: Setting) -> Result:
        checks.positive("step_size", self.step_size)
        step = descend(setting.norm, setting, self.step_size)
        return setting.run(attack_cross_entropy, step, setting.problem.x0, checks.whole("steps", self.steps))


@dataclass(frozen=True)
class PGD(Attack):
    """Projected gradient descent (Madry et al., 2018): from random points of the ball, all restarts in one batch.

    Attributes:
        steps: how many.
        step_size: in parts of eps, the same at every step as in the paper; if not given, it falls from twice eps
            to a hundredth of it along half a cosine, which leaves fewer examples standing and finds them sooner.
        restarts: how many random points an example starts from; it is done when one try succeeds.
        random_start: start from the input itself if false, which allows one restart only.
    """

    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True

    @property
    def tries(self) -> int:
        return self.restarts

    def _search(self, setting: Setting) -> Result:
        checks.whole("restarts", self.restarts)
        step = self._step(setting, checks.whole("steps", self.steps))
        tries = repeated(setting.problem, self.restarts)
        start = random_start(tries, setting.norm, setting.seed) if self.random_start else tries.x0
        found = setting.run(attack_cross_entropy, step, start, self.steps, tries)
        return best_try(found, self.restarts)

    def _step(self, setting: Setting, steps: int) -> Descend:
        if self.step_size is not None:
            return descend(setting.norm, setting, checks.positive("step_size", self.step_size))
        return falling(setting, steps)


@dataclass(frozen=True)
class MIFGSM(Attack):
    """Momentum iterative FGSM (Dong et al., 2018): gradients over their mean size, summed up.

    Attributes:
        steps: how many.
        decay: of the sum at each step.
    """

    steps: int = 10
    decay: float = 1.0

    def _search(self, setting: Setting) -> Result:
        share = (LEAP if setting.norm is L1 else 1.0) / checks.whole("steps", self.steps)
        step = descend(setting.norm, setting, share)
        step = replace(step, direction=chain(over_mean, Momentum(self.decay), step.direction))
        return setting.run(attack_cross_entropy, step, setting.problem.x0, self.steps)


@dataclass(frozen=True)
class NIFGSM(Attack):
    """Nesterov iterative FGSM (Lin et al., 2020): the gradient is taken where the momentum leads.

    Attributes:
        steps: how many.
        decay: of the sum at each step.
    """

    steps: int = 10
    decay: float = 1.0

    def _search(self, setting: Setting) -> Result:
        share = (LEAP if setting.norm is L1 else 1.0) / checks.whole("steps", self.steps)
        size = share * unit_step(setting.norm, setting)
        step = Nesterov(direction(setting.norm), size, self.decay, of_eps=setting.norm is not L0)
        return setting.run(attack_cross_entropy, step, setting.problem.x0, self.steps)


def random_start(problem: Problem, norm: Norm, seed: int) -> Tensor:
    """A random point of each example's ball."""
    assert problem.eps is not None
    return problem.x0 + norm.sample(problem.x0, problem.eps, seed, problem.ids, 0)
