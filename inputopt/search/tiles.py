"""Images too large to be derived at once: tile by tile, cut at other places at every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.search import chance
from inputopt.search.oracle import Oracle, Pull
from inputopt.search.problem import Evaluation, Problem


@dataclass(frozen=True)
class Tiled:
    """An oracle that asks `oracle` about one tile after the other, and joins what it says.

    For objectives that are means over an image's places: the whole image's is the tiles' mean by their area. Away from
    the cuts, further than a layer sees, the derivative is that of the whole image; the cuts are drawn anew at each
    step, for each example apart, so that no seam stays in one place.

    Attributes:
        oracle: judges a tile as if it were an image.
        tile: the largest side of a tile in pixels; the smallest is half of it.
        seed: what the cuts are drawn from.
    """

    oracle: Oracle
    tile: int
    seed: int

    @property
    def samples(self) -> int:
        """Each pixel is run once."""
        return 1

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        """The derivative is found along with the loss: to keep what it needs for all tiles is what has no room."""
        grad, loss = torch.empty_like(z), z.new_zeros(len(z))
        for row in range(len(z)):  # one image is work enough
            alone = replace(problem, label=problem.label[row : row + 1], ids=problem.ids[row : row + 1])
            for down, right in self.cuts(z.shape[2], z.shape[3], alone.ids, index):
                part = z[row : row + 1, :, down, right]
                share = part[0, 0].numel() / z[0, 0].numel()
                seen, pull = self.oracle(part, replace(alone, x0=part), index)
                grad[row : row + 1, :, down, right] = share * pull(torch.ones_like(seen.success))
                loss[row] += share * seen.loss[0]
        success = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        seen = Evaluation(z.detach(), z.new_empty(len(z), 0), loss, success)
        return seen, lambda going: grad if bool(going.all()) else grad[going]

    def cuts(self, height: int, width: int, ids: Tensor, index: int) -> Iterator[tuple[slice, slice]]:
        """The tiles of an image at step `index`, for one id [1]."""
        first = chance.uniform((2,), self.seed, ids, index)[0].tolist()
        for down in parts(height, self.tile, first[0]):
            for right in parts(width, self.tile, first[1]):
                yield down, right


def parts(length: int, tile: int, first: float) -> list[slice]:
    """A length cut into parts of half a tile to a tile; `first` in [0, 1) moves the cuts. No cut in a short length.

    >>> parts(10, 4, 0.5)
    [slice(0, 3, None), slice(3, 7, None), slice(7, 10, None)]
    """
    if length <= tile:
        return [slice(0, length)]
    least = -(-tile // 2)
    ends = [min(least + int(first * (tile - least + 1)), length - least)]
    while length - ends[-1] > tile:
        ends.append(min(ends[-1] + tile, length - least))
    starts = [0, *ends]
    return [slice(start, end) for start, end in zip(starts, [*ends, length], strict=True)]
