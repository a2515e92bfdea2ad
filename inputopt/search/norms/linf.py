"""Linf norm: the largest absolute change of any element. Its ball is a box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.norms.l1 import project_l1
from inputopt.search.norms.norm import largest, least_change_along
from inputopt.search.rows import numbers_of, per_example


@dataclass(frozen=True)
class _LInf:
    """See `Norm`."""

    name: str = "linf"
    counts: bool = False
    convex: bool = True
    is_box: bool = True
    total_step: float = 1.0
    enlarged_radii: tuple[float, ...] = ()

    def size(self, change: Tensor) -> Tensor:
        return largest(change)

    def dual(self, grad: Tensor) -> Tensor:
        return grad.abs().sum(numbers_of(grad))

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def ascent(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def outward(self, change: Tensor) -> Tensor:
        size = change.abs()
        at_most = size == per_example(largest(change), change)
        return torch.where(at_most, change.sign(), 0)

    def project(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        radius = per_example(eps, change)
        return change.clamp(torch.maximum(low, -radius), torch.minimum(high, radius))

    def project_fast(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return self.project(change, eps, low, high)

    def lowest(self, grad: Tensor, eps: Tensor, low: Tensor, high: Tensor, unit: float) -> Tensor:
        return (grad.sign() * -per_example(eps, grad)).clamp(low, high)

    def least_change(self, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
        flat = way.flatten(1)
        return least_change_along(flat.sign(), flat, gain, low.flatten(1), high.flatten(1)).reshape(way.shape)

    def proximal(self, change: Tensor, weight: Tensor) -> Tensor:
        wide = torch.full_like(change, torch.inf)
        return change - project_l1(change, weight, -wide, wide)  # Moreau decomposition with the dual (L1) ball

    def sample(self, like: Tensor, eps: Tensor, unit: float, seed: int, ids: Tensor, draw: int) -> Tensor:
        drawn = keyed_random.uniform(like.shape[1:], seed, ids, draw).mul_(2).sub_(1)
        return drawn.to(like.dtype).mul_(per_example(eps, like))

    def box(self, x0: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds at most eps from x0 in floating point: where rounding exceeds eps, the next float towards x0."""
        radius = per_example(eps, x0)
        down, up = x0 - radius, x0 + radius
        down = torch.where(x0 - down > radius, torch.nextafter(down, x0), down)
        up = torch.where(up - x0 > radius, torch.nextafter(up, x0), up)
        return torch.maximum(down, low), torch.minimum(up, high)

    def inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        return eps  # `box` handles rounding already

    def l2_radius(self, eps: Tensor, like: Tensor, unit: float) -> Tensor:
        return eps * float(like[0].numel()) ** 0.5

    def feasible(self, grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return grad  # sign steps do not depend on other elements


LINF = _LInf()
