"""Rows of convolutions as small windows: a neuron of a convolution depends on a patch of the layers before it only.

While the operations before a neuron are 2-dimensional convolutions, element-wise scalings and activations, its row is
kept as a window [C, h, w] with an origin, which costs a small part of the time and memory of a row of the whole layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from inputopt.bounds.affine import Convolution, Scaled, elements
from inputopt.bounds.network_graph import Graph, Node
from inputopt.bounds.relaxations import Line

Lines = tuple[Line, Line]


@dataclass(frozen=True)
class Windows:
    """Rows [N, C, h, w] of a node [C, H, W] that are zero outside of windows.

    Attributes:
        node: number of the node.
        values: coefficients inside the windows, [N, C, h, w]; zero for positions outside of the node.
        top, left: position of the first row and column of each window in the node, [N]; may be negative.
        constant: the constant of each row, [N].
    """

    node: int
    values: Tensor
    top: Tensor
    left: Tensor
    constant: Tensor

    def places(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """For each position of the windows its place in [H, W], flattened, and whether it exists: [N, h, w] each."""
        _, height, width = shape
        down = self.top[:, None] + torch.arange(self.values.shape[2], device=self.top.device)
        right = self.left[:, None] + torch.arange(self.values.shape[3], device=self.top.device)
        exists = ((down >= 0) & (down < height))[:, :, None] & ((right >= 0) & (right < width))[:, None, :]
        return down.clamp(0, height - 1)[:, :, None] * width + right.clamp(0, width - 1)[:, None, :], exists

    def gather(self, value: Tensor, example: Tensor) -> Tensor:
        """The windows of a tensor [B, C, H, W] for the example of each row, [N, C, h, w]."""
        channels, height, width = value.shape[1:]
        places, _ = self.places((channels, height, width))
        base = torch.arange(channels, device=value.device)[:, None, None] * (height * width)
        index = places[:, None] + base + (example * (channels * height * width))[:, None, None, None]
        return value.reshape(-1)[index]

    def dense(self, shape: tuple[int, ...]) -> Tensor:
        """The rows of the whole node, [N, C, H, W]."""
        places, _ = self.places(shape)
        rows = self.values.new_zeros(len(self.values), shape[0], shape[1] * shape[2])
        index = places.flatten(1)[:, None].expand(-1, shape[0], -1)
        return rows.scatter_add_(2, index, self.values.flatten(2)).reshape(-1, *shape)


def is_local(node: Node) -> bool:
    """Whether the rows of a node are windows: a plain 2-dimensional convolution."""
    layer = node.affine
    if not isinstance(layer, Convolution):
        return False
    stride, _, _, is_transposed, _, groups = layer.settings
    return len(stride) == 2 and not is_transposed and groups == 1


def reach(graph: Graph, index: int) -> tuple[int, int]:
    """The node where windows that start at a convolution end, and the most numbers in a window on the way there."""
    height = width = 1
    most = 1
    while index and _passes(graph.nodes[index]):
        node = graph.nodes[index]
        before = graph.nodes[node.inputs[0]].shape
        if isinstance(node.affine, Convolution):
            height, width = _grown(node.affine, height, width)
            if height * width >= before[1] * before[2]:
                break
        most, index = max(most, before[0] * height * width), node.inputs[0]
    return index, most


def _passes(node: Node) -> bool:
    """Whether windows can pass a node backwards."""
    return len(node.shape) == 3 and (is_local(node) or isinstance(node.affine, Scaled) or node.activation is not None)


def _grown(layer: Convolution, height: int, width: int) -> tuple[int, int]:
    """Size of the window of the input that a window of the result depends on."""
    stride, _, dilation = layer.settings[:3]
    sizes = zip((height, width), layer.weight.shape[2:], stride, dilation, strict=True)
    tall, wide = ((size - 1) * step + far * (kernel - 1) + 1 for size, kernel, step, far in sizes)
    return tall, wide


def unit_windows(graph: Graph, index: int, element: Tensor, sign: Tensor) -> Windows:
    """Windows that select elements [N] of a convolution, times a sign [N]."""
    shape = graph.nodes[index].shape
    channel, place = element // (shape[1] * shape[2]), element % (shape[1] * shape[2])
    layer = graph.nodes[index].affine
    assert isinstance(layer, Convolution), "windows start at a convolution"
    stride, padding = layer.settings[:2]
    top, left = place // shape[2] * stride[0] - padding[0], place % shape[2] * stride[1] - padding[1]
    kernel = layer.weight[channel] * sign[:, None, None, None]
    dilation = layer.settings[2]
    if tuple(dilation) != (1, 1):
        spread = kernel.new_zeros(*kernel.shape[:2], *_grown(layer, 1, 1))
        spread[:, :, :: dilation[0], :: dilation[1]] = kernel
        kernel = spread
    constant = kernel.new_zeros(len(element)) if layer.bias is None else layer.bias[channel] * sign
    return _masked(Windows(graph.nodes[index].inputs[0], kernel, top, left, constant), graph)


def _masked(windows: Windows, graph: Graph) -> Windows:
    """With zeros at positions that the node does not have."""
    _, exists = windows.places(graph.nodes[windows.node].shape)
    return replace(windows, values=windows.values * exists[:, None])


def passed(windows: Windows, graph: Graph, example: Tensor, lines: Mapping[int, Lines], end: int) -> Windows:
    """The windows at node `end`, which `reach` found; activations are replaced by the lines of each row's example."""
    while windows.node != end:
        node = graph.nodes[windows.node]
        if node.activation is not None:
            windows = _relaxed(windows, node, example, lines[windows.node])
        elif isinstance(node.affine, Convolution):
            windows = _masked(_through_convolution(windows, node, node.affine), graph)
        else:
            assert isinstance(node.affine, Scaled), "reach stops at other operations"
            windows = _scaled(windows, node, node.affine)
    return windows


