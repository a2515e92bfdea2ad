"""Sigma-zero (Cina et al., 2025): Adam on the margin and a smooth approximation of the L0 norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from inputopt.attacks.config import number, setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import NormName
from inputopt.search.norms.norm import over_largest
from inputopt.search.objectives.logits import margin
from inputopt.search.objectives.objective import Objective
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.directions import adam
from inputopt.search.steps.step import HalfCosine


@dataclass(frozen=True)
class SigmaZeroState:
    """State: Adam's running averages, the sparsity threshold of the perturbation, [B], and the index of the step."""

    mean: Tensor
    square: Tensor
    threshold: Tensor
    index: int


@dataclass(frozen=True)
class SigmaZeroStep:
    """Adam; after each step, elements of the perturbation below an adaptive threshold are set to 0.

    The threshold rises after a success and falls after a failure. Step size, threshold and perturbation are in units of
    the bounds' width.

    Attributes:
        steps: total number of steps; the step size decays to a tenth along half a cosine.
        size: initial step size.
        first: initial threshold.
        rate: change of the threshold per step, relative to the step size.
    """

    steps: int
    size: float = 1.0
    first: float = 0.3
    rate: float = 0.01
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> SigmaZeroState:
        zeros = torch.zeros_like(z)
        return SigmaZeroState(zeros, zeros, torch.full(z.shape[:1], self.first, dtype=z.dtype, device=z.device), 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: SigmaZeroState, problem: Problem, project: Project
    ) -> tuple[Tensor, SigmaZeroState]:
        unit = problem.region.unit
        mean, square, step = adam(over_largest(seen.gradient), state.mean, state.square, state.index)
        length = unit * HalfCosine(self.size, 0.1 * self.size, self.steps)(max(state.index - 1, 0))
        change = project(z - length * step, problem) - problem.x0
        rate = self.rate * HalfCosine(self.size, 0.1 * self.size, self.steps)(state.index)
        threshold = (state.threshold + torch.where(seen.success, rate, -rate)).clamp(0, 1)
        kept = torch.where(change.abs() < per_example(unit * threshold, z), 0, change)
        return problem.x0 + kept, SigmaZeroState(mean, square, threshold, state.index + 1)


@dataclass(frozen=True)
class SigmaZero(MinimalNormAttack):
    """Sigma-zero (Cina et al., 2025), in L0.

    Attributes:
        steps: number of steps.
        sigma: smoothing of the approximate L0 norm, smaller is sharper; perturbations in units of the bounds' width.
    """

    norms: ClassVar[tuple[str, ...]] = ("l0",)
    elsewhere: ClassVar[str] = "FMN"

    norm: NormName = "l0"
    steps: int = setting(100, whole())
    sigma: float = setting(0.001, number)

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(smooth_count(self.sigma), SigmaZeroStep(self.steps), run.starting_points, self.steps)


def smooth_count(sigma: float) -> Objective:
    """Objective: relu(margin) plus the mean of d^2 / (d^2 + sigma) over the elements d of the perturbation."""

    def value(outputs: Tensor, x: Tensor, problem: Problem) -> Tensor:
        square = ((x - problem.x0) / problem.region.unit).flatten(1).square()
        return functional.relu(margin(outputs, x, problem)) + (square / (square + sigma)).mean(1)

    return Objective(value)
