"""Which canvas to paint on, by its name, and how fast a search moves on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from inputopt import checks
from inputopt.search import chance
from inputopt.search.cppn import CPPN
from inputopt.search.fourier import Fourier, Natural, Phase, Squash
from inputopt.search.geometry import Box, Project
from inputopt.search.problem import Problem

Shape = tuple[int, int, int]


class Painted(Protocol):
    """A canvas that knows where to start, [B, ...] for `ids` [B]."""

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Where a search begins, each example's own."""

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""


@dataclass(frozen=True)
class Pixels:
    """Every pixel by itself, [B, C, H, W]: what most pictures of this kind look so noisy by."""

    shape: Shape
    low: float
    high: float

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Grey with a little noise, each example's own."""
        drawn = chance.normal(self.shape, seed, ids).float()
        return ((self.low + self.high) / 2 + 0.02 * (self.high - self.low) * drawn).clamp(self.low, self.high)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """z itself."""
        return z


def _free(z: Tensor, problem: Problem) -> Tensor:
    return z


@dataclass(frozen=True)
class Kind:
    """A kind of canvas.

    Attributes:
        make: from (shape, low, high).
        rate: the step of a search on it; in parts of the bounds' width if `boxed`.
        boxed: whether z are pixels, held inside the bounds.
    """

    make: Callable[[Shape, float, float], Any]
    rate: float
    boxed: bool = False


CANVASES = {
    "natural": Kind(lambda shape, low, high: Natural(Fourier(shape, Squash(low, high))), 0.5),
    "fourier": Kind(lambda shape, low, high: Fourier(shape, Squash(low, high)), 0.05),
    "phase": Kind(lambda shape, low, high: Phase(shape, Squash(low, high)), 0.1),
    "cppn": Kind(lambda shape, low, high: CPPN(shape, Squash(low, high)), 0.02),
    "pixels": Kind(Pixels, 0.02, boxed=True),
}


def canvas_of(name: str, shape: Shape, bounds: tuple[float, float]) -> tuple[Painted, Project, float]:
    """The canvas of that name, the set its z must stay in, and the step of a search on it.

    Raises:
        ValueError: no canvas is called so.
    """
    kind = CANVASES[checks.one_of("canvas", name, CANVASES)]
    low, high = bounds
    project = Box(low, high) if kind.boxed else _free
    return kind.make(shape, low, high), project, kind.rate * (high - low if kind.boxed else 1.0)


def shape_of(size: int | tuple[int, int], colours: int) -> Shape:
    """(C, H, W) from a side or (height, width).

    Raises:
        ValueError, TypeError: not sizes.
    """
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size must be a side or (height, width), not {size!r}.")
    height, width = (checks.whole("size", side) for side in sides)
    return checks.whole("colours", colours), height, width
