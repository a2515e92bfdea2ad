"""Waves whose power on every ring of frequencies is held: the image of them, and its derivative in closed form.

Autograd's own way back through these lines takes twice as long and several times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class RadialBins:
    """Waves of a real Fourier transform by their frequency.

    Attributes:
        number: the ring of each wave, int64 [H * (W // 2 + 1)]; ring 0 is the image's mean, which is free.
        members: how many waves of the whole transform each stands for, [H, W // 2 + 1].
        scale: what the numbers given for each wave are multiplied by, [H, W // 2 + 1].
        power: that of each ring in the image, [R].
        width: W, which H and W // 2 + 1 leave open.
    """

    number: Tensor
    members: Tensor
    scale: Tensor
    power: Tensor
    width: int


def held(z: Tensor, rings: RadialBins) -> Tensor:
    """The image [B, C, H, W] of waves [B, C, H, W // 2 + 1, 2], each ring as strong as `rings` says.

    The power of a ring is that of all its waves and of all channels together.
    """
    return _Held.apply(z, rings)  # type: ignore[no-untyped-call]


class _Held(torch.autograd.Function):
    """With s the waves, p the power of a wave's ring, and f = sqrt(wanted / p): the image is that of f s."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, rings: RadialBins) -> Tensor:
        waves = torch.view_as_complex(z.contiguous()) * rings.scale.to(z)
        _settle(waves, rings.width)
        total = _on_rings(waves, waves, rings).clamp_min_(1e-20)
        factor = (rings.power.to(total) / total).sqrt_()
        factor[:, 0] = 1
        each = _of_each(factor, waves, rings)
        waves.mul_(each)
        ctx.save_for_backward(waves, total.mul_(factor), each)
        ctx.rings = rings
        return torch.fft.irfft2(waves, s=(waves.shape[2], rings.width), norm="ortho")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # of a real image's derivative too opposite waves are conjugate: it needs no `_settle`
        waves, weight, each = ctx.saved_tensors
        pulled = torch.fft.rfft2(grad, norm="ortho")
        along = _on_rings(waves, pulled, ctx.rings) / weight  # d f / d p = -f / 2 p
        along[:, 0] = 0
        pulled.mul_(each).sub_(waves * _of_each(along, waves, ctx.rings))
        return torch.view_as_real(pulled.mul_((ctx.rings.members * ctx.rings.scale).to(grad))), None


def _on_rings(one: Tensor, other: Tensor, rings: RadialBins) -> Tensor:
    """The inner product of waves on each ring, [B, R]."""
    parts = (torch.view_as_real(one) * torch.view_as_real(other)).sum(1)
    product = (parts[..., 0] + parts[..., 1]) * rings.members.to(parts)  # quicker than a sum over two
    return product.new_zeros(len(one), len(rings.power)).index_add_(1, rings.number, product.flatten(1))


def _of_each(numbers: Tensor, waves: Tensor, rings: RadialBins) -> Tensor:
    """Of each wave the number of its ring, [B, 1, H, W // 2 + 1]."""
    return numbers.index_select(1, rings.number).reshape(len(waves), 1, *waves.shape[2:])


def _settle(waves: Tensor, width: int) -> None:
    """Leave of waves what a real image has: in the first column, and the last of an even width, opposite ones are
    conjugate.
    """
    ends = waves[..., :1] if width % 2 else waves[..., :: waves.shape[-1] - 1]
    ends.copy_((ends + ends.flip(-2).roll(1, -2).conj()) / 2)
