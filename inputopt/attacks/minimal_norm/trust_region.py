"""The trust region attack (Yao et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import number, setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, onto_boundary
from inputopt.attacks.minimal_norm.target_choice import towards_nearest
from inputopt.attacks.run import AttackRun
from inputopt.search.hyperplanes import to_hyperplane
from inputopt.search.loop import on_success
from inputopt.search.norms import Norm
from inputopt.search.objectives.logits import logit_difference
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import per_example


@dataclass(frozen=True)
class TrustRegionState:
    """State: the trust radius and its maximum, [B]; the last loss and its predicted decrease, [B]."""

    radius: Tensor
    most: Tensor
    last: Tensor
    expected: Tensor


@dataclass(frozen=True)
class TrustRegionStep:
    """Trust region step (Yao et al., 2019): towards the linearised boundary, by at most the trust radius.

    The radius grows where the loss fell by over 0.9 of the predicted decrease, and shrinks where it fell by less than
    half of it. It is bounded, as in the paper: with long steps the loss may fall as predicted along a detour.

    Attributes:
        norm: the norm in which the step to the hyperplane is shortest.
        largest: maximum and initial radius, relative to the first distance to the hyperplane.
        factor: factor by which the radius changes.
    """

    norm: Norm
    largest: float = 0.01
    factor: float = 1.2
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> TrustRegionState:
        zeros = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        return TrustRegionState(zeros, zeros, zeros, zeros)

    def update(
        self, z: Tensor, seen: Evaluation, state: TrustRegionState, problem: Problem, project: Project
    ) -> tuple[Tensor, TrustRegionState]:
        to_plane = to_hyperplane(self.norm, z, seen.loss, seen.gradient, problem)
        length = self.norm.size(to_plane)
        ratio = (state.last - seen.loss) / state.expected.clamp_min(torch.finfo(z.dtype).tiny)
        grown = torch.where(ratio > 0.9, state.radius * self.factor, state.radius)
        radius = torch.where(ratio < 0.5, state.radius / self.factor, grown)
        most = torch.where(state.most == 0, self.largest * length, state.most)
        radius = torch.where(state.most == 0, most, torch.minimum(radius, most))
        fraction = (1.02 * radius / length.clamp_min(torch.finfo(z.dtype).tiny)).clamp(max=1.02)
        fraction = torch.where(seen.success, 0, fraction)
        return project(z + per_example(fraction, z) * to_plane, problem), TrustRegionState(
            radius, most, seen.loss, fraction * seen.loss
        )


@dataclass(frozen=True)
class TrustRegion(MinimalNormAttack):
    """Trust region attack (Yao et al., 2019), in L2 and Linf: small steps towards the class nearest at the start.

    Attributes:
        steps: maximum number of steps.
        classes: number of classes, by highest logit, considered before the first step.
        radius: maximum step length, relative to the distance to the linearised boundary at the start.
        halvings: as for `SuperDeepFool`.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")
    elsewhere: ClassVar[str] = "FAB"

    steps: int = setting(900, whole())
    classes: int = setting(9, whole())
    radius: float = setting(0.01, number)
    halvings: int = setting(10, whole())

    def _search(self, run: AttackRun) -> Result:
        untargeted = run.problem.target is None
        problem = towards_nearest(run, self.classes) if untargeted else run.problem
        step = TrustRegionStep(run.norm, self.radius)
        found = run.search_nearest(
            logit_difference, step, run.starting_points, self.steps, problem, untargeted=untargeted, stop=on_success
        )
        return onto_boundary(run, found, self.halvings)
