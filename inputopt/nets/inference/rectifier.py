"""In-place ReLU and ReLU6."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def rectify_over(rectifier: nn.Module, x: Tensor) -> Tensor:
    """Apply a ReLU or ReLU6 in place to an input that no other operation reads.

    torch's in-place ReLU6 first copies its input, which takes a tenth of the time of `dream`.
    """
    if isinstance(rectifier, nn.ReLU6):
        return _Clip.apply(x)  # type: ignore[no-untyped-call]
    return torch.relu_(x)


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x.clamp_(0, 6)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad, y, 0, 6)
