"""Images too large to be derived at once: tile by tile, cut at other places at every step."""

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
    """An oracle that asks `oracle` about one tile after the other, and joins what it says.

    For objectives that are means over an image's places: the whole image's is the tiles' mean by their area. Away from
    the cuts, further than a layer sees, the derivative is that of the whole image; the cuts are drawn anew at each
    step, for each example apart, so that no seam stays in one place. No goal is judged, and there are no outputs.

    Attributes:
        oracle: judges a tile as if it were an image; every tile is counted by its meter.
        tile: the side of a tile in pixels.
        seed: what the cuts are drawn from.
    """

    oracle: Oracle
    tile: int
    seed: int

    @property
    def meter(self) -> QueryCounter:
        """That of the oracle asked."""
        return self.oracle.meter

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        """The derivative is found along with the loss: to keep what it needs for all tiles is what has no room."""
        grad, loss = torch.empty_like(z), z.new_zeros(len(z))
        whole = z.shape[2] * z.shape[3]
        for row in range(len(z)):  # one image is work enough
            for down, right in self.cuts(z.shape[2], z.shape[3], problem.ids[row : row + 1], index):
                part = z[row : row + 1, :, down.shown, right.shown]
                seen, vjp = self.oracle(part, _of_tile(problem, row, part), index)
                slope = vjp(None)[:, :, down.inner, right.inner]
                grad[row : row + 1, :, down.kept, right.kept] = slope * (part[0, 0].numel() / whole)
                loss[row] += seen.loss[0] * (slope[0, 0].numel() / whole)
        success = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        seen = Evaluation(z.detach(), z.new_empty(len(z), 0), loss, success)
        return seen, lambda active: of_rows(grad, active)

    def cuts(self, height: int, width: int, ids: Tensor, index: int) -> Iterator[tuple[Part, Part]]:
        """The tiles of an image at step `index`, for one id [1]."""
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
    """A stretch of a length: what is `shown` to the network, and what is `kept` of it, which is `inner` in the stretch.

    The stretches are all as long as a tile, which is what makes them quick; the first and last ones overlap others.
    """

    shown: slice
    kept: slice

    @property
    def inner(self) -> slice:
        """Where `kept` lies in `shown`."""
        return slice(self.kept.start - self.shown.start, self.kept.stop - self.shown.start)


def parts(length: int, tile: int, first: float) -> list[Part]:
    """A length cut into tiles; `first` in [0, 1) moves the cuts. No cut in a length that is no longer than a tile.

    >>> [part.kept for part in parts(10, 4, 0.5)]
    [slice(0, 3, None), slice(3, 7, None), slice(7, 10, None)]
    """
    if length <= tile:
        return [Part(slice(0, length), slice(0, length))]
    cuts = range(1 + int(first * tile), length, tile)
    made = []
    for start, end in pairwise([0, *cuts, length]):
        left = min(max(0, end - tile if start == 0 else start), length - tile)
        made.append(Part(slice(left, left + tile), slice(start, end)))
    return made