def _relaxed(windows: Windows, node: Node, example: Tensor, lines: Lines) -> Windows:
    below, above = lines
    positive, negative = windows.values.clamp_min(0), windows.values.clamp_max(0)
    offsets = negative * windows.gather(above.offset, example)
    values = positive * windows.gather(below.slope, example) + negative * windows.gather(above.slope, example)
    if node.activation is not None and not node.activation.is_relu:
        offsets = offsets + positive * windows.gather(below.offset, example)
    return replace(windows, node=node.inputs[0], values=values, constant=windows.constant + offsets.flatten(1).sum(1))


def _through_convolution(windows: Windows, node: Node, layer: Convolution) -> Windows:
    stride, padding, dilation = layer.settings[:3]
    constant = windows.constant
    if layer.bias is not None:
        constant = constant + windows.values.sum((2, 3)) @ layer.bias
    values = functional.conv_transpose2d(windows.values, layer.weight, None, stride, 0, 0, 1, dilation)
    top, left = windows.top * stride[0] - padding[0], windows.left * stride[1] - padding[1]
    return Windows(node.inputs[0], values, top, left, constant)


def _scaled(windows: Windows, node: Node, layer: Scaled) -> Windows:
    everywhere = torch.zeros(len(windows.values), dtype=torch.long, device=windows.values.device)

    def inside(value: Tensor) -> Tensor:
        return windows.gather(value.expand(node.shape)[None].contiguous(), everywhere)

    constant = windows.constant
    if layer.shift is not None:
        constant = constant + (windows.values * inside(layer.shift)).flatten(1).sum(1)
    return replace(windows, node=node.inputs[0], values=windows.values * inside(layer.scale), constant=constant)


def numbers_in(graph: Graph, index: int) -> int:
    """Elements of the largest node up to `index`: the numbers in a whole row."""
    return max(elements(node.shape) for node in graph.nodes[: index + 1])
