"""Gradients of images too large for one backward, computed tile by tile with new random tile borders at each step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.oracles.oracle import Oracle, Vjp, of_rows
from inputopt.search.problem import Evaluation, Problem, Region
from inputopt.search.query_counter import QueryCounter


@dataclass(frozen=True)
class Tiled:
    """An oracle that evaluates `oracle` on one tile at a time and combines losses and gradients.

    For objectives that are means over spatial positions: the image's loss is the area-weighted mean of the tiles'
    losses. Farther from a tile border than a layer's receptive field, the gradient equals that of the whole image. The
    borders are drawn anew for each step and example, so that no seam persists. The goal is not evaluated, and outputs
    are empty.

    Attributes:
        oracle: evaluates a tile as if it were an image; its meter counts every tile.
        tile: side of a tile in pixels.
        seed: seed of the tile borders.
    """

    oracle: Oracle
    tile: int
    seed: int

    @property
    def meter(self) -> QueryCounter:
        """Meter of the wrapped oracle."""
        return self.oracle.meter

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        """Compute the gradient with the loss, since the graphs of all tiles together would not fit in memory."""
        grad, loss = torch.empty_like(z), z.new_zeros(len(z))
        whole = z.shape[2] * z.shape[3]
        for row in range(len(z)):  # one image at a time is enough work
            for down, right in self.tiles_of(z.shape[2], z.shape[3], problem.ids[row : row + 1], index):
                part = z[row : row + 1, :, down.shown, right.shown]
                seen, vjp = self.oracle(part, _of_tile(problem, row, part), index)
                slope = vjp(None)[:, :, down.inner, right.inner]
                grad[row : row + 1, :, down.kept, right.kept] = slope * (part[0, 0].numel() / whole)
                loss[row] += seen.loss[0] * (slope[0, 0].numel() / whole)
        success = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        seen = Evaluation(z.detach(), z.new_empty(len(z), 0), loss, success)
        return seen, lambda active: of_rows(grad, active)

    def tiles_of(self, height: int, width: int, ids: Tensor, index: int) -> Iterator[tuple[Part, Part]]:
        """Yield the tiles of an image as (rows, columns) at step `index`, for one id [1]."""
        first = keyed_random.uniform((2,), self.seed, ids, index)[0].tolist()
        for down in parts(height, self.tile, first[0]):
            for right in parts(width, self.tile, first[1]):
                yield down, right


def _of_tile(problem: Problem, row: int, part: Tensor) -> Problem:
    """The problem of one tile [1, C, h, w] of example `row`."""
    one = slice(row, row + 1)
    target = None if problem.target is None else problem.target[one]
    region = Region.everywhere(part, problem.region.unit)
    return replace(
        problem,
        x0=part,
        label=problem.label[one],
        ids=problem.ids[one],
        target=target,
        region=region,
        example=problem.example[one],
    )


@dataclass(frozen=True)
class Part:
    """One interval of an axis: `shown` is evaluated by the network, and of its gradient only `kept` is used.

    All shown intervals are as long as a tile, which makes them fast; the first and last ones overlap others.
    """

    shown: slice
    kept: slice

    @property
    def inner(self) -> slice:
        """`kept` relative to the start of `shown`."""
        return slice(self.kept.start - self.shown.start, self.kept.stop - self.shown.start)


def parts(length: int, tile: int, first: float) -> list[Part]:
    """Divide an axis into tiles; `first` in [0, 1) shifts the borders. An axis no longer than a tile is not divided.

    >>> [part.kept for part in parts(10, 4, 0.5)]
    [slice(0, 3, None), slice(3, 7, None), slice(7, 10, None)]
    """
    if length <= tile:
        return [Part(slice(0, length), slice(0, length))]
    tiles_of = range(1 + int(first * tile), length, tile)
    made = []
    for start, end in pairwise([0, *tiles_of, length]):
        left = min(max(0, end - tile if start == 0 else start), length - tile)
        made.append(Part(slice(left, left + tile), slice(start, end)))
    return made
