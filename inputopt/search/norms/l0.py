"""L0 norm: the number of changed elements."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.host_sync import known_all
from inputopt.search.norms.norm import (
    largest,
    least_change_in_order,
    one_hot,
    over_largest,
    room_along,
    without_blocked,
)
from inputopt.search.rows import numbers_of, per_example


@dataclass(frozen=True)
class _L0:
    """See `Norm`."""

    name: str = "l0"
    counts: bool = True
    convex: bool = False
    is_box: bool = False
    total_step: float = 1.0
    enlarged_radii: tuple[float, ...] = ()

    def size(self, change: Tensor) -> Tensor:
        return (change != 0).sum(numbers_of(change), dtype=change.dtype)

    def dual(self, grad: Tensor) -> Tensor:
        return largest(grad)

    def steepest(self, grad: Tensor) -> Tensor:
        return one_hot(grad)

    def ascent(self, grad: Tensor) -> Tensor:
        return over_largest(grad)  # the projection selects the elements that stay changed

    def outward(self, change: Tensor) -> Tensor:
        return torch.zeros_like(change)

    def project(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Keep the floor(eps) elements whose removal would increase the distance to `change` most."""
        clipped = change.clamp(low, high)
        if known_all(self.size(clipped) <= eps):
            return clipped
        gain = (change * change - (change - clipped) ** 2).flatten(1)
        order = gain.argsort(dim=1, descending=True, stable=True)
        few = torch.arange(order.shape[1], device=order.device) < eps.floor()[:, None]
        kept = torch.zeros_like(few).scatter(1, order, few).reshape(change.shape)
        return torch.where(kept, clipped, 0)

    def project_fast(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return self.project(change, eps, low, high)

    def lowest(self, grad: Tensor, eps: Tensor, low: Tensor, high: Tensor, unit: float) -> Tensor:
        """Move the floor(eps) elements that lower the loss most to their bounds."""
        way = -grad.flatten(1)
        room = room_along(way, low.flatten(1), high.flatten(1)).clamp(-unit, unit)
        order = (way * room).argsort(dim=1, descending=True, stable=True)
        few = torch.arange(order.shape[1], device=order.device) < eps.floor()[:, None]
        kept = torch.zeros_like(few).scatter(1, order, few)
        return torch.where(kept & (way != 0), room, 0).reshape(grad.shape)

    def least_change(self, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
        flat = way.flatten(1)
        room = room_along(flat, low.flatten(1), high.flatten(1))
        worth = torch.where(flat == 0, 0, flat * room)
        return least_change_in_order(flat, gain, room, worth).reshape(way.shape)

    def proximal(self, change: Tensor, weight: Tensor) -> Tensor:
        """Proximal operator of the sum of |c|^(2/3), as L0 is non-differentiable (Matyasko and Chau, 2021)."""
        return two_thirds(change, per_example(weight, change))

    def sample(self, like: Tensor, eps: Tensor, unit: float, seed: int, ids: Tensor, draw: int) -> Tensor:
        """Change floor(eps) uniformly chosen elements by uniform amounts between -`unit` and `unit`."""
        rank = keyed_random.uniform((like[0].numel(),), seed, ids, draw).argsort(dim=1).argsort(dim=1)
        kept = (rank < eps.floor()[:, None]).reshape(like.shape)
        drawn = unit * (2 * keyed_random.uniform(like.shape[1:], seed, ids, draw + 1) - 1)
        return torch.where(kept, drawn, 0).to(like.dtype)

    def box(self, x0: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low, high

    def inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        return eps

    def l2_radius(self, eps: Tensor, like: Tensor, unit: float) -> Tensor:
        return unit * eps.sqrt()

    def feasible(self, grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return without_blocked(grad, z, low, high)


def two_thirds(change: Tensor, weight: Tensor) -> Tensor:
    """The c that minimises (c - change)^2 / 2 + weight |c|^(2/3), elementwise (Cao et al., 2013)."""
    size = change.abs()
    inside = (size**4 / 256 - 8 * weight**3 / 729).clamp(min=0).sqrt()
    half = size.square() / 16
    root = 2 * ((half + inside) ** (1 / 3) + (half - inside).clamp(min=0) ** (1 / 3))
    tiny = torch.finfo(change.dtype).tiny
    rest = (2 * size / root.clamp_min(tiny).sqrt() - root).clamp(min=0)
    shrunk = torch.minimum((root.sqrt() + rest.sqrt()) ** 3 / 8, size)
    better = (shrunk - size).square() / 2 + weight * shrunk ** (2 / 3) < size.square() / 2
    return torch.where(better, change.sign() * shrunk, 0)


L0 = _L0()
