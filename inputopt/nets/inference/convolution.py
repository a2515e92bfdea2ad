"""A 2-D convolution with few input channels whose input gradient is one matrix product.

The backward of every search over pixels ends at such a layer. The usual kernels are slow there because they parallelise
over input channels, and an image has only one or three.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW = 4  # largest number of input channels; up to it the product was faster in every size measured


def has_few_channels(module: nn.Module) -> bool:
    """Whether `convolve` gives the same output as this module, and is faster."""
    return (
        isinstance(module, nn.Conv2d)
        and module.in_channels <= FEW
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.weight.device.type == "cpu"
    )


def convolve(
    x: Tensor, weight: Tensor, matrix: Tensor, bias: Tensor | None, like: nn.Conv2d, channels_last: bool
) -> Tensor:
    """Convolve x [B, C, H, W] with the given weights, which get no gradient.

    Args:
        x, weight, bias: as for `conv2d`.
        matrix: `patch_matrix` of the weight.
        like: module that gives stride, padding and dilation.
        channels_last: whether the output should be in channels-last memory format.
    """
    return _Convolve.apply(x, weight, matrix, bias, (like.stride, like.padding, like.dilation), channels_last)  # type: ignore[no-untyped-call]


def patch_matrix(weight: Tensor) -> Tensor:
    """Matrix [1, C * height * width, n_out] that maps output gradients to gradients of the input patches."""
    return weight.detach().flatten(1).T.contiguous()[None]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        settings: tuple[Any, Any, Any],
        channels_last: bool,
    ) -> Tensor:
        ctx.save_for_backward(matrix)
        ctx.size, ctx.kernel, ctx.settings = x.shape[2:], weight.shape[2:], settings
        if channels_last and x.shape[1] == 1:
            # with one channel the strides are ambiguous, and torch would assume channels first
            x = x.contiguous().as_strided(x.shape, (x.shape[2] * x.shape[3], 1, x.shape[3], 1))
        return functional.conv2d(x, weight, bias, *settings)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (matrix,) = ctx.saved_tensors
        stride, padding, dilation = ctx.settings
        columns = torch.bmm(matrix.expand(len(grad), -1, -1), grad.flatten(2))
        image = functional.fold(columns, ctx.size, ctx.kernel, dilation, padding, stride)
        return image, None, None, None, None, None
