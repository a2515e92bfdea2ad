"""Random transforms of inputs before the network, drawn anew at each step and independently for each example."""

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
    """No transform: x [B, ...] itself."""
    return x


def jitter(pixels: int, seed: int) -> Transform:
    """Roll each image [B, C, H, W] cyclically by up to `pixels` along each axis, to avoid grid artefacts."""

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = keyed_random.uniform((2,), seed, problem.ids, index)
        down, right = ((drawn * (2 * pixels + 1)).long() - pixels).unbind(1)
        return rolled(x, down, right)

    return transform


def rolled(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Roll each image [B, C, H, W] cyclically by whole pixels, [B] along each axis; negated shifts undo it."""
    return _Roll.apply(x, down, right)  # type: ignore[no-untyped-call]


class _Roll(torch.autograd.Function):
    """The derivative is the inverse roll; autograd's derivative of indexing would accumulate pixel by pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(down, right)
        return _roll(x, down, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        down, right = ctx.saved_tensors
        return _roll(grad, -down, -right), None, None


def _roll(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Copy each image in four blocks: rows and columns that stay inside, and those that wrap around."""
    moved = torch.empty_like(x, memory_format=torch.channels_last)
    for image, into, shift_down, shift_right in zip(x, moved, down.tolist(), right.tolist(), strict=True):
        for rows, to_rows in _rolled_slices(shift_down, x.shape[2]):
            for columns, to_columns in _rolled_slices(shift_right, x.shape[3]):
                into[:, to_rows, to_columns] = image[:, rows, columns]
    return moved


def _rolled_slices(by: int, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The two parts of an axis of length `size` rolled by `by`, each as a (source, destination) pair of slices."""
    by %= size
    return (slice(size - by), slice(by, None)), (slice(size - by, None), slice(by))


def noise(deviation: float | Tensor, seed: int) -> Transform:
    """Add uniform noise to every element of [B, ...]; normal noise would take far longer.

    `deviation` is the standard deviation: one number, or a tensor that broadcasts with the inputs.
    """

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = keyed_random.centred(x.shape[1:], _seed_for(seed, 1), problem.ids, index, x.dtype)
        if isinstance(deviation, Tensor):
            return torch.addcmul(x, drawn, deviation.to(x), value=math.sqrt(12))
        return torch.add(x, drawn, alpha=math.sqrt(12) * deviation)

    return transform


def tint(strength: float, seed: int) -> Transform:
    """Scale the mean of each channel of each image, and its contrast about the mean, by factors in 1 +/- `strength`."""

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        drawn = 2 * keyed_random.uniform((2, x.shape[1]), _seed_for(seed, 5), problem.ids, index).to(x.dtype) - 1
        brightness, contrast = (strength * drawn).reshape(len(x), 2, -1, *(1,) * (x.ndim - 2)).unbind(1)
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return mean * (1 + brightness) + (x - mean) * (1 + contrast)

    return transform


@dataclass(frozen=True)
class Warp:
    """An affine map of each image [B, C, H, W] with bilinear interpolation and reflection at the edges.

    Attributes:
        matrix: (x, problem, index) -> [B, 3, 3]: maps each point of the result to the point of the image it is sampled
            at. Points are (across, down, 1) from the centre, in units of half the width and half the height.
    """

    matrix: Callable[[Tensor, Problem, int], Numbers]

    def __call__(self, x: Tensor, problem: Problem, index: int) -> Tensor:
        matrix = torch.from_numpy(self.matrix(x, problem, index)).to(x)
        across, down, offset = matrix[:, :2, :, None, None].unbind(2)
        columns, rows = (_pixel_centres(size).to(x) for size in (x.shape[3], x.shape[2]))
        # several times as fast as affine_grid; grid_sample reads fastest with one contiguous plane per coordinate
        grid = (across * columns + offset) + down * rows[:, None]
        return functional.grid_sample(x, grid.movedim(1, -1), padding_mode="reflection", align_corners=False)


@functools.lru_cache(maxsize=8)
def _pixel_centres(size: int) -> Tensor:
    """Centres of the pixels of a row or column, in -1 to 1."""
    return torch.arange(size, dtype=torch.float64) * 2 / size + (1 / size - 1)


def shift(share: float, seed: int) -> Warp:
    """Translate each image by up to `share` of each side."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        across, down = 2 * share * (2 * keyed_random.numbers((2,), _seed_for(seed, 6), problem.ids, index).T - 1)
        return _matrices(len(x), (1, 0, across), (0, 1, down))

    return Warp(matrix)


def mirror(seed: int) -> Warp:
    """Flip each image horizontally with probability 1/2."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        drawn = keyed_random.numbers((), _seed_for(seed, 7), problem.ids, index)
        return _matrices(len(x), (np.where(drawn < 0.5, -1.0, 1.0), 0, 0), (0, 1, 0))

    return Warp(matrix)


def scale(low: float, high: float, seed: int) -> Warp:
    """Scale each image by a random factor between `low` and `high`, log-uniform."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        factor = (low / high) ** keyed_random.numbers((), _seed_for(seed, 2), problem.ids, index) / low
        return _matrices(len(x), (factor, 0, 0), (0, factor, 0))

    return Warp(matrix)


def rotate(degrees: float, seed: int) -> Warp:
    """Rotate each image by a random angle between -`degrees` and `degrees`."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        angle = math.radians(degrees) * (2 * keyed_random.numbers((), _seed_for(seed, 3), problem.ids, index) - 1)
        aspect = x.shape[2] / x.shape[3]  # the two axes have different units
        cosine, sine = np.cos(angle), np.sin(angle)
        return _matrices(len(x), (cosine, sine * -aspect, 0), (sine / aspect, cosine, 0))

    return Warp(matrix)


def crop(share: float, seed: int) -> Warp:
    """Crop a random window of each image, of `share` to 1 times each side, and enlarge it to the image's size."""

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        size, across, down = keyed_random.numbers((3,), _seed_for(seed, 4), problem.ids, index).T
        window = share + (1 - share) * size
        right, below = (1 - window) * (2 * across - 1), (1 - window) * (2 * down - 1)
        return _matrices(len(x), (window, 0, right), (0, window, below))

    return Warp(matrix)


def chained(*transforms: Transform) -> Transform:
    """Compose transforms; adjacent warps are merged into one, so that an image is interpolated only once."""
    links: list[Transform] = []
    for link in transforms:
        if isinstance(link, Warp) and links and isinstance(links[-1], Warp):
            links[-1] = _composed(links[-1], link)
        else:
            links.append(link)

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        for link in links:
            x = link(x, problem, index)
        return x

    return transform


def _composed(first: Warp, second: Warp) -> Warp:
    return Warp(lambda x, problem, index: first.matrix(x, problem, index) @ second.matrix(x, problem, index))


Row: TypeAlias = tuple[Numbers | float, ...]


def _matrices(count: int, *rows: Row) -> Numbers:
    """Matrices [count, 3, 3] from their first two rows, entries being a number or [count]; the third row is 0, 0, 1."""
    found = np.zeros((count, 3, 3))
    for number, row in enumerate((*rows, (0, 0, 1))):
        for column, entry in enumerate(row):
            found[:, number, column] = entry
    return found


def _seed_for(seed: int, kind: int) -> int:
    """Seed for one kind of transform, so that different transforms with the same seed draw independently."""
    return seed + (kind << 48)
