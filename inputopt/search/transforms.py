"""Transforms between the canvas and the network: drawn afresh at each step, for each example apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inputopt.search import keyed_random
from inputopt.search.keyed_random import Numbers
from inputopt.search.problem import Problem

Transform = Callable[[Tensor, Problem, int], Tensor]


def unchanged(x: Tensor, problem: Problem, index: int) -> Tensor:
    """No transform."""
    return x


def jitter(pixels: int, seed: int) -> Transform:
    """Roll each image [B, C, H, W] by up to `pixels` each way, round the edges, so that no grid is favoured."""

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = keyed_random.uniform((2,), seed, problem.ids, index)
        down, right = ((drawn * (2 * pixels + 1)).long() - pixels).unbind(1)
        return rolled(x, down, right)

    return transform


def rolled(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image of [B, C, H, W] rolled by its own whole number of pixels, [B] each way; the negatives roll it back."""
    return _Roll.apply(x, down, right)  # type: ignore[no-untyped-call]


class _Roll(torch.autograd.Function):
    """Its derivative is the roll back; autograd's own, of an indexing, adds up pixel by pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(down, right)
        return _moved(x, down, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        down, right = ctx.saved_tensors
        return _moved(grad, -down, -right), None, None


def _moved(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Block by block: what stays in the image and what comes in again, of the rows and of the columns."""
    moved = torch.empty_like(x, memory_format=torch.channels_last)
    for one, into, below, across in zip(x, moved, down.tolist(), right.tolist(), strict=True):
        for rows, to_rows in _halves(below, x.shape[2]):
            for columns, to_columns in _halves(across, x.shape[3]):
                into[:, to_rows, to_columns] = one[:, rows, columns]
    return moved


def _halves(by: int, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Of a line of that size rolled by so many: both parts, each with its new place."""
    by %= size
    return (slice(size - by), slice(by, None)), (slice(size - by, None), slice(by))


def noise(deviation: float | Tensor, seed: int) -> Transform:
    """Even noise on every number of [B, ...]; normal noise would take far longer.

    The standard deviation is one for all, or broadcasts with the inputs.
    """

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = keyed_random.centred(x.shape[1:], _apart(seed, 1), problem.ids, index, x.dtype)
        if isinstance(deviation, Tensor):
            return torch.addcmul(x, drawn, deviation.to(x), value=math.sqrt(12))
        return torch.add(x, drawn, alpha=math.sqrt(12) * deviation)

    return transform


def tint(strength: float, seed: int) -> Transform:
    """Each channel of each image brighter or darker, flatter or harsher, by up to `strength` of its range and mean."""

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = 2 * keyed_random.uniform((2, x.shape[1]), _apart(seed, 5), problem.ids, index).to(x.dtype) - 1
        light, harsh = (strength * drawn).reshape(len(x), 2, -1, *(1,) * (x.ndim - 2)).unbind(1)
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return mean * (1 + light) + (x - mean) * (1 + harsh)

    return transform


@dataclass(frozen=True)
class Warp:
    """A linear map of the plane of each image [B, C, H, W], looked up between pixels, mirrored at the edges.

    Attributes:
        matrix: (x, problem, index) -> [B, 3, 3]: where in the image each point of the result is looked up, both from
            the middle, (across, down, 1), in units of half the width and half the height.
    """

    matrix: Callable[[Tensor, Problem, int], Numbers]

    def __call__(self, x: Tensor, problem: Problem, index: int) -> Tensor:
        matrix = torch.from_numpy(self.matrix(x, problem, index)).to(x)
        across, down, middle = matrix[:, :2, :, None, None].unbind(2)
        columns, rows = (_middles(size).to(x) for size in (x.shape[3], x.shape[2]))
        # several times as quick as affine_grid; one whole plane after the other is what grid_sample reads fastest
        grid = (across * columns + middle) + down * rows[:, None]
        return functional.grid_sample(x, grid.movedim(1, -1), padding_mode="reflection", align_corners=False)


@functools.lru_cache(maxsize=8)
def _middles(size: int) -> Tensor:
    """The middle of every pixel of a row or column, from -1 to 1."""
    return torch.arange(size, dtype=torch.float64) * 2 / size + (1 / size - 1)


def shift(share: float, seed: int) -> Warp:
    """Move each image by up to `share` of each side."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        across, down = 2 * share * (2 * keyed_random.numbers((2,), _apart(seed, 6), problem.ids, index).T - 1)
        return _matrices(len(x), (1, 0, across), (0, 1, down))

    return Warp(matrix)


def mirror(seed: int) -> Warp:
    """Left and right exchanged, or not: as likely the one as the other, for each image apart."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        drawn = keyed_random.numbers((), _apart(seed, 7), problem.ids, index)
        return _matrices(len(x), (np.where(drawn < 0.5, -1.0, 1.0), 0, 0), (0, 1, 0))

    return Warp(matrix)


def scale(low: float, high: float, seed: int) -> Warp:
    """Enlarge each image by its own factor between `low` and `high`, as likely to shrink as to grow in proportion."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        factor = (low / high) ** keyed_random.numbers((), _apart(seed, 2), problem.ids, index) / low
        return _matrices(len(x), (factor, 0, 0), (0, factor, 0))

    return Warp(matrix)


def rotate(degrees: float, seed: int) -> Warp:
    """Turn each image by its own angle of up to so many degrees either way."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        angle = math.radians(degrees) * (2 * keyed_random.numbers((), _apart(seed, 3), problem.ids, index) - 1)
        aspect = x.shape[2] / x.shape[3]  # the units of the two directions differ
        cosine, sine = np.cos(angle), np.sin(angle)
        return _matrices(len(x), (cosine, sine * -aspect, 0), (sine / aspect, cosine, 0))

    return Warp(matrix)


def crop(share: float, seed: int) -> Warp:
    """Show of each image a window of its own, between `share` and all of each side, enlarged to the image's size."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        size, across, down = keyed_random.numbers((3,), _apart(seed, 4), problem.ids, index).T
        window = share + (1 - share) * size
        right, below = (1 - window) * (2 * across - 1), (1 - window) * (2 * down - 1)
        return _matrices(len(x), (window, 0, right), (0, window, below))

    return Warp(matrix)


def chained(*transforms: Transform) -> Transform:
    """One after the other; neighbouring warps become a single one, so that an image is blurred only once."""
    links: list[Transform] = []
    for link in transforms:
        if isinstance(link, Warp) and links and isinstance(links[-1], Warp):
            links[-1] = _joined(links[-1], link)
        else:
            links.append(link)

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        for link in links:
            x = link(x, problem, index)
        return x

    return transform


def _joined(first: Warp, second: Warp) -> Warp:
    return Warp(lambda x, problem, index: first.matrix(x, problem, index) @ second.matrix(x, problem, index))


Row: TypeAlias = tuple[Numbers | float, ...]


def _matrices(count: int, *rows: Row) -> Numbers:
    """[count, 3, 3] from the first two rows, numbers for everyone or one each; the third is 0, 0, 1."""
    found = np.zeros((count, 3, 3))
    for number, row in enumerate((*rows, (0, 0, 1))):
        for column, entry in enumerate(row):
            found[:, number, column] = entry
    return found


def _apart(seed: int, kind: int) -> int:
    """A seed for one kind of transform: several with one seed draw apart from each other."""
    return seed + (kind << 48)
