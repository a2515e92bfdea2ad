"""L1 norm: the sum of absolute changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.host_sync import known_none
from inputopt.search.norms.norm import (
    before_each,
    largest,
    least_change_in_order,
    one_hot,
    over_largest,
    radius_inside,
    room_along,
    without_blocked,
)
from inputopt.search.rows import numbers_of, per_example


def project_l1(change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Project by soft thresholding, clipped to the box; the L1 norm is piecewise linear in the threshold."""
    clipped = change.clamp(low, high)
    over = clipped.abs().sum(numbers_of(change)) > eps
    if known_none(over):
        return clipped
    size = change.flatten(1).abs()
    room = torch.where(change > 0, high, -low).flatten(1)  # distance of each element to its bound
    # an element is at its bound until the threshold passes size - room, and then shrinks to 0 at threshold size
    corners = torch.cat([(size - room).clamp_min(0), size], dim=1)
    slope_change = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1)
    corners, order = corners.sort(dim=1)
    slopes = slope_change.gather(1, order).cumsum(1)  # number of elements that shrink after each corner
    falls = slopes[:, :-1] * corners.diff(dim=1)
    total = torch.minimum(size, room).sum(1, keepdim=True)
    left = torch.cat([total, total - falls.cumsum(1)], dim=1)  # the L1 norm at each corner
    piece = ((left > eps[:, None]).sum(1, keepdim=True) - 1).clamp_min(0)
    steep = slopes.gather(1, piece).clamp_min(1)
    threshold = corners.gather(1, piece) + (left.gather(1, piece) - eps[:, None]).clamp_min(0) / steep
    shrunk = torch.minimum((size - threshold).clamp_min(0), room)
    # if the threshold is large relative to eps, its rounding error makes the norm exceed eps
    shrunk = shrunk * (eps[:, None] / shrunk.sum(1, keepdim=True).clamp_min(torch.finfo(size.dtype).tiny)).clamp(max=1)
    return torch.where(per_example(over, change), change.sign() * shrunk.reshape(change.shape), clipped)


@dataclass(frozen=True)
class _L1:
    """See `Norm`."""

    name: str = "l1"
    counts: bool = False
    convex: bool = True
    is_box: bool = False
    total_step: float = 10.0
    """The projection keeps few of the elements that a step moves, so the total step length must exceed the radius."""
    enlarged_radii: tuple[float, ...] = (3.0, 2.0)
    """Radii as in Croce and Hein (2021)."""

    def size(self, change: Tensor) -> Tensor:
        return change.abs().sum(numbers_of(change))

    def dual(self, grad: Tensor) -> Tensor:
        return largest(grad)

    def steepest(self, grad: Tensor) -> Tensor:
        return one_hot(grad)

    def ascent(self, grad: Tensor) -> Tensor:
        return over_largest(grad)  # the projection selects the elements that stay changed

    def outward(self, change: Tensor) -> Tensor:
        return change.sign()

    def project(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return project_l1(change, eps, low, high)

    def project_fast(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return project_l1(change, eps, low, high)  # searches succeed more often with the exact projection in L1

    def lowest(self, grad: Tensor, eps: Tensor, low: Tensor, high: Tensor, unit: float) -> Tensor:
        """Move the elements of largest gradient to their bounds, one after the other, until eps is used up."""
        way = -grad.flatten(1)
        room = room_along(way, low.flatten(1), high.flatten(1)).abs().minimum(eps[:, None])
        order = (way.abs() * (room > 0)).argsort(dim=1, descending=True, stable=True)
        length = room.gather(1, order)
        steps = (eps[:, None] - before_each(length)).clamp_min(0).minimum(length)
        return (torch.zeros_like(way).scatter(1, order, steps) * way.sign()).reshape(grad.shape)

    def least_change(self, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
        flat = way.flatten(1)
        room = room_along(flat, low.flatten(1), high.flatten(1))
        return least_change_in_order(flat, gain, room, flat.abs() * (room != 0)).reshape(way.shape)

    def proximal(self, change: Tensor, weight: Tensor) -> Tensor:
        return change.sign() * (change.abs() - per_example(weight, change)).clamp_min(0)

    def sample(self, like: Tensor, eps: Tensor, unit: float, seed: int, ids: Tensor, draw: int) -> Tensor:
        """Uniform in the ball: count + 1 exponential variables over their sum, without the last; random signs."""
        count = like[0].numel()
        sizes = -torch.log1p(-keyed_random.uniform((count + 1,), seed, ids, draw))
        signs = torch.where(keyed_random.uniform((count,), seed, ids, draw + 1) < 0.5, -1.0, 1.0)
        drawn = signs * sizes[:, :-1] / sizes.sum(1, keepdim=True)
        return drawn.reshape(like.shape).to(like.dtype) * per_example(eps, like)

    def box(self, x0: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low, high

    def inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        return radius_inside(x0, eps, self.size(x0))

    def l2_radius(self, eps: Tensor, like: Tensor, unit: float) -> Tensor:
        return eps

    def feasible(self, grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return without_blocked(grad, z, low, high)


L1 = _L1()
