"""ALMA: the augmented Lagrangian method (Rony et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm
from inputopt.search.objectives.dlr import relative_margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example

LEAST, MOST = 1e-3, 10.0
"""How far the first step goes at least and at most, in parts of the bounds' width."""


@dataclass(frozen=True)
class ALMAState:
    """RMSProp's average and momentum, the multiplier and the penalty's weight, and the course of the search.

    Attributes:
        square, momentum: like z.
        multiplier, weight: of the penalty, [B].
        checked: the loss at the last check, [B].
        found: at which step the first success was, [B]; beyond the last while there is none.
        rate: the first step size, [B].
        index: the number of the step.
    """

    square: Tensor
    momentum: Tensor
    multiplier: Tensor
    weight: Tensor
    checked: Tensor
    found: Tensor
    rate: Tensor
    index: int


@dataclass(frozen=True)
class ALMAStep:
    """RMSProp on |change| + penalty(loss) with the penalty P2 of the paper; changes in parts of the bounds' width.

    The multiplier follows the penalty's slope, and its weight grows while an example has never succeeded and its loss
    hardly falls.

    Attributes:
        norm: to be minimised, L1 or L2.
        steps: how many there will be: from the first success on, the step size falls to a hundredth.
        first: how far the first step goes, in parts of the distance at which the boundary seems to be.
        decay: of the multiplier's, the gradient's and its square's running averages.
        check: after how many steps the loss must have fallen.
    """

    norm: Norm
    steps: int
    first: float = 0.5
    decay: float = 0.5
    check: int = 10
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> ALMAState:
        one = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return ALMAState(
            torch.ones_like(z), torch.zeros_like(z), one, one, one * torch.inf, one * (self.steps + 1), one, 0
        )  # fmt: skip

    def update(
        self, z: Tensor, seen: Evaluation, state: ALMAState, problem: Problem, project: Project
    ) -> tuple[Tensor, ALMAState]:
        index, loss, unit = state.index, seen.loss, problem.region.unit
        found = torch.where(seen.success, state.found.clamp(max=index), state.found)
        weight, checked = state.weight, state.checked
        if index % self.check == self.check - 1:
            stuck = (found > self.steps) & (loss >= 0.95 * checked)
            weight, checked = torch.where(stuck, 1.2 * weight, weight), loss
        slope = _penalty_slope(loss, weight, state.multiplier)
        multiplier = state.multiplier
        if index:
            multiplier = (self.decay * multiplier + (1 - self.decay) * slope).clamp(1e-6, 1e12)
            slope = _penalty_slope(loss, weight, multiplier)
        grad = per_example(unit * slope, z) * seen.gradient + self.norm.outward(z - problem.x0)
        square = self.decay * state.square + (1 - self.decay) * grad * grad
        momentum = self.decay * state.momentum + grad / (square.sqrt() + 1e-8)
        first = state.rate if index else self._first_rate(seen, momentum, problem)
        rate = first * 0.01 ** ((index - found).clamp(min=0) / (self.steps + 1 - found).clamp(min=1))
        ahead = project(z - per_example(rate, z) * momentum, problem)
        return ahead, ALMAState(square, momentum, multiplier, weight, checked, found, first, index + 1)

    def _first_rate(self, seen: Evaluation, momentum: Tensor, problem: Problem) -> Tensor:
        """The step size with which the first step goes as far as it shall, [B]."""
        tiny = torch.finfo(seen.loss.dtype).tiny
        seeming = seen.loss.abs() / self.norm.dual(seen.gradient).clamp_min(tiny)
        distance = (self.first * seeming).clamp(LEAST * problem.region.unit, MOST * problem.region.unit)
        return distance / self.norm.size(momentum).clamp_min(tiny)


def _penalty_slope(loss: Tensor, weight: Tensor, multiplier: Tensor) -> Tensor:
    """The derivative by the loss of P2 (Birgin et al., 2005, as chosen by Rony et al.), [B]."""
    over = loss.clamp(min=0)
    above = multiplier * (1 + 2 * weight * over) + weight**2 * over**2 / 2
    return torch.where(loss >= 0, above, multiplier / (1 - weight * loss.clamp(max=0)) ** 2)


@dataclass(frozen=True)
class ALMA(MinimalNormAttack):
    """Augmented Lagrangian method for adversarial attacks (Rony et al., 2021), in L1 and L2.

    Attributes:
        steps: how many.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2")
    elsewhere: ClassVar[str] = "PDPGD"

    steps: int = setting(1000, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(relative_margin, ALMAStep(run.norm, self.steps), run.begin, self.steps)
