"""Image canvases (parameterisations) by name, with the learning rate and projection that each of them uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from inputopt import checks
from inputopt.pictures.fitted_cppn import FittedCPPN
from inputopt.search import keyed_random
from inputopt.search.bounds import Range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.cppn import CPPN
from inputopt.search.canvases.fourier import Fourier, Shape, frequencies
from inputopt.search.canvases.maco import MACO
from inputopt.search.canvases.natural import Natural
from inputopt.search.problem import Problem
from inputopt.search.projections import Box, Project

CanvasName = Literal["natural", "fourier", "phase", "cppn", "pixels"]
"""The canvases of the package; more can be added to `CANVASES`."""


class PictureCanvas(Protocol):
    """A canvas with an initialisation, [B, ...] for `ids` [B], and an encoding of given images."""

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """The initial z of a search, random and different for each id."""

    def encode(self, x: Tensor) -> Tensor:
        """The z of images [B, C, H, W], or of the nearest images that the canvas can represent."""

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Decode z into images [B, C, H, W]."""


@dataclass(frozen=True)
class Pixels:
    """Independent pixels, z = image [B, C, H, W] in [0, 1]; optimised images are noisy at high frequencies."""

    shape: Shape

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Grey with Gaussian noise of standard deviation 0.02, different for each id."""
        drawn = keyed_random.normal(self.shape, seed, ids).float()
        return (0.5 + 0.02 * drawn).clamp(0, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Return `z`."""
        return z


@dataclass(frozen=True)
class InRange:
    """Map the images of a canvas from [0, 1] to another input range.

    All quantities of the canvas are thereby relative to the range's width, and a search finds the same image in any.

    Attributes:
        own: the canvas, whose images lie in [0, 1].
        range: the input range of the network.
    """

    own: PictureCanvas
    range: Range

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """The initial z of the canvas."""
        return self.own.start(seed, ids)

    def encode(self, x: Tensor) -> Tensor:
        """The z of images [B, C, H, W] in the range."""
        return self.own.encode(self.range.parts(x))

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W] in the range."""
        return self.range.of_parts(self.own(z, problem))


@dataclass(frozen=True)
class Shared:
    """A canvas on which all pictures of a batch share their low frequencies.

    The pictures are thereby spatially aligned: they differ by their objectives and not by the chance placement of
    objects (after the shared parameterisation of Mordvintsev et al., 2018).

    Attributes:
        own: the canvas of a single picture.
        mixed: replaces the low frequencies of z [B, ...] by their mean over the batch.
    """

    own: PictureCanvas
    mixed: Callable[[Tensor], Tensor]

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """The initial z of the canvas."""
        return self.own.start(seed, ids)

    def encode(self, x: Tensor) -> Tensor:
        """The z of images [B, C, H, W]; decoding averages their shared frequencies over the batch."""
        return self.own.encode(x)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        return self.own(self.mixed(z), problem)


def _low_frequencies(shape: Shape, waves: int) -> Tensor:
    """Mask of the frequencies of at most `waves` cycles per image, rounded, bool [H, W // 2 + 1]."""
    return frequencies(*shape[1:]).round() <= waves


def _averaged(z: Tensor, low: Tensor) -> Tensor:
    return torch.where(low.to(z.device), z.mean(0, keepdim=True), z)


def _share_coefficients(shape: Shape, waves: int) -> Callable[[Tensor], Tensor]:
    low = _low_frequencies(shape, waves)[..., None]
    return lambda z: _averaged(z, low)


def _share_phases(shape: Shape, waves: int) -> Callable[[Tensor], Tensor]:
    low = _low_frequencies(shape, waves)
    return lambda z: _averaged(z, low)


def _share_pixels(shape: Shape, waves: int) -> Callable[[Tensor], Tensor]:
    low = _low_frequencies(shape, waves)
    # averaging low frequencies may leave the pixel range
    return lambda z: torch.fft.irfft2(_averaged(torch.fft.rfft2(z), low), s=shape[1:]).clamp(0, 1)


def _unconstrained(z: Tensor, problem: Problem) -> Tensor:
    return z


@dataclass(frozen=True)
class Kind:
    """A kind of canvas.

    Attributes:
        make: builds the canvas from the shape (C, H, W), for images in [0, 1].
        rate: learning rate of a search on it.
        mixed: makes, from (shape, waves), the function that replaces the coefficients of at most `waves` cycles per
            image by their mean over the batch; None for a canvas without frequencies.
        boxed: whether z must stay in [0, 1].
    """

    make: Callable[[Shape], PictureCanvas]
    rate: float
    mixed: Callable[[Shape, int], Callable[[Tensor], Tensor]] | None
    boxed: bool = False


SQUASH = Squash(0, 1)
CANVASES = {
    "natural": Kind(lambda shape: Natural(Fourier(shape, SQUASH)), 0.5, _share_coefficients),
    "fourier": Kind(lambda shape: Fourier(shape, SQUASH), 0.05, _share_coefficients),
    "phase": Kind(lambda shape: MACO(shape, SQUASH), 0.1, _share_phases),
    "cppn": Kind(lambda shape: FittedCPPN(CPPN(shape, SQUASH)), 0.02, None),
    "pixels": Kind(Pixels, 0.02, _share_pixels, boxed=True),
}


@dataclass(frozen=True)
class Surface:
    """A canvas for images of one shape and range, with the settings of a search on it.

    Attributes:
        canvas: decodes z into images.
        project: projection onto the feasible set of z.
        rate: learning rate of a search.
        within: input range of the images.
    """

    canvas: PictureCanvas
    project: Project
    rate: float
    within: Range


def canvas_of(name: str, shape: Shape, within: Range, shared: int = 0) -> Surface:
    """The canvas of that name, for images of that shape and range.

    Frequencies of up to `shared` cycles per image are shared by all pictures of a batch; 0 for none.

    Raises:
        ValueError, TypeError: the canvas is unknown, or it has no frequencies to share.
    """
    kind = CANVASES[checks.one_of("canvas", name, CANVASES)]
    canvas = kind.make(shape)
    if checks.whole("shared_frequencies", shared, least=0):
        if kind.mixed is None:
            raise ValueError(
                f"The canvas {name!r} has no frequencies to share; choose another, or shared_frequencies=0."
            )
        canvas = Shared(canvas, kind.mixed(shape, shared))
    project = Box(0.0, 1.0) if kind.boxed else _unconstrained
    return Surface(canvas if within.is_unit else InRange(canvas, within), project, kind.rate, within)


def shape_of(size: int | tuple[int, int], colours: int) -> Shape:
    """The shape (C, H, W) for `size`, a side or (height, width), and `colours` channels.

    Raises:
        ValueError, TypeError: invalid sizes or number of channels.
    """
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size must be a side length or (height, width), not {size!r}.")
    height, width = (checks.whole("size", side) for side in sides)
    return checks.whole("colours", colours), height, width
