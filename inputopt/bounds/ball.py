"""The set of inputs that a certificate covers, a norm ball within a box, and exact minima of linear functions on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.bounds.interval import Interval
from inputopt.nets.frozen import Frozen

ROUNDS = 50
"""Most iterations for the multiplier of the L2 ball; every multiplier gives a sound bound."""


@dataclass(frozen=True)
class Ball:
    """Inputs within eps of x0 in a norm, and within the bounds.

    Attributes:
        norm: "linf", "l2" or "l1".
        x0: the centres [B, ...], float64.
        eps: radii [B], float64.
        low, high: the box [B, ...] that contains ball and bounds; in Linf it is the set itself.
    """

    norm: str
    x0: Tensor
    eps: Tensor
    low: Tensor
    high: Tensor

    @property
    def box(self) -> Interval:
        """The box as bounds of node 0 of a graph."""
        return Interval(self.low, self.high)

    def take(self, rows: Tensor) -> Ball:
        """The balls of some examples."""
        return Ball(self.norm, self.x0[rows], self.eps[rows], self.low[rows], self.high[rows])

    def to(self, dtype: torch.dtype) -> Ball:
        """The same in another dtype."""
        return Ball(self.norm, self.x0.to(dtype), self.eps.to(dtype), self.low.to(dtype), self.high.to(dtype))

    def least(self, slope: Tensor, rows: Tensor) -> Tensor:
        """The minimum of <slope, x> over each set: a sound lower bound, exact up to rounding.

        Args:
            slope: [N, ...], differentiable.
            rows: which example each slope belongs to, [N].

        Returns:
            [N]; the gradient with respect to the slope is the x that attains the minimum.
        """
        return self.least_of(slope, self.x0[rows], self.low[rows], self.high[rows], self.eps[rows])

    def least_of(self, slope: Tensor, x0: Tensor, low: Tensor, high: Tensor, eps: Tensor) -> Tensor:
        """As `least`, for slopes of some elements, whose centres and box are given: the others do not matter."""
        flat, low, high = slope.flatten(1), low.flatten(1), high.flatten(1)
        if self.norm == "linf":
            return _dot(flat, (low + high) / 2) - _dot(flat.abs(), (high - low) / 2)
        x0 = x0.flatten(1)
        low, high = low - x0, high - x0
        least = _least_l2 if self.norm == "l2" else _least_l1
        in_box = _dot(flat.clamp_min(0), low) + _dot(flat.clamp_max(0), high)
        return _dot(flat, x0) + torch.maximum(in_box, least(flat, eps, low, high))


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return torch.linalg.vecdot(one, other)


def _least_l2(slope: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """max over m >= 0 of the minimum over the box of <slope, d> + m / 2 (|d|^2 - eps^2): the dual of the problem."""
    with torch.no_grad():
        tiny = torch.finfo(slope.dtype).tiny
        multiplier = (slope.norm(dim=1) / eps).clamp_min(1e-150)
        for _ in range(ROUNDS):
            free = -slope / multiplier[:, None]
            clipped = (free < low) | (free > high)
            change = free.clamp(low, high)
            rest = (eps.square() - torch.where(clipped, change.square(), 0).sum(1)).clamp_min(0)
            open_part = torch.where(clipped, 0, slope.square()).sum(1)
            better = (open_part / rest.clamp_min(tiny)).sqrt()
            before = multiplier
            multiplier = torch.where((rest > 0) & (open_part > 0), better.minimum(multiplier), multiplier)
            if not bool((multiplier < before * (1 - 1e-12)).any()):
                break
        change = (-slope / multiplier[:, None]).clamp(low, high)
        penalty = multiplier / 2 * (change.square().sum(1) - eps.square())
    return _dot(slope, change) + penalty


def _least_l1(slope: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The elements of largest slope move to their bounds first, until eps is used; the last multiplier proves it."""
    room = torch.where(slope > 0, -low, high).clamp_min(0)
    with torch.no_grad():
        order = slope.abs().argsort(dim=1, descending=True, stable=True)
        used = room.gather(1, order).cumsum(1)
        place = (used < eps[:, None]).sum(1, keepdim=True)
        sizes = torch.cat([slope.abs().gather(1, order), torch.zeros_like(slope[:, :1])], 1)
        multiplier = sizes.gather(1, place)
        corners = torch.stack([torch.zeros_like(low).clamp(low, high), low, high])  # parts of a box may not contain 0
        change = corners.gather(0, (slope * corners + multiplier * corners.abs()).argmin(0, keepdim=True))[0]
        last = order.gather(1, place.clamp_max(slope.shape[1] - 1))  # moves as far as eps allows, at no cost
        rest = eps[:, None] - change.abs().sum(1, keepdim=True) + change.abs().gather(1, last)
        share = -slope.gather(1, last).sign() * rest.clamp_min(0).minimum(room.gather(1, last))
        has_last = (place < slope.shape[1]) & (low.gather(1, last) <= 0) & (high.gather(1, last) >= 0)
        change = change.scatter(1, last, torch.where(has_last, share, change.gather(1, last)))
    return _dot(slope, change) + (multiplier * change.abs()).sum(1) - multiplier[:, 0] * eps


def ball_of(net: Frozen, x: Tensor, norm: str, eps: float | Tensor) -> Ball:
    """The ball around each input [B, ...], within the network's bounds; the box is rounded outward."""
    centre = x.detach().double()
    radius = torch.as_tensor(eps, dtype=torch.float64, device=x.device).expand(len(x)).clone()
    low, high = (bound.expand(x.shape).double() for bound in net.box(x))
    low, high = torch.minimum(low, centre), torch.maximum(high, centre)
    each = radius.reshape(-1, *(1,) * (x.ndim - 1))
    infinity = torch.tensor(math.inf, dtype=torch.float64, device=x.device)
    low = torch.maximum(torch.nextafter(centre - each, -infinity), low)
    high = torch.minimum(torch.nextafter(centre + each, infinity), high)
    return Ball(norm, centre, radius, low, high)


def joined_balls(parts: list[Ball]) -> Ball:
    """Balls of one norm as one batch."""
    return Ball(
        parts[0].norm,
        torch.cat([part.x0 for part in parts]),
        torch.cat([part.eps for part in parts]),
        torch.cat([part.low for part in parts]),
        torch.cat([part.high for part in parts]),
    )
