"""Canvases of waves: z are frequencies, and colours are those along which photos vary. No pixel moves alone.

The numbers about photos were measured on the six colour photos that scikit-image and scikit-learn ship (china, flower,
coffee, chelsea, rocket, astronaut): colours as log-odds of their values between black and white have the principal
directions `COLOURS`; over 224-pixel windows the power of a wave falls with its frequency to the 2.5th, from 1.9 in the
darkest photo to 2.9.
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
"""A wave's amplitude falls with its frequency to this power on the canvases of photos' waves.

That is steeper than in photos' log-odds, since squashing adds fine waves: of 1.25 to 1.5 it brings clouds on the canvas
nearest to photos' mean radial log-spectrum (root mean square 0.27; with 1.25 it is 0.44).
"""


def frequencies(height: int, width: int) -> Tensor:
    """How often each wave of a real Fourier transform repeats over the image's geometric-mean side, [H, W // 2 + 1].

    >>> frequencies(4, 4)[:, 0]
    tensor([0., 1., 2., 1.])
    """
    side = math.sqrt(height * width)
    down, across = torch.fft.fftfreq(height, dtype=torch.float32), torch.fft.rfftfreq(width, dtype=torch.float32)
    return (down[:, None].square() + across.square()).sqrt() * side


@dataclass(frozen=True)
class Fourier:
    """Real and imaginary parts of every wave, [B, C, H, W // 2 + 1, 2] (Olah et al., 2017).

    Attributes:
        shape: (C, H, W) of an image.
        squash: from any numbers into the bounds.
        fall: a step moves a wave in proportion to its frequency to minus this power.
    """

    shape: Shape
    squash: Squash
    fall: float = 1.0

    def start(self, seed: int, ids: Tensor, deviation: float = 0.01) -> Tensor:
        """Faint waves, each example's own."""
        channels, height, width = self.shape
        return deviation * keyed_random.normal((channels, height, width // 2 + 1, 2), seed, ids).float()

    def encode(self, x: Tensor) -> Tensor:
        """The z of images [B, C, H, W]."""
        return torch.view_as_real(torch.fft.rfft2(self.squash.undo(x), norm="ortho")) / self._amplitude(x)[..., None]

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        waves = torch.view_as_complex(z.contiguous()) * self._amplitude(z)
        return self.squash(torch.fft.irfft2(waves, s=self.shape[1:], norm="ortho"))

    def _amplitude(self, like: Tensor) -> Tensor:
        return _falling(self.shape, self.fall).to(dtype=like.dtype, device=like.device)


@functools.lru_cache(maxsize=8)
def _falling(shape: Shape, fall: float) -> Tensor:
    found = frequencies(*shape[1:]).clamp_min(1.0) ** -fall
    return found / found.square().mean().sqrt()
