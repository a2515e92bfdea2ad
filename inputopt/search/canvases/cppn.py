"""A canvas of formulas: z are the weights of a small network from a pixel's place to its colour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from inputopt.nets.frozen import Frozen
from inputopt.search import keyed_random
from inputopt.search.canvases.colours import Squash
from inputopt.search.goals import never
from inputopt.search.loop import Interrupted, at_the_end, optimise
from inputopt.search.objectives.objective import Objective
from inputopt.search.oracles import Autograd
from inputopt.search.problem import Problem
from inputopt.search.projections import anywhere
from inputopt.search.steps.directions import Adam
from inputopt.search.steps.step import Descend, HalfCosine

FITTED, FITTING = 64, 600
"""The longer side of what a photo is fitted at, and in how many steps."""


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
        drawn = keyed_random.normal((sum(rows * columns for rows, columns in self.sizes),), seed, ids).float()
        scales = [
            drawn.new_full((rows * columns,), (3.0 if layer == 0 else 1.5) / math.sqrt(rows))
            for layer, (rows, columns) in enumerate(self.sizes)
        ]
        return deviation * drawn * torch.cat(scales)

    def encode(self, x: Tensor) -> Tensor:
        """Weights that draw about what images [B, C, H, W] show: the one loop leads there, from `start(0)`.

        So few weights keep shapes and colours, and no detail: of six photos of 48 x 64 pixels the root mean square
        error is 0.04 to 0.09 of the bounds' width, a fifth to two fifths of the photos' own spread, and of 128 x 128 it
        is 0.05 to 0.12. Larger images are scaled down to `FITTED` pixels first, since a formula draws at any size.
        """
        factor = min(1.0, FITTED / max(self.shape[1:]))
        height, width = (max(1, round(side * factor)) for side in self.shape[1:])
        wanted = functional.interpolate(x, (height, width), mode="bilinear", antialias=True).flatten(1)
        small = replace(self, shape=(self.shape[0], height, width))
        rows = torch.arange(len(x), device=x.device)
        problem = Problem(self.start(0, torch.zeros_like(rows)).to(x), rows, rows)
        drawn = Frozen(lambda z: small(z, problem).flatten(1))
        apart = Objective(lambda outputs, z, problem: (outputs - wanted[problem.label]).square().mean(1))
        step = Descend(Adam(), HalfCosine(0.1, 0.001, FITTING))
        oracle = Autograd(drawn, apart, never)
        try:
            return optimise(oracle, step, anywhere, problem, problem.x0, steps=FITTING, stop=at_the_end).x
        except Interrupted as stopped:
            raise KeyboardInterrupt from stopped  # what it holds is no picture

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
