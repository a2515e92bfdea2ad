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
    """How far the plane is trusted, and how far at most, [B]; the last loss and by how much it was to fall, [B]."""

    radius: Tensor
    most: Tensor
    last: Tensor
    expected: Tensor


@dataclass(frozen=True)
class TrustRegionStep:
    """Trust region (Yao et al., 2019): towards the plane, no further at a time than it was right about before.

    The radius grows where the loss fell as the plane said, and shrinks where it did not, up to a bound as in the
    paper: loss may fall as foreseen on a way that long steps lead far round.

    Attributes:
        norm: what steps are steepest in.
        largest: radius, which is the first as well, in parts of the way that the first plane shows.
        factor: by which the radius changes.
    """

    norm: Norm
    largest: float = 0.01
    factor: float = 1.2
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> TrustRegionState:
        none = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        return TrustRegionState(none, none, none, none)

    def update(
        self, z: Tensor, seen: Evaluation, state: TrustRegionState, problem: Problem, project: Project
    ) -> tuple[Tensor, TrustRegionState]:
        way = to_hyperplane(self.norm, z, seen.loss, seen.gradient, problem)
        length = self.norm.size(way)
        right = (state.last - seen.loss) / state.expected.clamp_min(torch.finfo(z.dtype).tiny)
        grown = torch.where(right > 0.9, state.radius * self.factor, state.radius)
        radius = torch.where(right < 0.5, state.radius / self.factor, grown)
        most = torch.where(state.most == 0, self.largest * length, state.most)
        radius = torch.where(state.most == 0, most, torch.minimum(radius, most))
        share = (1.02 * radius / length.clamp_min(torch.finfo(z.dtype).tiny)).clamp(max=1.02)
        share = torch.where(seen.success, 0, share)
        return project(z + per_example(share, z) * way, problem), TrustRegionState(
            radius, most, seen.loss, share * seen.loss
        )


@dataclass(frozen=True)
class TrustRegion(MinimalNormAttack):
    """Trust region attack (Yao et al., 2019), in L2 and Linf: small steps towards the class that was nearest at first.

    Attributes:
        steps: at most.
        classes: how many are looked at before the first step.
        radius: the longest step, in parts of the distance that it seems to have to go at first.
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
            logit_difference, step, run.begin, self.steps, problem, untargeted=untargeted, stop=on_success
        )
        return onto_boundary(run, found, self.halvings)
