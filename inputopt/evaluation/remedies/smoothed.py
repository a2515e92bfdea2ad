"""Smoothed gradients: averaged over noise around the input, or estimated from differences of outputs along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from inputopt.search import keyed_random

Forward = Callable[[Tensor], Tensor]

AVERAGED = 8
"""Points around the input that a gradient is averaged over."""

PAIRS = 24
"""Pairs of opposite directions that a gradient is estimated from."""

AVERAGING, ESTIMATING = 11, 12
"""Seeds of the directions, which depend on the input besides."""


def averaged(forward: Forward, deviation: float) -> Forward:
    """The same outputs, with the gradient averaged over normal noise of this deviation around the input."""

    def smoothed(x: Tensor) -> Tensor:
        outputs = forward(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return outputs
        near = torch.stack([forward(x + deviation * noise) for noise in directions(x, AVERAGED, AVERAGING)]).mean(0)
        return outputs.detach() + (near - near.detach())

    return smoothed


def estimated(forward: Forward, deviation: float) -> Forward:
    """The same outputs, with a gradient estimated from outputs alone.

    Natural evolution strategies with antithetic directions (Wierstra et al., 2014; Ilyas et al., 2018): the mean over
    normal directions of the central difference along each, times the direction.
    """

    def smoothed(x: Tensor) -> Tensor:
        outputs: Tensor = _Estimated.apply(x, forward, deviation)  # type: ignore[no-untyped-call]
        return outputs

    return smoothed


class _Estimated(torch.autograd.Function):
    """Outputs of a function, with a backward by differences of outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Forward, deviation: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.function, ctx.deviation = forward, deviation
        return forward(x).detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        total = torch.zeros_like(x)
        with torch.no_grad():
            for noise in directions(x, PAIRS, ESTIMATING):
                step = ctx.deviation * noise
                change = ((ctx.function(x + step) - ctx.function(x - step)) * grad).nan_to_num(0, 0, 0).sum(1)
                total += noise * (change / (2 * ctx.deviation * PAIRS)).reshape(-1, *(1,) * (x.ndim - 1)).to(x.dtype)
        return total, None, None


def directions(x: Tensor, count: int, seed: int) -> list[Tensor]:
    """`count` normal directions for each input [B, ...]; they depend on the input itself and not on its batch."""
    ids = content_ids(x)
    return [keyed_random.normal(x.shape[1:], seed, ids, draw).to(x) for draw in range(count)]


def content_ids(x: Tensor) -> Tensor:
    """A key for each input, int64 [B], computed from its numbers."""
    bits = x.detach().flatten(1).float().contiguous().view(torch.int32).long()
    odd = 2 * torch.arange(bits.shape[1], device=x.device) + 1
    return (bits * (odd * 0x9E3779B97F4A7C1)).sum(1)
