"""The least change in each norm that gains so much along a direction inside a box: the way to a linear boundary."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.search.norms import L0, L1, Norm, per_example
from inputopt.search.problem import Problem


def least_change(norm: Norm, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The change c of least size with <way, c> = gain and low <= c <= high, [B, ...]; 0 lies in the box.

    Where the box does not hold so much gain it is the corner that gains most; where `gain` [B] is not above 0, none.
    """
    w, lowest, highest = way.flatten(1), low.flatten(1), high.flatten(1)
    found = _greedy(norm, w, gain, lowest, highest) if norm in (L0, L1) else _growing(norm, w, gain, lowest, highest)
    return found.reshape(way.shape)


def _growing(norm: Norm, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """L2 and Linf: all numbers grow together along the steepest direction, and stop at the box one after the other.

    What is gained is concave in the length, so that Newton's method comes up to the answer from below and stops there.
    """
    direction = norm.steepest(way)
    room = torch.where(direction > 0, high, low)
    length = torch.zeros_like(gain)
    for _ in range(100):
        change = (length[:, None] * direction).clamp(low, high)
        missing = gain - torch.linalg.vecdot(way, change)
        free = torch.where((length[:, None] * direction).abs() < room.abs(), way * direction, 0).sum(1)
        grown = torch.where((missing > 0) & (free > 0), length + missing / free, length)
        if not bool((grown > length).any()):
            break
        length = grown
    return (length[:, None] * direction).clamp(low, high)


def _greedy(norm: Norm, way: Tensor, gain: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """L1 and L0: the numbers that gain most for what they cost go to the box, until what is left is a part of one."""
    room = torch.where(way > 0, high, low)
    gains = way * room
    worth = way.abs() * (room != 0) if norm is L1 else gains
    order = worth.sort(dim=1, descending=True, stable=True).indices
    sorted_gains = gains.gather(1, order)
    before = sorted_gains.cumsum(1) - sorted_gains
    part = ((gain[:, None] - before) / sorted_gains.clamp_min(torch.finfo(way.dtype).tiny)).clamp(0, 1)
    parts = torch.zeros_like(part).scatter(1, order, part * (sorted_gains > 0))
    return parts * room


def box_around(z: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    """How far each number of z may go down and up: the problem's bounds less itself, never across 0."""
    assert problem.low is not None
    assert problem.high is not None
    return (problem.low - z).clamp(max=0), (problem.high - z).clamp(min=0)


def to_plane(norm: Norm, z: Tensor, ahead: Tensor, grad: Tensor, problem: Problem) -> Tensor:
    """The least change of z, in the box, to the plane where `ahead` [B] + <grad, change> is 0, from either side."""
    side = per_example(ahead.sign(), grad)
    return least_change(norm, -side * grad, ahead.abs(), *box_around(z, problem))


def ahead_at(x: Tensor, z: Tensor, loss: Tensor, grad: Tensor) -> Tensor:
    """What the loss would be at x if it went on from z as its derivative says, [B]."""
    return loss + torch.linalg.vecdot(grad.flatten(1), (x - z).flatten(1))
