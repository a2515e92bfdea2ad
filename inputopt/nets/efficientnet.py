"""EfficientNet-Lite: a small ImageNet network for images of any size (Tan and Le, 2019; Liu, 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

STAGES = (  # expansion, channels, blocks, stride of the first block, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
EPSILON = 1e-3  # of the batch norms


@fx.wrap
def padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zero-pad `x` [B, C, H, W] so that the convolution has ceil(size / stride) outputs; odd padding: bottom and right.

    A wrapped function, because `torch.fx`, which batch-norm folding uses, cannot trace code that depends on sizes.
    """
    total = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    return _Pad.apply(x, total) if any(total) else x  # type: ignore[no-untyped-call]


class _Pad(torch.autograd.Function):
    """Zero padding that writes each number once and whose gradient is a view; torch's own copies in both passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, total: list[int]) -> Tensor:
        height, width = x.shape[2:]
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        output = torch.empty(
            (*x.shape[:2], height + total[0], width + total[1]),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        rows, columns = (slice(each // 2, each // 2 + side) for each, side in zip(total, (height, width), strict=True))
        ctx.inner = (slice(None), slice(None), rows, columns)
        output[ctx.inner] = x
        output[:, :, : rows.start] = output[:, :, rows.stop :] = 0
        output[..., : columns.start] = output[..., columns.stop :] = 0
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[ctx.inner], None


class ConvNorm(nn.Module):
    """Convolution, batch norm and, if `active`, ReLU6; padded so that each side becomes ceil(side / stride)."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__()
        # with stride > 1 the padding depends on the input size; with stride 1 it is the same on all sides
        self.padding = (kernel, stride) if stride > 1 else None
        padding = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(n_in, n_out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=EPSILON)
        self.act = nn.ReLU6() if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] -> [B, n_out, ceil(H / stride), ceil(W / stride)]."""
        if self.padding is not None:
            x = padded(x, *self.padding)
        return self.act(self.norm(self.convolution(x)))


class Block(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, linear 1x1 projection, skip if shapes match."""

    def __init__(self, n_in: int, n_out: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        expanded = n_in * expansion
        self.adds = stride == 1 and n_in == n_out
        self.expand = ConvNorm(n_in, expanded) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(expanded, expanded, kernel, stride, groups=expanded)
        self.project = ConvNorm(expanded, n_out, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] -> [B, n_out, ceil(H / stride), ceil(W / stride)], without a final activation."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """ImageNet classifier: RGB images [B, 3, H, W] in [0, 1], of any size -> logits [B, classes].

    Its modules are `stem`, `blocks.0` and so on, `head` and `classifier`.

    Args:
        width, depth: multipliers of the channels and of the blocks per stage; 1 and 1 are lite0.
        classes: number of logits.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, classes: int = 1000) -> None:
        super().__init__()
        self._config = {"width": width, "depth": depth, "classes": classes}
        self.stem = ConvNorm(3, 32, 3, 2)
        blocks, channels = [], 32
        for index, (expansion, n_out, repeats, stride, kernel) in enumerate(STAGES):
            n_out = _multiple_of_8(n_out * width)
            fixed_depth = index in (0, len(STAGES) - 1)  # the first and the last stage keep their depth
            for repeat in range(repeats if fixed_depth else math.ceil(repeats * depth)):
                blocks.append(Block(channels, n_out, expansion, stride if repeat == 0 else 1, kernel))
                channels = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, 1280)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits; inputs are first normalised to (255 x - 127) / 128, on which the weights were trained."""
        x = self.head(self.blocks(self.stem((x * 255 - 127) / 128)))
        return self.classifier(x.mean((2, 3)))

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments of `EfficientNetLite` that rebuild this architecture."""
        return dict(self._config)


def _multiple_of_8(channels: float) -> int:
    """Round to the nearest multiple of 8, or to the next higher one if that is more than 10% lower."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the published PyTorch port to the parameter names of `EfficientNetLite`."""
    block_names = {
        "_expand_conv": "expand.convolution",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.convolution",
    }
    block_names |= {"_bn1": "depthwise.norm", "_project_conv": "project.convolution", "_bn2": "project.norm"}
    outer_names = {"_conv_stem": "stem.convolution", "_bn0": "stem.norm", "_conv_head": "head.convolution"}
    outer_names |= {"_bn1": "head.norm", "_fc": "classifier"}
    weights_renamed = {}
    for name, value in weights.items():
        *path, module, kind = name.split(".")
        if path:
            weights_renamed[f"blocks.{path[1]}.{block_names.get(module, module)}.{kind}"] = value
        else:
            weights_renamed[f"{outer_names.get(module, module)}.{kind}"] = value
    return weights_renamed
