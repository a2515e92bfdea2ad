"""Interface of the norms, and helpers that several of them share."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from inputopt.search.host_sync import immediate, known_none
from inputopt.search.rows import numbers_of


class Norm(Protocol):
    """A norm of changes [B, ...] of any rank, for each example, with the operations that searches need.

    In all methods `eps` is [B], and `low` <= 0 and `high` >= 0 are bounds [B, ...] of the change; they may be infinite.

    Attributes:
        name: "l0", "l1", "l2" or "linf".
        counts: whether sizes are integers, the number of changed elements.
        convex: whether balls are convex.
        is_box: whether balls are boxes; `box` then returns exactly the ball.
        total_step: total step length, in multiples of eps, for searches with a fixed total.
        enlarged_radii: radii of the larger balls to search before the ball of eps, in multiples of eps.
    """

    @property
    def name(self) -> str:
        """Name of the norm."""

    @property
    def counts(self) -> bool:
        """Whether sizes are integers."""

    @property
    def convex(self) -> bool:
        """Whether balls are convex."""

    @property
    def is_box(self) -> bool:
        """Whether balls are boxes."""

    @property
    def total_step(self) -> float:
        """Total step length in multiples of eps."""

    @property
    def enlarged_radii(self) -> tuple[float, ...]:
        """Radii of larger balls to search first, in multiples of eps."""

    def size(self, change: Tensor) -> Tensor:
        """The norm of each change, [B]."""

    def dual(self, grad: Tensor) -> Tensor:
        """The dual norm of each gradient, [B]: the rate at which a loss rises along `steepest`."""

    def steepest(self, grad: Tensor) -> Tensor:
        """Steepest ascent: the change of size 1 along which a loss rises fastest; 0 for a zero gradient."""

    def ascent(self, grad: Tensor) -> Tensor:
        """Ascent direction for long searches, which a descent step subtracts: `steepest`, or where that moves a single
        element only, a rescaled gradient."""

    def outward(self, change: Tensor) -> Tensor:
        """The gradient of `size`; 0 where it has none."""

    def project(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Euclidean projection onto the changes of size at most eps between low and high."""

    def project_fast(self, change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """A nearby change of size at most eps between low and high, which works as well as `project` in searches."""

    def lowest(self, grad: Tensor, eps: Tensor, low: Tensor, high: Tensor, unit: float) -> Tensor:
        """The change in ball and box that lowers a linear loss most; in L0, at most `unit` for each element."""

    def least_change(self, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The smallest change c with <way, c> = gain [B] and low <= c <= high.

        If the box does not contain such a change, the corner that maximises <way, c>; if gain <= 0, no change.
        """

    def proximal(self, change: Tensor, weight: Tensor) -> Tensor:
        """Proximal operator: the c that minimises |c - change|^2 / 2 + weight * size(c), weight [B]."""

    def sample(self, like: Tensor, eps: Tensor, unit: float, seed: int, ids: Tensor, draw: int) -> Tensor:
        """A random change in the ball, keyed by (seed, id, draw); in L0, elements change by up to `unit`."""

    def box(self, x0: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The tightest box within low and high that contains the ball around x0, as bounds of inputs [B, ...].

        `low <= x0 <= high` must hold.
        """

    def inside(self, x0: Tensor, eps: Tensor) -> Tensor:
        """A radius [B] slightly below eps, so that rounding of x0 + change and of its norm never exceeds eps."""

    def l2_radius(self, eps: Tensor, like: Tensor, unit: float) -> Tensor:
        """The largest L2 norm of a change in the ball, [B]; in L0, with each element changed by at most `unit`."""

    def feasible(self, grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The gradient, set to 0 for elements at a bound that descent would push beyond it."""


def radius_inside(x0: Tensor, eps: Tensor, size: Tensor) -> Tensor:
    """eps minus the rounding error of adding to x0 (half a unit in the last place of each element) and of the norm."""
    unit = torch.finfo(x0.dtype).eps
    return (eps * (1 - 16 * unit) - unit / 2 * size).clamp_min(0)


def without_blocked(grad: Tensor, z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The gradient, set to 0 for elements that descent would push beyond a bound: they would waste step length."""
    moved = (z - grad.sign()).clamp(low, high)
    return grad * (moved != z)


def over_largest(grad: Tensor) -> Tensor:
    """The gradient divided by its largest absolute value in each example."""
    most = grad.abs().amax(numbers_of(grad), keepdim=True).clamp_min(torch.finfo(grad.dtype).tiny)
    return grad / most


def one_hot(grad: Tensor) -> Tensor:
    """The sign of the element of largest absolute value of each example, 0 elsewhere."""
    flat = grad.flatten(1)
    place = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, place, flat.gather(1, place).sign()).reshape(grad.shape)


def largest(change: Tensor) -> Tensor:
    """The largest absolute value of each example, [B]."""
    return change.abs().amax(numbers_of(change))


def room_along(way: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The bound of each element in the direction of its sign in `way`."""
    return torch.where(way > 0, high, low)


def before_each(values: Tensor) -> Tensor:
    """Exclusive cumulative sum along the rows of [B, n]; values may be infinite."""
    return torch.cat([torch.zeros_like(values[:, :1]), values.cumsum(1)[:, :-1]], dim=1)


def least_change_in_order(way: Tensor, gain: Tensor, room: Tensor, worth: Tensor) -> Tensor:
    """Move elements to their bounds `room` by descending `worth` until <way, change> = `gain`; [B, n] each."""
    order = worth.argsort(dim=1, descending=True, stable=True)
    slope, length = way.abs().gather(1, order), room.abs().gather(1, order)
    missing = gain[:, None] - before_each(slope * length)
    steps = (missing / slope.clamp_min(torch.finfo(way.dtype).tiny)).clamp_min(0).minimum(length)
    steps = torch.where(slope > 0, steps, 0)
    return torch.zeros_like(way).scatter(1, order, steps) * way.sign()


MOST_PIECES = 100
"""Upper limit of Newton iterations, more than the piecewise linear function needs; they stop on convergence."""

PIECES_UNSEEN = 8
"""Newton iterations where checking convergence would synchronise; the remaining error is rounding."""


def least_change_along(direction: Tensor, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Find the length at which the change clip(length * direction) has <way, change> = gain; [B, n] each.

    <way, change> is concave in the length, so Newton's method converges to the solution from below.
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
