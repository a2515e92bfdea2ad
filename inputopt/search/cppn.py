"""A canvas of formulas: z are the weights of a small network from a pixel's place to its colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import chance
from inputopt.search.fourier import Squash
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class CPPN:
    """A compositional pattern-producing network for each image (Stanley, 2007), all of one shape, [B, P].

    It sees a pixel's place from the middle (across, down, distance; the shorter side reaches from -1 to 1) and has
    layers of sines, bells and logistic curves: what it draws is smooth and has symmetries. The same z draws the same
    image at any size.

    Attributes:
        shape: (C, H, W) of an image.
        squash: from any numbers into the bounds.
        hidden: units a layer, shared out to sines, bells and curves; at least 3.
        depth: hidden layers.
    """

    shape: tuple[int, int, int]
    squash: Squash
    hidden: int = 12
    depth: int = 3

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """How many inputs, with their constant, and outputs each layer has."""
        inputs = [4, *[self.hidden + 1] * self.depth]
        return list(zip(inputs, [*[self.hidden] * self.depth, self.shape[0]], strict=True))

    def start(self, seed: int, ids: Tensor, deviation: float = 1.0) -> Tensor:
        """Normal weights, scaled by the inputs of their layer and larger in the first, each example's own."""
        drawn = chance.normal((sum(rows * columns for rows, columns in self.sizes),), seed, ids).float()
        scales = [
            torch.full((rows * columns,), (3.0 if layer == 0 else 1.5) / math.sqrt(rows))
            for layer, (rows, columns) in enumerate(self.sizes)
        ]
        return deviation * drawn * torch.cat(scales).to(drawn)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        channels, height, width = self.shape
        values = self._places(z).expand(len(z), -1, -1)
        one = z.new_ones(len(z), 1, height * width)
        weights = torch.split(z, [rows * columns for rows, columns in self.sizes], dim=1)
        for layer, ((rows, columns), flat) in enumerate(zip(self.sizes, weights, strict=True)):
            summed = flat.reshape(-1, columns, rows) @ torch.cat([values, one], dim=1)
            values = _mixed(summed) if layer < self.depth else summed
        return self.squash(values.reshape(len(z), channels, height, width))

    def _places(self, like: Tensor) -> Tensor:
        """[1, 3, H W]."""
        _, height, width = self.shape
        short = min(height, width)
        down, across = (
            (torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2) * 2 / short
            for size in (height, width)
        )
        rows, columns = torch.meshgrid(down, across, indexing="ij")
        return torch.stack([columns, rows, (rows.square() + columns.square()).sqrt()]).flatten(1)[None]


def _mixed(summed: Tensor) -> Tensor:
    """A third of the units each: sines, bells and logistic curves, all between -1 and 1."""
    sines, bells, curves = summed.tensor_split(3, dim=1)
    return torch.cat([sines.sin(), 2 * (-bells.square()).exp() - 1, curves.tanh()], dim=1)
