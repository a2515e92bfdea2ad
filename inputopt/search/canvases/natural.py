"""Fourier canvas with the radial power spectrum of photos."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.search.canvases.fourier import FALL, Fourier, Shape, _falling, frequencies
from inputopt.search.canvases.radial_spectrum import RadialBins, held
from inputopt.search.problem import Problem


@dataclass(frozen=True)
class Natural:
    """Waves as in `Fourier`, whose power at each frequency is a photo's: what is free is how it spreads over angles,
    places and, between neighbours in frequency, waves.

    A search cannot put fine grain into the image to please the network, nor leave the image faint: the mean power over
    each ring of frequencies is fixed at `contrast` times frequency to -2 `fall`. Between `Fourier` (all free) and
    `MACO` (every amplitude fixed).

    Attributes:
        waves: the free waves.
        fall: how the amplitude falls with the frequency.
        contrast: the standard deviation of the image before it is squashed, in units of the first colour.
    """

    free: Fourier
    fall: float = FALL
    contrast: float = 2.0

    def start(self, seed: int, ids: Tensor) -> Tensor:
        """A cloud, each example's own."""
        return self.free.start(seed, ids, 1.0)

    def encode(self, x: Tensor) -> Tensor:
        """A z whose waves go as those of images [B, C, H, W] do; their power is replaced by a photo's."""
        return self.free.encode(x)

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        """Images [B, C, H, W]."""
        rings = _rings(self.free.shape, self.fall, self.contrast, z.device, self.free.fall)
        return self.free.squash(held(z, rings))


@functools.lru_cache(maxsize=8)
def _rings(shape: Shape, fall: float, contrast: float, device: torch.device, free_fall: float = 0.0) -> RadialBins:
    """Rings with the power that a photo of that contrast has on each; ring 0, the image's mean, has none.

    Waves are given in parts of frequency to -`free_fall`.
    """
    height, width = shape[1:]
    every = frequencies(height, width)
    rings = every.round().long().flatten()
    twice = torch.full_like(every, 2.0)  # a real transform leaves out the waves that run the other way
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    power = (torch.where(every > 0, every.clamp_min(0.5), torch.inf) ** (-2 * fall) * twice).flatten()
    wanted = power.new_zeros(int(rings.max()) + 1).index_add(0, rings, power)
    wanted = contrast**2 * wanted / wanted.sum().clamp_min(1e-20) * (height * width)
    scale = _falling(shape, free_fall)
    return RadialBins(rings.to(device), twice.to(device), scale.to(device), wanted.to(device), width)
