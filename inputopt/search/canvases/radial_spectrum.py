"""Images from Fourier coefficients with fixed power in each radial frequency bin, with a closed-form derivative.

Autograd's backward pass through the same operations takes twice as long and several times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class RadialBins:
    """Coefficients of a real Fourier transform grouped into bins by radial frequency.

    Attributes:
        number: bin index of each coefficient, int64 [H * (W // 2 + 1)]; bin 0 is the image's mean, which is free.
        members: number of coefficients of the full transform that each represents, 1 or 2, [H, W // 2 + 1].
        scale: factor applied to each given coefficient, [H, W // 2 + 1].
        power: power of each bin in the image, [R].
        width: W, which W // 2 + 1 does not determine.
    """

    number: Tensor
    members: Tensor
    scale: Tensor
    power: Tensor
    width: int


def with_fixed_power(z: Tensor, bins: RadialBins) -> Tensor:
    """Images [B, C, H, W] from coefficients [B, C, H, W // 2 + 1, 2], rescaled to the power of each bin in `bins`.

    The power of a bin is summed over all its coefficients and all channels.
    """
    return _FixedSpectrum.apply(z, bins)  # type: ignore[no-untyped-call]


class _FixedSpectrum(torch.autograd.Function):
    """The image is the inverse transform of f s: s are the coefficients, p their bin's power, f = sqrt(wanted / p)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, bins: RadialBins) -> Tensor:
        spectrum = torch.view_as_complex(z.contiguous()) * bins.scale.to(z)
        _enforce_hermitian(spectrum, bins.width)
        total = _sum_per_bin(spectrum, spectrum, bins).clamp_min_(1e-20)
        factor = (bins.power.to(total) / total).sqrt_()
        factor[:, 0] = 1
        each = _per_coefficient(factor, spectrum, bins)
        spectrum.mul_(each)
        ctx.save_for_backward(spectrum, total.mul_(factor), each)
        ctx.bins = bins
        return torch.fft.irfft2(spectrum, s=(spectrum.shape[2], bins.width), norm="ortho")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # the transform of a real gradient is Hermitian already, so it needs no `_enforce_hermitian`
        spectrum, weight, each = ctx.saved_tensors
        pulled = torch.fft.rfft2(grad, norm="ortho")
        along = _sum_per_bin(spectrum, pulled, ctx.bins) / weight  # d f / d p = -f / 2 p
        along[:, 0] = 0
        pulled.mul_(each).sub_(spectrum * _per_coefficient(along, spectrum, ctx.bins))
        return torch.view_as_real(pulled.mul_((ctx.bins.members * ctx.bins.scale).to(grad))), None


def _sum_per_bin(one: Tensor, other: Tensor, bins: RadialBins) -> Tensor:
    """Inner product of two sets of coefficients within each bin, [B, R]."""
    parts = (torch.view_as_real(one) * torch.view_as_real(other)).sum(1)
    product = (parts[..., 0] + parts[..., 1]) * bins.members.to(parts)  # faster than sum() over two elements
    return product.new_zeros(len(one), len(bins.power)).index_add_(1, bins.number, product.flatten(1))


def _per_coefficient(numbers: Tensor, spectrum: Tensor, bins: RadialBins) -> Tensor:
    """Value of each coefficient's bin, [B, 1, H, W // 2 + 1]."""
    return numbers.index_select(1, bins.number).reshape(len(spectrum), 1, *spectrum.shape[2:])


def _enforce_hermitian(spectrum: Tensor, width: int) -> None:
    """Enforce Hermitian symmetry, in place, in the first column, and in the last column if the width is even."""
    ends = spectrum[..., :1] if width % 2 else spectrum[..., :: spectrum.shape[-1] - 1]
    ends.copy_((ends + ends.flip(-2).roll(1, -2).conj()) / 2)
