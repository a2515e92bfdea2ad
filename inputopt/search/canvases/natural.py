"""Fourier canvas whose radial power spectrum is fixed to that of photos."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.canvases.fourier import FALL, Fourier, Shape, falling_spectrum, frequencies
from inputopt.search.canvases.radial_spectrum import RadialBins, with_fixed_power
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class Natural:
    """Fourier canvas with the power in each radial frequency bin fixed as in photos.

    The phases and the distribution of the power within each bin, over orientations and adjacent frequencies, are free.
    A search can neither add high-frequency noise that the objective rewards nor leave the image at low contrast. The
    mean power in each bin is proportional to frequency to -2 `fall`, scaled to the standard deviation `contrast`.
    `Natural` lies between `Fourier` (all coefficients free) and `MACO` (all amplitudes fixed).

    Attributes:
        free: the Fourier canvas with free coefficients.
        fall: amplitudes fall as frequency to minus this power.
        contrast: the standard deviation of the image before it is squashed, in units of the first colour component.
    """

    free: Fourier
    fall: float = FALL
    contrast: float = 2.0

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """A random image of clouds for each example."""
        return self.free.start(seed, ids, 1.0)

    def encode(self, x: Tensor) -> Tensor:
        """The coefficients of images [B, C, H, W]; the canvas replaces their power in each bin by that of photos."""
        return self.free.encode(x)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        bins = radial_bins(self.free.shape, self.fall, self.contrast, z.device, self.free.fall)
        return self.free.squash(with_fixed_power(z, bins))


@functools.lru_cache(maxsize=8)
def radial_bins(shape: Shape, fall: float, contrast: float, device: torch.device, free_fall: float = 0.0) -> RadialBins:
    """Radial bins with the power of a photo of that contrast in each; bin 0, the image's mean, has none.

    Coefficients are given relative to frequency to -`free_fall`.
    """
    height, width = shape[1:]
    frequency = frequencies(height, width)
    bins = frequency.round().long().flatten()
    members = torch.full_like(frequency, 2.0)  # a real transform omits the conjugate coefficients
    members[:, 0] = 1
    if width % 2 == 0:
        members[:, -1] = 1
    power = (torch.where(frequency > 0, frequency.clamp_min(0.5), torch.inf) ** (-2 * fall) * members).flatten()
    wanted = power.new_zeros(int(bins.max()) + 1).index_add(0, bins, power)
    wanted = contrast**2 * wanted / wanted.sum().clamp_min(1e-20) * (height * width)
    scale = falling_spectrum(shape, free_fall)
    return RadialBins(bins.to(device), members.to(device), scale.to(device), wanted.to(device), width)
