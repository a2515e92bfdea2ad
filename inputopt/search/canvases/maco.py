"""MACO: magnitude-constrained optimisation, which optimises only the phase of each frequency (Fel et al., 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.fourier import FALL, Shape
from inputopt.search.canvases.natural import radial_bins
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class MACO:
    """Fourier canvas with fixed amplitudes: z is the phase of each frequency in radians, [B, C, H, W // 2 + 1].

    As in Fel et al. (2023), but the amplitudes follow a power law, frequency to -`fall`, instead of a data set's mean.

    Attributes:
        shape: (C, H, W) of an image.
        squash: maps real numbers into the bounds.
        fall: amplitudes fall as frequency to minus this power.
        contrast: the standard deviation of the image before it is squashed, in units of the first colour component.
    """

    shape: Shape
    squash: Squash
    fall: float = FALL
    contrast: float = 2.0

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """Random uniform phases for each example."""
        channels, height, width = self.shape
        return 2 * math.pi * keyed_random.uniform((channels, height, width // 2 + 1), seed, ids).float()

    def encode(self, x: Tensor) -> Tensor:
        """The phases of images [B, C, H, W]; their amplitudes are discarded."""
        return torch.fft.rfft2(self.squash.undo(x), norm="ortho").angle()

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        bins = radial_bins(self.shape, self.fall, self.contrast, z.device)
        counts = torch.zeros_like(bins.power).index_add(0, bins.number, bins.members.flatten())
        amplitude = (bins.power / counts).sqrt()[bins.number].reshape(self.shape[1], -1)
        spectrum = torch.polar(amplitude.to(z).expand_as(z).contiguous(), _hermitian(z, self.shape[2]))
        return self.squash(torch.fft.irfft2(spectrum, s=self.shape[1:], norm="ortho"))


def _hermitian(phases: Tensor, width: int) -> Tensor:
    """Enforce Hermitian symmetry: phases are odd in the first column, and in the last column if the width is even."""
    rows = torch.arange(phases.shape[-2], device=phases.device)
    opposite = (-rows) % len(rows)

    def column(phase: Tensor) -> Tensor:
        mirrored = torch.where(rows > opposite, -phase[..., opposite], phase)
        return torch.where(rows == opposite, (phase.detach().cos() < 0) * math.pi, mirrored)[..., None]

    ends = [column(phases[..., -1])] if width % 2 == 0 else []
    return torch.cat([column(phases[..., 0]), phases[..., 1 : phases.shape[-1] - len(ends)], *ends], dim=-1)
