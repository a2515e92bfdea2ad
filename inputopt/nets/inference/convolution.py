"""A convolution over few channels whose derivative by its input is one matrix product.

Every search that moves pixels ends its backward at such a layer, and the usual kernels are slow there: they spread the
work over input channels, of which an image has one or three.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW = 4  # input channels, up to which the product was quicker in every size measured


class FewChannels(nn.Conv2d):
    """`Conv2d` with weights that stand still: the same outputs, and a quicker way back to the input."""

    def __init__(self, like: nn.Conv2d) -> None:
        with torch.device("meta"):  # no memory and no chance is spent on weights that are replaced
            super().__init__(
                like.in_channels,
                like.out_channels,
                like.kernel_size,  # type: ignore[arg-type]
                like.stride,  # type: ignore[arg-type]
                like.padding,  # type: ignore[arg-type]
                like.dilation,  # type: ignore[arg-type]
                bias=like.bias is not None,
            )
        self.weight, self.bias = like.weight, like.bias
        self.train(like.training)

    def forward(self, x: Tensor) -> Tensor:
        """As `Conv2d`."""
        settings = (self.stride, self.padding, self.dilation)
        return _Convolve.apply(x, self.weight, self.bias, settings)  # type: ignore[no-untyped-call]


def quicken(model: nn.Module) -> None:
    """Replace the convolutions of a private copy that have a quicker way back to their input."""
    for name, module in list(model.named_modules()):
        if name and _is_quicker(module):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, FewChannels(module))


def _is_quicker(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(module) is nn.Conv2d
        and module.in_channels <= FEW
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.weight.device.type == "cpu"
        and not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
    )


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, Any, Any]) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.settings = x.shape[2:], settings
        if (
            x.shape[1] == 1
        ):  # then the strides leave it open which way the channels lie; the layers behind want them last
            x = x.contiguous().as_strided(x.shape, (x[0].numel(), 1, x.shape[3], 1))
        return functional.conv2d(x, weight, bias, *settings)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation = ctx.settings
        columns = weight.flatten(1).T @ grad.flatten(2)  # each output's part in the patch that it came from
        return functional.fold(columns, ctx.size, weight.shape[2:], dilation, padding, stride), None, None, None
