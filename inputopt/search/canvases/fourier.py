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
from inputopt.search.canvases.radial_spectrum import Rings, held
from inputopt.search.problem import Problem

Shape: TypeAlias = tuple[int, int, int]
"""(C, H, W)."""

COLOURS = ((-0.661, -0.497, -0.562), (-0.734, 0.272, 0.622), (0.157, -0.824, 0.544))
"""Photos' principal directions of colour (red, green, blue): lightness, red against blue, green against the rest."""
SPREADS = (1.0, 0.49, 0.144)
"""How far photos' colours spread along each, in parts of the first."""
FALL = 1.4
"""A wave's amplitude falls with its frequency to this power on the canvases of photos' waves.

That is steeper than in photos' log-odds, since squashing adds fine waves: of 1.25 to 1.5 it brings clouds on the canvas
nearest to photos' mean radial log-spectrum (root mean square 0.27; with 1.25 it is 0.44).
"""


@dataclass(frozen=True)
class Squash:
    """Any numbers into the bounds, by the logistic function, in photos' directions of colour if there are three."""

    low: float
    high: float
    decorrelated: bool = True

    def __call__(self, y: Tensor) -> Tensor:
        """[B, C, H, W] of any value -> colours in the bounds."""
        if self.decorrelated and y.shape[1] == 3:
            y = _mixed(y, _colours(y.dtype, y.device))
        inside = y.sigmoid()
        return inside if (self.low, self.high) == (0, 1) else self.low + (self.high - self.low) * inside

    def undo(self, x: Tensor) -> Tensor:
        """What gives these colours; black and white are infinitely far, and held a thousandth away."""
        y = ((x - self.low) / (self.high - self.low)).clamp(1e-3, 1 - 1e-3).logit()
        if self.decorrelated and y.shape[1] == 3:
            y = _mixed(y, torch.linalg.inv(_colours(torch.float64, y.device)).to(y))
        return y


def _mixed(y: Tensor, colours: Tensor) -> Tensor:
    """Images [B, K, H, W] whose channels are K colours [K, C], as [B, C, H, W]."""
    return (colours.T @ y.flatten(2)).reshape(len(y), -1, *y.shape[2:])


@functools.lru_cache(maxsize=8)
def _colours(dtype: torch.dtype, device: torch.device) -> Tensor:
    """`COLOURS` as far apart as `SPREADS`, [K, C]."""
    return torch.tensor(SPREADS, dtype=dtype, device=device).diag() @ torch.tensor(COLOURS, dtype=dtype, device=device)


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


@dataclass(frozen=True)
class Natural:
    """Waves as in `Fourier`, whose power at each frequency is a photo's: what is free is how it spreads over angles,
    places and, between neighbours in frequency, waves.

    A search cannot put fine grain into the image to please the network, nor leave the image faint: the mean power over
    each ring of frequencies is fixed at `contrast` times frequency to -2 `fall`. Between `Fourier` (all free) and
    `Phase` (every amplitude fixed).

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


@dataclass(frozen=True)
class Phase:
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


@functools.lru_cache(maxsize=8)
def _falling(shape: Shape, fall: float) -> Tensor:
    found = frequencies(*shape[1:]).clamp_min(1.0) ** -fall
    return found / found.square().mean().sqrt()


@functools.lru_cache(maxsize=8)
def _rings(shape: Shape, fall: float, contrast: float, device: torch.device, free_fall: float = 0.0) -> Rings:
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
    return Rings(rings.to(device), twice.to(device), scale.to(device), wanted.to(device), width)


def _odd(phases: Tensor, width: int) -> Tensor:
    """Phases of a real image: in the first column, and the last of an even width, opposite waves are opposite."""
    rows = torch.arange(phases.shape[-2], device=phases.device)
    opposite = (-rows) % len(rows)

    def column(own: Tensor) -> Tensor:
        mirrored = torch.where(rows > opposite, -own[..., opposite], own)
        return torch.where(rows == opposite, (own.detach().cos() < 0) * math.pi, mirrored)[..., None]

    ends = [column(phases[..., -1])] if width % 2 == 0 else []
    return torch.cat([column(phases[..., 0]), phases[..., 1 : phases.shape[-1] - len(ends)], *ends], dim=-1)
