"""Four ways to measure a change: L0, L1, L2 and Linf, and what each needs to be searched in.

Every function takes changes [B, ...] of any rank, and treats each example apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt import checks
from inputopt.search import chance


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """`values` [B] with as many dimensions as `like` [B, ...], to be multiplied with it."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def chosen(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """`new` for the examples of the mask [B], `old` for the others; both finite, [B, ...].

    A mix by 0 or 1 is exact, and on a CPU several times quicker than `where` with a mask of another shape.
    """
    return torch.lerp(old, new, per_example(mask, old).to(old.dtype))


def l2(change: Tensor) -> Tensor:
    """The Euclidean length of each example, [B]."""
    return torch.linalg.vector_norm(change.flatten(1), dim=1)


def _sign(grad: Tensor) -> Tensor:
    return grad.sign()


def _unit(grad: Tensor) -> Tensor:
    tiny = torch.finfo(grad.dtype).tiny
    # brought to size 1 first: the squares of a very small or large gradient are 0 or infinite
    scaled = grad / per_example(grad.flatten(1).abs().amax(1).clamp_min(tiny), grad)
    return scaled.div_(per_example(l2(scaled).clamp_min(tiny), grad))


def _one_hot(grad: Tensor) -> Tensor:
    flat = grad.flatten(1)
    place = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, place, flat.gather(1, place).sign()).reshape(grad.shape)


def _project_linf(change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    radius = per_example(eps, change)
    return change.clamp(torch.maximum(low, -radius), torch.minimum(high, radius))


def _project_l2(change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The nearest point is clip(t x change) for some t in [0, 1]; t grows as numbers stop at the box, a few times."""
    clipped = change.clamp(low, high)
    over = l2(clipped) > eps
    if not bool(over.any()):
        return clipped
    v, below, above = change[over].flatten(1), low[over].flatten(1), high[over].flatten(1)
    size = v.abs()
    room = torch.minimum(torch.where(v > 0, above, -below), size)  # how far each number may and would go its own way
    square, stop_square, radius = size * size, room * room, eps[over] ** 2
    t = torch.zeros_like(radius)
    for _ in range(100):
        stopped = (t[:, None] * size >= room).to(v.dtype)
        left = (radius - torch.linalg.vecdot(stop_square, stopped)).clamp_min(0)
        free = torch.linalg.vecdot(square, 1 - stopped).clamp_min(torch.finfo(v.dtype).tiny)
        grown = torch.maximum(t, (left / free).sqrt().clamp(max=1))
        if bool((grown <= t).all()):
            break
        t = grown
    nearest = (t[:, None] * v).clamp(below, above).reshape(change[over].shape)
    return clipped.index_put((over.nonzero()[:, 0],), nearest)


def _shrink_l2(change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clip, then shrink towards 0: inside both, though not the nearest point."""
    clipped = change.clamp(low, high)
    share = (eps / l2(clipped).clamp_min(torch.finfo(eps.dtype).tiny)).clamp(max=1)
    return clipped.mul_(per_example(share, change))


def _project_l1(change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Soft thresholding, stopped at the box: the sum of sizes falls piecewise linearly with the threshold."""
    clipped = change.clamp(low, high)
    over = clipped.flatten(1).abs().sum(1) > eps
    if not bool(over.any()):
        return clipped
    v, radius = change[over].flatten(1), eps[over]
    room = torch.where(v > 0, high[over].flatten(1), -low[over].flatten(1))  # how far each number may go its own way
    size = v.abs()
    # a number is at its stop until the threshold passes size - room, and shrinks from there to 0 at size
    corners = torch.cat([(size - room).clamp_min(0), size], dim=1)
    turn = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1)
    corners, order = corners.sort(dim=1)
    slopes = turn.gather(1, order).cumsum(1)  # how many numbers are shrinking after each corner
    falls = slopes[:, :-1] * corners.diff(dim=1)
    total = torch.minimum(size, room).sum(1, keepdim=True)
    left = torch.cat([total, total - falls.cumsum(1)], dim=1)  # the sum of sizes at each corner
    piece = ((left > radius[:, None]).sum(1, keepdim=True) - 1).clamp_min(0)
    steep = slopes.gather(1, piece).clamp_min(1)
    threshold = corners.gather(1, piece) + (left.gather(1, piece) - radius[:, None]).clamp_min(0) / steep
    left_over = torch.minimum((size - threshold).clamp_min(0), room)
    # a threshold that is large beside eps leaves the sum wrong by its own rounding
    left_over *= (radius[:, None] / left_over.sum(1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)).clamp(max=1)
    shrunk = v.sign() * left_over
    return clipped.index_put((over.nonzero()[:, 0],), shrunk.reshape(change[over].shape))


