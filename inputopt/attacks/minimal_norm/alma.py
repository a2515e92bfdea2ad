"""ALMA: augmented Lagrangian method for adversarial attacks (Rony et al., 2021)."""

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
"""Minimum and maximum length of the first step, as a fraction of the bounds' width."""


@dataclass(frozen=True)
class ALMAState:
    """State of ALMA.

    Attributes:
        square, momentum: RMSProp's running average of squared gradients and its momentum, like z.
        multiplier, weight: multiplier and penalty parameter, [B].
        checked: loss at the last check, [B].
        found: index of the step of the first success, [B]; `steps` + 1 while there is none.
        rate: initial step size, [B].
        index: index of the step.
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
    """RMSProp on |perturbation| + penalty(loss), with the paper's penalty P2, in units of the bounds' width.

    The multiplier follows the derivative of the penalty. At each check the penalty parameter is multiplied by 1.2 if
    an example has not succeeded yet and its loss has fallen by at most 5 % since the last check.

    Attributes:
        norm: the norm to minimise, L1 or L2.
        steps: total number of steps; from the first success on, the step size decays to a hundredth.
        first: length of the first step, relative to the estimated distance to the boundary.
        decay: decay of the running averages of the multiplier, the gradient and the squared gradient.
        check: number of steps between checks of the loss.
    """

    norm: Norm
    steps: int
    first: float = 0.5
    decay: float = 0.5
    check: int = 10
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> ALMAState:
        ones = torch.ones(z.shape[:1], dtype=z.dtype, device=z.device)
        return ALMAState(
            torch.ones_like(z), torch.zeros_like(z), ones, ones, ones * torch.inf, ones * (self.steps + 1), ones, 0
        )  # fmt: skip

    def update(
        self, z: Tensor, seen: Evaluation, state: ALMAState, problem: Problem, project: Project
    ) -> tuple[Tensor, ALMAState]:
        index, loss, unit = state.index, seen.loss, problem.region.unit
        found = torch.where(seen.success, state.found.clamp(max=index), state.found)
        weight, checked = state.weight, state.checked
        if index % self.check == self.check - 1:
            raised = (found > self.steps) & (loss >= 0.95 * checked)
            weight, checked = torch.where(raised, 1.2 * weight, weight), loss
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
        new = project(z - per_example(rate, z) * momentum, problem)
        return new, ALMAState(square, momentum, multiplier, weight, checked, found, first, index + 1)

    def _first_rate(self, seen: Evaluation, momentum: Tensor, problem: Problem) -> Tensor:
        """Step size that gives the first step its length, [B]."""
        tiny = torch.finfo(seen.loss.dtype).tiny
        boundary_distance = seen.loss.abs() / self.norm.dual(seen.gradient).clamp_min(tiny)
        distance = (self.first * boundary_distance).clamp(LEAST * problem.region.unit, MOST * problem.region.unit)
        return distance / self.norm.size(momentum).clamp_min(tiny)


def _penalty_slope(loss: Tensor, weight: Tensor, multiplier: Tensor) -> Tensor:
    """Derivative with respect to the loss of P2 (Birgin et al., 2005, as chosen by Rony et al.), [B]."""
    positive = loss.clamp(min=0)
    above = multiplier * (1 + 2 * weight * positive) + weight**2 * positive**2 / 2
    return torch.where(loss >= 0, above, multiplier / (1 - weight * loss.clamp(max=0)) ** 2)


@dataclass(frozen=True)
class ALMA(MinimalNormAttack):
    """Augmented Lagrangian method for adversarial attacks (Rony et al., 2021), in L1 and L2.

    Attributes:
        steps: number of steps.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2")
    elsewhere: ClassVar[str] = "PDPGD"

    steps: int = setting(1000, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(relative_margin, ALMAStep(run.norm, self.steps), run.starting_points, self.steps)
