"""Which canvas to paint on, by its name, and how fast a search moves on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from inputopt import checks
from inputopt.search import keyed_random
from inputopt.search.bounds import Range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.cppn import CPPN
from inputopt.search.canvases.fourier import Fourier, Shape, frequencies
from inputopt.search.canvases.maco import MACO
from inputopt.search.canvases.natural import Natural
from inputopt.search.problem import Problem
from inputopt.search.projections import Box, Project


class PictureCanvas(Protocol):
    """A canvas that knows where to start, [B, ...] for `ids` [B], and how to take a photo up."""

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Where a search begins, each example's own."""

    def encode(self, x: Tensor) -> Tensor:
        """The z of images [B, C, H, W], or of the nearest that it can hold."""

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""


@dataclass(frozen=True)
class Pixels:
    """Every pixel by itself, [B, C, H, W] from 0 to 1: what most pictures of this kind look so noisy by."""

    shape: Shape

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Grey with a little noise, each example's own."""
        drawn = keyed_random.normal(self.shape, seed, ids).float()
        return (0.5 + 0.02 * drawn).clamp(0, 1)

    def encode(self, x: Tensor) -> Tensor:
        """x itself."""
        return x

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """z itself."""
        return z


@dataclass(frozen=True)
class InRange:
    """A canvas of images from 0 to 1, for a network whose inputs lie in another range.

    Whatever is absolute on the canvas is in parts of the range's width so, and a search finds the same image in any.
    """

    own: PictureCanvas
    range: Range

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """As on the canvas from 0 to 1."""
        return self.own.start(seed, ids)

    def encode(self, x: Tensor) -> Tensor:
        """The z of images in the range."""
        return self.own.encode(self.range.parts(x))

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W] in the range."""
        return self.range.of_parts(self.own(z, problem))


@dataclass(frozen=True)
class Shared:
    """A canvas on which the pictures of a batch have their coarse waves in common.

    So they lie upon each other: what differs between two is what their objectives ask for, and not where things happen
    to be (after the shared parameterisation of Mordvintsev et al., 2018).

    Attributes:
        own: the canvas of each.
        mixed: z with the waves in common, all else each example's own.
    """

    own: PictureCanvas
    mixed: Callable[[Tensor], Tensor]

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """As on the canvas of each."""
        return self.own.start(seed, ids)

    def encode(self, x: Tensor) -> Tensor:
        """As on the canvas of each; the waves in common become the batch's mean."""
        return self.own.encode(x)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        return self.own(self.mixed(z), problem)


def _coarse(shape: Shape, waves: int) -> Tensor:
    """Which waves repeat no more than so often over the image, whole rings of them, bool [H, W // 2 + 1]."""
    return frequencies(*shape[1:]).round() <= waves


def _in_common(z: Tensor, coarse: Tensor) -> Tensor:
    return torch.where(coarse.to(z.device), z.mean(0, keepdim=True), z)


def _mixed_waves(shape: Shape, waves: int) -> Callable[[Tensor], Tensor]:
    coarse = _coarse(shape, waves)[..., None]
    return lambda z: _in_common(z, coarse)


def _mixed_phases(shape: Shape, waves: int) -> Callable[[Tensor], Tensor]:
    coarse = _coarse(shape, waves)
    return lambda z: _in_common(z, coarse)


def _mixed_pixels(shape: Shape, waves: int) -> Callable[[Tensor], Tensor]:
    coarse = _coarse(shape, waves)
    # the mean of coarse waves may lead out of the range of pixels
    return lambda z: torch.fft.irfft2(_in_common(torch.fft.rfft2(z), coarse), s=shape[1:]).clamp(0, 1)


def _free(z: Tensor, problem: Problem) -> Tensor:
    return z


@dataclass(frozen=True)
class Kind:
    """A kind of canvas.

    Attributes:
        make: from the shape (C, H, W), for images from 0 to 1.
        rate: the step of a search on it.
        mixed: (shape, waves) -> what puts so many waves of a batch in common; None for a canvas that has no waves.
        boxed: whether z must stay between 0 and 1.
    """

    make: Callable[[Shape], PictureCanvas]
    rate: float
    mixed: Callable[[Shape, int], Callable[[Tensor], Tensor]] | None
    boxed: bool = False


SQUASH = Squash(0, 1)
CANVASES = {
    "natural": Kind(lambda shape: Natural(Fourier(shape, SQUASH)), 0.5, _mixed_waves),
    "fourier": Kind(lambda shape: Fourier(shape, SQUASH), 0.05, _mixed_waves),
    "phase": Kind(lambda shape: MACO(shape, SQUASH), 0.1, _mixed_phases),
    "cppn": Kind(lambda shape: CPPN(shape, SQUASH), 0.02, None),
    "pixels": Kind(Pixels, 0.02, _mixed_pixels, boxed=True),
}


@dataclass(frozen=True)
class Surface:
    """What a search paints on.

    Attributes:
        canvas: makes images of z.
        project: the set that z must stay in.
        rate: the step of a search.
        within: the range of the images.
    """

    canvas: PictureCanvas
    project: Project
    rate: float
    within: Range


def canvas_of(name: str, shape: Shape, within: Range, shared: int = 0) -> Surface:
    """The canvas of that name, for images of that shape and range.

    Waves that repeat up to `shared` times over the image are one for all pictures of a batch; 0 for none.

    Raises:
        ValueError, TypeError: no canvas is called so, or it has no waves to share.
    """
    kind = CANVASES[checks.one_of("canvas", name, CANVASES)]
    made = kind.make(shape)
    if checks.whole("shared_frequencies", shared, least=0):
        if kind.mixed is None:
            raise ValueError(f"The canvas {name!r} has no waves to share; choose another, or shared_frequencies=0.")
        made = Shared(made, kind.mixed(shape, shared))
    project = Box(0.0, 1.0) if kind.boxed else _free
    return Surface(made if within.is_unit else InRange(made, within), project, kind.rate, within)


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
