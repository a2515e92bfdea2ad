"""Step rules that go where the boundary would be if the network were linear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import L2, Norm, per_example
from inputopt.search.planes import ahead_at, to_plane
from inputopt.search.problem import Evaluation, Problem

HAIR = 1e-4
"""How much further than a plane seems DeepFool goes at least."""


@dataclass(frozen=True)
class DeepFoolStep:
    """To the plane, and a little further (DeepFool; Moosavi-Dezfooli et al., 2016), in every norm.

    The way to the plane does not take the box into account, as in the paper: what the box cuts off is made up for in
    later, smaller steps, and a hair more than the plane's distance makes them end.

    Attributes:
        norm: what the way to the plane is least in.
        overshoot: by how much each step is longer, 0.02 for 2 %.
        project_back: after a success, go where the line through x0 along the derivative meets the plane, as
            SuperDeepFool does (Abdollahpoorrostami et al., 2024): the change turns square to the boundary.
    """

    norm: Norm
    overshoot: float = 0.02
    project_back: bool = False
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        assert seen.grad is not None
        distance = seen.loss.abs() / self.norm.dual(seen.grad).clamp_min(1e-12) + HAIR
        length = (1 + self.overshoot) * distance * seen.loss.sign()
        ahead = z - per_example(length, z) * self.norm.steepest(seen.grad)
        if self.project_back:
            unit = L2.steepest(seen.grad)
            straight = torch.linalg.vecdot((z - problem.x0).flatten(1), unit.flatten(1))
            ahead = torch.where(per_example(seen.success, z), problem.x0 + per_example(straight, z) * unit, ahead)
        return project(ahead, problem), state


@dataclass(frozen=True)
class AdaptiveBoundaryStep:
    """Fast adaptive boundary (Croce and Hein, 2020), in every norm.

    Between where z and where x0 would meet the plane, nearer to x0 the further it has strayed; and after a success
    first a step back towards x0. The plane is the one seen at the success itself, not after the step back: that spares
    a forward.

    Attributes:
        norm: to be minimised.
        most: the largest share of x0's own way to the plane.
        back: how much of the change a step back keeps.
        overshoot: by which factor the ways are made longer.
    """

    norm: Norm
    most: float = 0.1
    back: float = 0.9
    overshoot: float = 1.05
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        assert seen.grad is not None
        kept = torch.where(seen.success, self.back, 1.0).to(z.dtype)
        near = problem.x0 + per_example(kept, z) * (z - problem.x0)
        here, start = (ahead_at(x, z, seen.loss, seen.grad) for x in (near, problem.x0))
        straight = to_plane(self.norm, near, here, seen.grad, problem)
        from_start = to_plane(self.norm, problem.x0, start, seen.grad, problem)
        near_size, start_size = self.norm.size(straight), self.norm.size(from_start)
        share = (near_size / (near_size + start_size).clamp_min(torch.finfo(z.dtype).tiny)).clamp(max=self.most)
        share = per_example(share, z)
        ahead = (1 - share) * (near + self.overshoot * straight) + share * (problem.x0 + self.overshoot * from_start)
        return project(ahead, problem), state


@dataclass(frozen=True)
class Trusted:
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

    def init(self, z: Tensor, problem: Problem) -> Trusted:
        none = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        return Trusted(none, none, none, none)

    def update(
        self, z: Tensor, seen: Evaluation, state: Trusted, problem: Problem, project: Project
    ) -> tuple[Tensor, Trusted]:
        assert seen.grad is not None
        way = to_plane(self.norm, z, seen.loss, seen.grad, problem)
        length = self.norm.size(way)
        right = (state.last - seen.loss) / state.expected.clamp_min(torch.finfo(z.dtype).tiny)
        grown = torch.where(right > 0.9, state.radius * self.factor, state.radius)
        radius = torch.where(right < 0.5, state.radius / self.factor, grown)
        most = torch.where(state.most == 0, self.largest * length, state.most)
        radius = torch.where(state.most == 0, most, torch.minimum(radius, most))
        share = (1.02 * radius / length.clamp_min(torch.finfo(z.dtype).tiny)).clamp(max=1.02)
        share = torch.where(seen.success, 0, share)
        return project(z + per_example(share, z) * way, problem), Trusted(radius, most, seen.loss, share * seen.loss)
