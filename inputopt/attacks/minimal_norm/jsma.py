"""JSMA: the Jacobian-based saliency map attack (Papernot et al., 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.attacks.run import AttackRun
from inputopt.search.loop import on_success
from inputopt.search.norms import NormName
from inputopt.search.objectives.logits import attack_cross_entropy
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result


@dataclass(frozen=True)
class JSMAStep:
    """Step rule of JSMA, which may increase or decrease each element (Wiyatno and Xu, 2018).

    The saliency of an element is the derivative of the target's probability times that of the other probabilities. As
    probabilities sum to 1, the two differ only in sign: one backward gives both, and the best pair of elements is the
    best two.

    No element is changed twice; one without a bound is changed by the region's `unit`.

    Attributes:
        pixels: number of elements changed per step.
    """

    pixels: int = 2
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[Tensor]:
        return (torch.zeros_like(z, dtype=torch.bool),)

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[Tensor], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[Tensor]]:
        down, up = (bound.clamp(-problem.region.unit, problem.region.unit) for bound in problem.region.room(z))
        room = torch.where(seen.gradient > 0, down, up)
        (changed,) = state
        saliency = (seen.gradient.abs() * ((room != 0) & ~changed)).flatten(1)
        best = saliency.topk(min(self.pixels, saliency.shape[1]), dim=1)
        selected = torch.zeros_like(saliency).scatter(1, best.indices, (best.values > 0).to(z.dtype)).reshape(z.shape)
        return project(z + selected * room, problem), (changed | (selected > 0),)


@dataclass(frozen=True)
class JSMA(MinimalNormAttack):
    """Jacobian-based saliency map attack (Papernot et al., 2016), in L0; untargeted as by Wiyatno and Xu (2018).

    Attributes:
        steps: maximum number of steps.
        pixels: number of elements changed per step.
    """

    norms: ClassVar[tuple[str, ...]] = ("l0",)
    elsewhere: ClassVar[str] = "FAB"

    norm: NormName = "l0"
    steps: int = setting(200, whole())
    pixels: int = setting(2, whole())

    def _search(self, run: AttackRun) -> Result:
        step = JSMAStep(self.pixels)
        return run.search_nearest(attack_cross_entropy, step, run.starting_points, self.steps, stop=on_success)
