"""What every norm answers, and what several of them share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from inputopt.search.host_sync import immediate, known_none
from inputopt.search.rows import numbers_of


class Norm(Protocol):
    """A norm of changes [B, ...] of any rank, each example by itself, and the geometry that searches need.

    Attributes (`low` and `high` are [B, ...], at most and at least 0, and may be infinite; `eps` is [B]):
        name: "l0", "l1", "l2" or "linf".
        counts: whether sizes are whole numbers: how many numbers change.
        convex: whether balls are convex, so that what lies between two of their points lies in them.
        is_box: whether balls are boxes, which `box` then holds exactly.
        travel: how far, in radii, a search should travel whose steps add up to a fixed length.
        enlarged_radii: in multiples of eps, the balls that a search should go through before its own.
    """

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def counts(self) -> bool:
        """Whether sizes are whole numbers."""

    @property
    def convex(self) -> bool:
        """Whether balls are convex."""

    @property
    def is_box(self) -> bool:
        """Whether balls are boxes."""

    @property
    def travel(self) -> float:
        """How far steps should add up to, in radii."""

    @property
    def enlarged_radii(self) -> tuple[float, ...]:
        """Radii to search first, in multiples of eps."""

    def size(self, change: Tensor) -> Tensor:
        """The norm of each change, [B]."""

    def dual(self, grad: Tensor) -> Tensor:
        """The dual norm of each gradient, [B]: how fast a loss rises along `steepest`."""

    def steepest(self, grad: Tensor) -> Tensor:
        """The change of size 1 along which a loss rises fastest; 0 for a gradient of 0."""

    def descent(self, grad: Tensor) -> Tensor:
        """What long searches step along: `steepest`, or the gradient itself where that moves a single number."""

    def outward(self, change: Tensor) -> Tensor:
        """The derivative of `size`; 0 where it has none."""

    def project(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The nearest change, in the Euclidean sense, that is no larger than eps and between low and high."""

    def project_fast(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """A change near by that is no larger than eps and between low and high; searches find as much with it."""

    def lowest(self, grad: Tensor, eps: Tensor, low: Tensor, high: Tensor, unit: float) -> Tensor:
        """The change in ball and box along which a linear loss falls most; none is longer than `unit` in one number."""

    def least_change(self, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The change c of least size with <way, c> = gain [B] and low <= c <= high.

        Where the box does not hold so much gain, the corner that gains most; where gain is not above 0, no change.
        """

    def proximal(self, change: Tensor, weight: Tensor) -> Tensor:
        """The c that minimises |c - change|^2 / 2 + weight x size(c), weight [B]."""

    def sample(self, like: Tensor, eps: Tensor, unit: float, seed: int, ids: Tensor, draw: int) -> Tensor:
        """A random change in the ball, keyed by (seed, id, draw); in L0, numbers change by up to `unit`."""

    def box(self, x0: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The tightest box between low and high that holds the ball round x0, as bounds of inputs [B, ...].

        `low <= x0 <= high` must hold.
        """

    def inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        """A radius [B] so little below eps that adding a change to x0 and measuring it never rounds above eps."""

    def l2_radius(self, eps: Tensor, like: Tensor, unit: float) -> Tensor:
        """The L2 length of the longest change in the ball, [B]; in L0 of one that moves each number by `unit`."""

    def feasible(self, grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The gradient without the numbers that stand at their bound and would be pushed through it."""


def radius_inside(x0: Tensor, eps: Tensor, size: Tensor) -> Tensor:
    """eps less what adding to x0 (half a unit in the last place of each number) and measuring can round up."""
    unit = torch.finfo(x0.dtype).eps
    return (eps * (1 - 16 * unit) - unit / 2 * size).clamp_min(0)


def without_blocked(grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The gradient without the numbers at whose bound a descent would push: they would use up a step for nothing."""
    moved = (z - grad.sign()).clamp(low, high)
    return grad * (moved != z)


def over_largest(grad: Tensor) -> Tensor:
    """The gradient divided by its largest absolute value in each example."""
    most = grad.abs().amax(numbers_of(grad), keepdim=True).clamp_min(torch.finfo(grad.dtype).tiny)
    return grad / most


def one_hot(grad: Tensor) -> Tensor:
    """The sign of the largest number of each example, 0 elsewhere."""
    flat = grad.flatten(1)
    place = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, place, flat.gather(1, place).sign()).reshape(grad.shape)


def largest(change: Tensor) -> Tensor:
    """The largest absolute value of each example, [B]."""
    return change.abs().amax(numbers_of(change))


def room_along(way: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far each number may go the way that its sign says, with that sign."""
    return torch.where(way > 0, high, low)


def before_each(values: Tensor) -> Tensor:
    """The sum of all values before each one along the rows of [B, n]; values may be infinite."""
    return torch.cat([torch.zeros_like(values[:, :1]), values.cumsum(1)[:, :-1]], dim=1)


def least_change_in_order(way: Tensor, gain: Tensor, room: Tensor, worth: Tensor) -> Tensor:
    """Numbers go to the end of their room, those of most worth first, until all of `gain` is gained; [B, n] each."""
    order = worth.argsort(dim=1, descending=True, stable=True)
    slope, length = way.abs().gather(1, order), room.abs().gather(1, order)
    missing = gain[:, None] - before_each(slope * length)
    steps = (missing / slope.clamp_min(torch.finfo(way.dtype).tiny)).clamp_min(0).minimum(length)
    steps = torch.where(slope > 0, steps, 0)
    return torch.zeros_like(way).scatter(1, order, steps) * way.sign()


MOST_PIECES = 100
"""More than Newton's method needs on a concave function of so many pieces; it stops when no example gains."""

PIECES_UNSEEN = 8
"""Iterations where the host may not look whether any example still gains; what is then missing is rounding."""


def least_change_along(direction: Tensor, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """All numbers grow together along a direction, and stop at the box one after the other; [B, n] each.

    What is gained is concave in the length, so Newton's method comes up to the answer from below and stops there.
    """
    room = room_along(direction, low, high).abs()
    speed = way * direction
    length = torch.zeros_like(gain)
    for piece in range(MOST_PIECES):
        change = (length[:, None] * direction).clamp(low, high)
        missing = gain - torch.linalg.vecdot(way, change)
        free = torch.where((length[:, None] * direction).abs() < room, speed, 0).sum(1)
        grown = torch.where((missing > 0) & (free > 0), length + missing / free, length)
        gains = grown > length
        if known_none(gains) or (piece == PIECES_UNSEEN and not immediate(gains)):
            break
        length = grown
    return (length[:, None] * direction).clamp(low, high)
