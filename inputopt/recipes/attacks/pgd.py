"""Projected gradient descent and its relatives: one step or many, with and without momentum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt import checks
from inputopt.recipes.attacks.base import Attack, Setting
from inputopt.search import chance
from inputopt.search.norms import L0, L1, Norm
from inputopt.search.objectives import attack_cross_entropy
from inputopt.search.problem import Problem, Result, take
from inputopt.search.steps.directions import Direction, Momentum, chain, over_largest, over_mean, steepest, unit
from inputopt.search.steps.step import Descend, Nesterov


def direction(norm: Norm) -> Direction:
    """What to step along in this norm.

    Steepest in L2 and Linf. In L1 and L0 that is a single pixel, so there it is the gradient itself, and the
    projection decides which pixels stay.
    """
    return unit if norm is L1 else over_largest if norm is L0 else steepest(norm)


def descend(norm: Norm, setting: Setting, share: float) -> Descend:
    """Steps of `share` of eps; in L0, where eps counts pixels, of the width of the bounds."""
    low, high = setting.net.bounds
    return Descend(direction(norm), share * (high - low) if norm is L0 else share, of_eps=norm is not L0)


@dataclass(frozen=True)
class FGSM(Attack):
    """Fast gradient sign method (Goodfellow et al., 2015): one step of eps along the steepest direction of the norm."""

    def _search(self, setting: Setting) -> Result:
        step = replace(descend(setting.norm, setting, 1.0), direction=steepest(setting.norm))
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
        step_size: in parts of eps.
        restarts: how many random points an example starts from; it is done when one try succeeds.
        random_start: start from the input itself if false, which allows one restart only.
    """

    steps: int = 40
    step_size: float = 0.1
    restarts: int = 1
    random_start: bool = True

    def _search(self, setting: Setting) -> Result:
        checks.positive("step_size", self.step_size)
        checks.whole("restarts", self.restarts)
        step = descend(setting.norm, setting, self.step_size)
        tries = repeated(setting.problem, self.restarts)
        start = random_start(tries, setting.norm, setting.seed) if self.random_start else tries.x0
        found = setting.run(attack_cross_entropy, step, start, checks.whole("steps", self.steps), tries)
        return best_try(found, self.restarts)


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
        share = 1.0 / checks.whole("steps", self.steps)
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
        plain = descend(setting.norm, setting, 1.0 / checks.whole("steps", self.steps))
        step = Nesterov(plain.direction, plain.size, self.decay, plain.of_eps)
        return setting.run(attack_cross_entropy, step, setting.problem.x0, self.steps)


def repeated(problem: Problem, tries: int) -> Problem:
    """Every example so many times, as a group that is done together; each try has chance of its own."""
    if tries == 1:
        return problem
    rows = torch.arange(len(problem.ids), device=problem.ids.device).repeat(tries)
    number = torch.arange(tries, device=problem.ids.device).repeat_interleave(len(problem.ids))
    again = take(problem, rows)
    return replace(again, ids=chance.child(again.ids, number), group=rows)


def best_try(found: Result, tries: int) -> Result:
    """The best of each example's tries: success first, then the lowest loss; all their forwards and backwards."""
    if tries == 1:
        return found
    score = found.loss.masked_fill(found.success, -torch.inf)
    examples = len(found.loss) // tries
    chosen = score.reshape(tries, examples).argmin(0) * examples + torch.arange(examples, device=score.device)
    best = take(found, chosen)
    forwards, backwards = (count.reshape(tries, examples).sum(0) for count in (found.forwards, found.backwards))
    return replace(best, forwards=forwards, backwards=backwards)


def random_start(problem: Problem, norm: Norm, seed: int) -> Tensor:
    """A random point of each example's ball."""
    assert problem.eps is not None
    return problem.x0 + norm.sample(problem.x0, problem.eps, seed, problem.ids, 0)
