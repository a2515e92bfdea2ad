"""Fourier canvas: z holds Fourier coefficients in a decorrelated colour space (Olah et al., 2017).

The constants for photos were measured on the six colour photos that scikit-image and scikit-learn ship (china, flower,
coffee, chelsea, rocket, astronaut). Colours as log-odds between black and white have the principal components
`COLOURS`. In 224-pixel windows the power falls as frequency to the -2.5, with exponents from 1.9, in the darkest photo,
to 2.9.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.canvases.colours import Squash
from inputopt.search.problem import Problem

Shape: TypeAlias = tuple[int, int, int]
"""(C, H, W)."""


FALL = 1.4
"""Amplitudes on the `Natural` and `MACO` canvases fall as frequency to minus this power.

It is steeper than in photos' log-odds, since squashing adds high frequencies. Of 1.25 to 1.5 this value brings random
images on the canvas closest to photos' mean radial log-spectrum (root mean square 0.27; 0.44 with 1.25).
"""


def frequencies(height: int, width: int) -> Tensor:
    """Frequencies of a real Fourier transform in cycles per geometric-mean side of the image, [H, W // 2 + 1].

    >>> frequencies(4, 4)[:, 0]
    tensor([0., 1., 2., 1.])
    """
    side = math.sqrt(height * width)
    down, across = torch.fft.fftfreq(height, dtype=torch.float32), torch.fft.rfftfreq(width, dtype=torch.float32)
    return (down[:, None].square() + across.square()).sqrt() * side


@dataclass(frozen=True)
class Fourier:
    """Fourier canvas (Olah et al., 2017): z holds real and imaginary parts of coefficients, [B, C, H, W // 2 + 1, 2].

    Attributes:
        shape: (C, H, W) of an image.
        squash: maps real numbers into the bounds.
        fall: each coefficient is scaled by its frequency to minus this power, and so is its change in a step.
    """

    shape: Shape
    squash: Squash
    fall: float = 1.0

    def start(self, seed: int, ids: Tensor, deviation: float = 0.01) -> Tensor:
        """Random coefficients for each example, small by default."""
        channels, height, width = self.shape
        return deviation * keyed_random.normal((channels, height, width // 2 + 1, 2), seed, ids).float()

    def encode(self, x: Tensor) -> Tensor:
        """The z that gives images [B, C, H, W]."""
        return torch.view_as_real(torch.fft.rfft2(self.squash.undo(x), norm="ortho")) / self._amplitude(x)[..., None]

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        spectrum = torch.view_as_complex(z.contiguous()) * self._amplitude(z)
        return self.squash(torch.fft.irfft2(spectrum, s=self.shape[1:], norm="ortho"))

    def _amplitude(self, like: Tensor) -> Tensor:
        return falling_spectrum(self.shape, self.fall).to(dtype=like.dtype, device=like.device)


@functools.lru_cache(maxsize=8)
def falling_spectrum(shape: Shape, fall: float) -> Tensor:
    found = frequencies(*shape[1:]).clamp_min(1.0) ** -fall
    return found / found.square().mean().sqrt()
