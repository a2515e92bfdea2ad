"""MACO: magnitude-constrained optimisation, in which only the phase of each frequency is free (Fel et al., 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.fourier import FALL, Shape
from inputopt.search.canvases.natural import _rings
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class MACO:
    """Only where each wave stands, [B, C, H, W // 2 + 1] in radians; how strong it is, is fixed as in photos.

    MACO (Fel et al., 2023), with the amplitudes of a law instead of a data set's mean: frequency to -`fall`.

    Attributes:
        shape: (C, H, W) of an image.
        squash: from any numbers into the bounds.
        fall: how the amplitude falls with the frequency.
        contrast: the standard deviation of the image before it is squashed, in units of the first colour.
    """

    shape: Shape
    squash: Squash
    fall: float = FALL
    contrast: float = 2.0

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Every wave somewhere, each example's own."""
        channels, height, width = self.shape
        return 2 * math.pi * keyed_random.uniform((channels, height, width // 2 + 1), seed, ids).float()

    def encode(self, x: Tensor) -> Tensor:
        """The phases of images [B, C, H, W]; their amplitudes are lost."""
        return torch.fft.rfft2(self.squash.undo(x), norm="ortho").angle()

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        rings = _rings(self.shape, self.fall, self.contrast, z.device)
        counts = torch.zeros_like(rings.power).index_add(0, rings.number, rings.members.flatten())
        amplitude = (rings.power / counts).sqrt()[rings.number].reshape(self.shape[1], -1)
        waves = torch.polar(amplitude.to(z).expand_as(z).contiguous(), _odd(z, self.shape[2]))
        return self.squash(torch.fft.irfft2(waves, s=self.shape[1:], norm="ortho"))


def _odd(phases: Tensor, width: int) -> Tensor:
    """Phases of a real image: in the first column, and the last of an even width, opposite waves are opposite."""
    rows = torch.arange(phases.shape[-2], device=phases.device)
    opposite = (-rows) % len(rows)

    def column(own: Tensor) -> Tensor:
        mirrored = torch.where(rows > opposite, -own[..., opposite], own)
        return torch.where(rows == opposite, (own.detach().cos() < 0) * math.pi, mirrored)[..., None]

    ends = [column(phases[..., -1])] if width % 2 == 0 else []
    return torch.cat([column(phases[..., 0]), phases[..., 1 : phases.shape[-1] - len(ends)], *ends], dim=-1)
