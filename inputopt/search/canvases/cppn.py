"""CPPN canvas: z holds the weights of a small network that maps pixel coordinates to colours (Stanley, 2007)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.canvases.colours import Squash
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class CPPN:
    """A compositional pattern-producing network for each image (Stanley, 2007); the weights z are [B, P].

    Its inputs are a pixel's coordinates from the centre (x, y and distance; the shorter side reaches from -1 to 1). Its
    hidden units are sines, Gaussians and sigmoids (tanh), so images are smooth and have symmetries. The same z gives
    the same image at any size.

    Attributes:
        shape: (C, H, W) of an image.
        squash: maps real numbers into the bounds.
        hidden: units per hidden layer, a third each sines, Gaussians and sigmoids; at least 3.
        depth: number of hidden layers.
    """

    shape: tuple[int, int, int]
    squash: Squash
    hidden: int = 12
    depth: int = 3

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Number of inputs, including the bias, and of outputs of each layer."""
        inputs = [4, *[self.hidden + 1] * self.depth]
        return list(zip(inputs, [*[self.hidden] * self.depth, self.shape[0]], strict=True))

    def start(self, seed: int, ids: Tensor, deviation: float = 1.0) -> Tensor:
        """Random normal weights for each example, scaled by 1 / sqrt(inputs per layer), larger in the first layer."""
        drawn = keyed_random.normal((sum(rows * columns for rows, columns in self.sizes),), seed, ids).float()
        scales = [
            drawn.new_full((rows * columns,), (3.0 if layer == 0 else 1.5) / math.sqrt(rows))
            for layer, (rows, columns) in enumerate(self.sizes)
        ]
        return deviation * drawn * torch.cat(scales)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        channels, height, width = self.shape
        values = self._coordinates(z).expand(len(z), -1, -1)
        one = z.new_ones(len(z), 1, height * width)
        weights = torch.split(z, [rows * columns for rows, columns in self.sizes], dim=1)
        for layer, ((rows, columns), flat) in enumerate(zip(self.sizes, weights, strict=True)):
            summed = flat.reshape(-1, columns, rows) @ torch.cat([values, one], dim=1)
            values = _activation(summed) if layer < self.depth else summed
        return self.squash(values.reshape(len(z), channels, height, width))

    def _coordinates(self, like: Tensor) -> Tensor:
        """Pixel coordinates and their distance from the centre, [1, 3, H * W]."""
        _, height, width = self.shape
        short = min(height, width)
        down, across = (
            (torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2) * 2 / short
            for size in (height, width)
        )
        rows, columns = torch.meshgrid(down, across, indexing="ij")
        return torch.stack([columns, rows, (rows.square() + columns.square()).sqrt()]).flatten(1)[None]


def _activation(summed: Tensor) -> Tensor:
    """Activation function: sine, Gaussian and tanh on a third of the units each, all in -1 to 1."""
    sines, gaussians, sigmoids = summed.tensor_split(3, dim=1)
    return torch.cat([sines.sin(), 2 * (-gaussians.square()).exp() - 1, sigmoids.tanh()], dim=1)