def _project_l0(change: Tensor, eps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Keep the numbers whose loss would take the point furthest from `change`, as many as may move."""
    clipped = change.clamp(low, high)
    if bool((_count(clipped) <= eps).all()):
        return clipped
    gain = (change * change - (change - clipped) ** 2).flatten(1)
    order = gain.argsort(dim=1, descending=True, stable=True)
    few = torch.arange(order.shape[1], device=order.device) < eps.floor()[:, None]
    kept = torch.zeros_like(few).scatter(1, order, few).reshape(change.shape)
    return torch.where(kept, clipped, 0)


def _sample_linf(like: Tensor, eps: Tensor, seed: int, ids: Tensor, draw: int) -> Tensor:
    drawn = chance.uniform(like.shape[1:], seed, ids, draw).mul_(2).sub_(1)
    return drawn.to(like.dtype).mul_(per_example(eps, like))


def _sample_l2(like: Tensor, eps: Tensor, seed: int, ids: Tensor, draw: int) -> Tensor:
    """A point drawn evenly from the ball: a normal direction, and a radius whose power n is uniform."""
    count = like[0].numel()
    radius = chance.uniform((), seed, ids, draw).pow(1 / count)
    direction = _unit(chance.normal(like.shape[1:], seed, ids, draw + 1))
    return (direction * per_example(radius, like)).to(like.dtype) * per_example(eps, like)


def _sample_l1(like: Tensor, eps: Tensor, seed: int, ids: Tensor, draw: int) -> Tensor:
    """A point drawn evenly from the ball: exponential sizes, one more that takes up the rest, and random signs."""
    count = like[0].numel()
    sizes = -torch.log1p(-chance.uniform((count + 1,), seed, ids, draw))
    signs = torch.where(chance.uniform((count,), seed, ids, draw + 1) < 0.5, -1.0, 1.0)
    drawn = signs * sizes[:, :-1] / sizes.sum(1, keepdim=True)
    return drawn.reshape(like.shape).to(like.dtype) * per_example(eps, like)


def _sample_l0(like: Tensor, eps: Tensor, seed: int, ids: Tensor, draw: int) -> Tensor:
    """As many numbers as may move, drawn evenly and changed by up to 1 either way."""
    rank = chance.uniform((like[0].numel(),), seed, ids, draw).argsort(dim=1).argsort(dim=1)
    kept = (rank < eps.floor()[:, None]).reshape(like.shape)
    drawn = 2 * chance.uniform(like.shape[1:], seed, ids, draw + 1) - 1
    return torch.where(kept, drawn, 0).to(like.dtype)


@dataclass(frozen=True)
class Norm:
    """A norm and its geometry.

    Attributes:
        name: "l0", "l1", "l2" or "linf".
        size: of each change, [B].
        dual: the size of each gradient, [B]: how fast the loss rises along `steepest`.
        steepest: the change of size 1 along which a gradient rises fastest.
        project: (change, eps [B], low, high [B, ...]) -> the nearest change in the ball and between the bounds.
        confine: the same, but any change near by, found quickly: searches find as much with it. The exact one where
            that is as quick, or (in L1) where it matters.
        sample: (like, eps, seed, ids, draw) -> a random change in the ball.
    """

    name: str
    size: Callable[[Tensor], Tensor]
    dual: Callable[[Tensor], Tensor]
    steepest: Callable[[Tensor], Tensor]
    project: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    confine: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    sample: Callable[[Tensor, Tensor, int, Tensor, int], Tensor]


def _count(change: Tensor) -> Tensor:
    return (change != 0).flatten(1).sum(1).to(change.dtype)


def _sum(change: Tensor) -> Tensor:
    return change.flatten(1).abs().sum(1)


def _largest(change: Tensor) -> Tensor:
    return change.flatten(1).abs().amax(1)


L0 = Norm("l0", _count, _largest, _one_hot, _project_l0, _project_l0, _sample_l0)
L1 = Norm("l1", _sum, _largest, _one_hot, _project_l1, _project_l1, _sample_l1)
L2 = Norm("l2", l2, l2, _unit, _project_l2, _shrink_l2, _sample_l2)
LINF = Norm("linf", _largest, _sum, _sign, _project_linf, _project_linf, _sample_linf)
NORMS = {norm.name: norm for norm in (L0, L1, L2, LINF)}


def find_norm(name: str) -> Norm:
    """The norm called `name`; a ValueError names the nearest if there is none."""
    return NORMS[checks.one_of("norm", name, NORMS)]
