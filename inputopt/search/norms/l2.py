"""L2 norm: the Euclidean length."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.host_sync import known_none
from inputopt.search.norms.norm import least_change_along, over_largest, radius_inside, without_blocked
from inputopt.search.rows import numbers_of, per_example


def l2(change: Tensor) -> Tensor:
    """L2 norm of each example, [B]."""
    return torch.linalg.vector_norm(change, dim=numbers_of(change))


def unit_length(grad: Tensor) -> Tensor:
    """Normalise each example to L2 norm 1; zeros stay zero."""
    scaled = over_largest(grad)  # avoids underflow and overflow of the squares
    length = torch.linalg.vector_norm(scaled, dim=numbers_of(grad), keepdim=True)
    return scaled.div_(length.clamp_min(torch.finfo(grad.dtype).tiny))


@dataclass(frozen=True)
class _L2:
    """See `Norm`."""

    name: str = "l2"
    counts: bool = False
    convex: bool = True
    is_box: bool = False
    total_step: float = 1.0
    enlarged_radii: tuple[float, ...] = ()

    def size(self, change: Tensor) -> Tensor:
        return l2(change)

    def dual(self, grad: Tensor) -> Tensor:
        return l2(grad)

    def steepest(self, grad: Tensor) -> Tensor:
        return unit_length(grad)

    def ascent(self, grad: Tensor) -> Tensor:
        return unit_length(grad)

    def outward(self, change: Tensor) -> Tensor:
        return change / per_example(l2(change).clamp_min(torch.finfo(change.dtype).tiny), change)

    def project(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The nearest point is clip(t * change) for some t in [0, 1]; its squared norm is piecewise linear in t^2."""
        clipped = change.clamp(low, high)
        over = l2(clipped) > eps
        if known_none(over):
            return clipped
        size = change.flatten(1).abs()
        room = torch.where(change > 0, high, -low).flatten(1).minimum(size)  # absolute value of each element at t = 1
        stop = (room / size.clamp_min(torch.finfo(size.dtype).tiny)).square()  # the t^2 at which it reaches its bound
        order = stop.argsort(dim=1)
        square, end, stop = size.square().gather(1, order), room.square().gather(1, order), stop.gather(1, order)
        still = square.flip(1).cumsum(1).flip(1)  # summed over the elements that still grow with t
        stopped = end.cumsum(1) - end
        reached = stopped + stop * still >= eps.square()[:, None]  # squared norm at this element's bound
        piece = (~reached).sum(1, keepdim=True).clamp(max=size.shape[1] - 1)
        left = (eps.square()[:, None] - stopped.gather(1, piece)).clamp_min(0)
        share = (left / still.gather(1, piece).clamp_min(torch.finfo(size.dtype).tiny)).sqrt().clamp(max=1)
        nearest = (per_example(share[:, 0], change) * change).clamp(low, high)
        # rounding of the sums may leave the norm above eps, so rescale
        nearest = nearest * per_example((eps / l2(nearest).clamp_min(torch.finfo(eps.dtype).tiny)).clamp(max=1), change)
        return torch.where(per_example(over, change), nearest, clipped)

    def project_fast(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Clip, then scale towards 0: in ball and box, but not the nearest point."""
        clipped = change.clamp(low, high)
        length = torch.linalg.vector_norm(clipped, dim=numbers_of(clipped), keepdim=True)
        share = per_example(eps, change) / length.clamp_min(torch.finfo(eps.dtype).tiny)
        return clipped.mul_(share.clamp_(max=1))

    def lowest(self, grad: Tensor, eps: Tensor, low: Tensor, high: Tensor, unit: float) -> Tensor:
        return self.project_fast(unit_length(grad) * -per_example(eps, grad), eps, low, high)

    def least_change(self, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
        flat = way.flatten(1)
        return least_change_along(unit_length(flat), flat, gain, low.flatten(1), high.flatten(1)).reshape(way.shape)

    def proximal(self, change: Tensor, weight: Tensor) -> Tensor:
        length = l2(change).clamp_min(torch.finfo(change.dtype).tiny)
        return change * per_example((1 - weight / length).clamp_min(0), change)

    def sample(self, like: Tensor, eps: Tensor, unit: float, seed: int, ids: Tensor, draw: int) -> Tensor:
        """Uniform in the ball: the direction of a normal vector, and a radius r with r^n uniform for n elements."""
        radius = keyed_random.uniform((), seed, ids, draw).pow(1 / like[0].numel())
        direction = unit_length(keyed_random.normal(like.shape[1:], seed, ids, draw + 1))
        return (direction * per_example(radius, like)).to(like.dtype) * per_example(eps, like)

    def box(self, x0: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low, high

    def inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        return radius_inside(x0, eps, l2(x0))

    def l2_radius(self, eps: Tensor, like: Tensor, unit: float) -> Tensor:
        return eps

    def feasible(self, grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return without_blocked(grad, z, low, high)


L2 = _L2()
