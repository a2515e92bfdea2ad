"""EfficientNet-Lite: a small ImageNet network for any size of image (Tan and Le, 2019; Liu, 2020)."""

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
EPSILON = 1e-3  # the batch norms'


@fx.wrap
def padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """`x` with the zeros round it that give ceil(size / stride) outputs, the odd one below and on the right.

    A function of its own, since a forward that asks for sizes could otherwise not be traced, nor its norms folded.
    """
    total = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    return _Pad.apply(x, total) if any(total) else x  # type: ignore[no-untyped-call]


class _Pad(torch.autograd.Function):
    """Padding that writes each number once, and whose derivative is a view; torch's own fills and copies both ways."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, total: list[int]) -> Tensor:
        height, width = x.shape[2:]
        last = x.is_contiguous(memory_format=torch.channels_last)
        wide = torch.empty(
            (*x.shape[:2], height + total[0], width + total[1]),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )
        down, right = (slice(each // 2, each // 2 + side) for each, side in zip(total, (height, width), strict=True))
        ctx.inner = (slice(None), slice(None), down, right)
        wide[ctx.inner] = x
        wide[:, :, : down.start] = wide[:, :, down.stop :] = 0
        wide[..., : right.start] = wide[..., right.stop :] = 0
        return wide

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad[ctx.inner], None


class ConvNorm(nn.Module):
    """A convolution whose output covers its input whatever the size, a batch norm, and ReLU6 if `active`."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__()
        # with a stride the padding depends on the size; without, it is the same on all sides
        self.padding = (kernel, stride) if stride > 1 else None
        around = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(n_in, n_out, kernel, stride, around, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=EPSILON)
        self.act = nn.ReLU6() if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] -> [B, n_out, ceil(H / stride), ceil(W / stride)]."""
        if self.padding is not None:
            x = padded(x, *self.padding)
        return self.act(self.norm(self.convolution(x)))


class Block(nn.Module):
    """Widen, look at each channel's neighbourhood, narrow without an activation; added to the input where it fits."""

    def __init__(self, n_in: int, n_out: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = n_in * expansion
        self.adds = stride == 1 and n_in == n_out
        self.expand = ConvNorm(n_in, wide) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = ConvNorm(wide, n_out, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] -> [B, n_out, ceil(H / stride), ceil(W / stride)], of either sign."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """RGB images [B, 3, H, W] in [0, 1], of any size -> logits [B, classes].

    Its modules are `stem`, `blocks.0` and so on, `head` and `classifier`.

    Args:
        width, depth: multiply the channels and the blocks of the stages: 1 and 1 are lite0.
        classes: logits.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, classes: int = 1000) -> None:
        super().__init__()
        self._config = {"width": width, "depth": depth, "classes": classes}
        self.stem = ConvNorm(3, 32, 3, 2)
        blocks, channels = [], 32
        for index, (expansion, n_out, repeats, stride, kernel) in enumerate(STAGES):
            n_out = _in_eights(n_out * width)
            ends = index in (0, len(STAGES) - 1)  # the first and the last stage keep their depth
            for repeat in range(repeats if ends else math.ceil(repeats * depth)):
                blocks.append(Block(channels, n_out, expansion, stride if repeat == 0 else 1, kernel))
                channels = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, 1280)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits; what the weights were trained on, (255 x - 127) / 128, is made here."""
        x = self.head(self.blocks(self.stem((x * 255 - 127) / 128)))
        return self.classifier(x.mean((2, 3)))

    def config(self) -> dict[str, Any]:
        """What rebuilds this architecture: keyword arguments of `EfficientNetLite`."""
        return dict(self._config)


def _in_eights(channels: float) -> int:
    """The nearest multiple of 8, or the next if that is more than a tenth lower."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near if near >= 0.9 * channels else near + 8


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names that the published PyTorch port gave them, under ours."""
    inside = {"_expand_conv": "expand.convolution", "_bn0": "expand.norm", "_depthwise_conv": "depthwise.convolution"}
    inside |= {"_bn1": "depthwise.norm", "_project_conv": "project.convolution", "_bn2": "project.norm"}
    outside = {"_conv_stem": "stem.convolution", "_bn0": "stem.norm", "_conv_head": "head.convolution"}
    outside |= {"_bn1": "head.norm", "_fc": "classifier"}
    ours = {}
    for name, value in weights.items():
        *path, module, kind = name.split(".")
        if path:
            ours[f"blocks.{path[1]}.{inside.get(module, module)}.{kind}"] = value
        else:
            ours[f"{outside.get(module, module)}.{kind}"] = value
    return ours
