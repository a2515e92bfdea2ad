"""A convolution over few channels whose derivative by its input is one matrix product.

Every search that moves pixels ends its backward at such a layer, and the usual kernels are slow there: they spread the
work over input channels, of which an image has one or three.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW = 4  # input channels, up to which the product was quicker in every size measured


def has_few_channels(module: nn.Module) -> bool:
    """Whether `convolve` does what this module does, and is quicker."""
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
    """`like` of x [B, C, H, W] with other weights, which stand still.

    Args:
        x, weight, bias: as for `conv2d`.
        matrix: `patch_matrix` of the weight.
        like: whose stride, padding and dilation it has.
        channels_last: whether the output is wanted with the channels last.
    """
    return _Convolve.apply(x, weight, matrix, bias, (like.stride, like.padding, like.dilation), channels_last)  # type: ignore[no-untyped-call]


def patch_matrix(weight: Tensor) -> Tensor:
    """What leads from each output's derivative to that of the patch it came from, [1, C * height * width, n_out]."""
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
            # the strides of one channel leave it open where the channels lie, and torch would put them first
            x = x.contiguous().as_strided(x.shape, (x.shape[2] * x.shape[3], 1, x.shape[3], 1))
        return functional.conv2d(x, weight, bias, *settings)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (matrix,) = ctx.saved_tensors
        stride, padding, dilation = ctx.settings
        columns = torch.bmm(matrix.expand(len(grad), -1, -1), grad.flatten(2))
        image = functional.fold(columns, ctx.size, ctx.kernel, dilation, padding, stride)
        return image, None, None, None, None, None
