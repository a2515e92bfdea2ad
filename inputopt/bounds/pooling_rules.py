"""The rule that translates max pooling (ATen) into a tree of pairwise maxima."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from inputopt.bounds.affine import Rearranged
from inputopt.bounds.graph_builder import GraphBuilder, RefusalError


def max_pooled(trace: GraphBuilder, result: Any, func: Any, args: Any, kwargs: Any) -> None:
    """Max pooling in one to three dimensions, as a tree of pairwise maxima of the window's elements."""
    values = result[0] if isinstance(result, tuple) else result
    node = trace.node(args[0])
    shape, spatial = trace.shape(node), len(args[1]) if isinstance(args[1], (list, tuple)) else 1
    settings = [_listed(each, spatial) for each in (*args[1:5], *((), (), (), ())[len(args[1:5]) :])]
    size, stride, padding, dilation = settings[0], settings[1] or settings[0], settings[2], settings[3]
    padding, dilation = padding or [0] * spatial, dilation or [1] * spatial
    if any(pad for pad, far in zip(padding, dilation, strict=True) if far > 1):
        raise RefusalError("max pooling with padding and dilation")
    after = tuple(values.shape[1:])
    parts = []
    for offsets in torch.cartesian_prod(*(torch.arange(each) for each in size)).reshape(-1, spatial).tolist():
        index = torch.zeros((), dtype=torch.long)
        for axis, offset in enumerate(offsets):  # an element of the padding is replaced by the nearest in the window
            full, out = shape[len(shape) - spatial + axis], after[len(after) - spatial + axis]
            place = (torch.arange(out) * stride[axis] - padding[axis] + offset * dilation[axis]).clamp(0, full - 1)
            index = index[..., None] * full + place
        gather = partial(_gathered, index.flatten().to(values.device), after)
        parts.append(trace.add("max pooling", Rearranged(gather, (shape,)), (node,), after))
    while len(parts) > 1:
        pairs = [trace.maximum(*parts[at : at + 2]) for at in range(0, len(parts) - 1, 2)]
        parts = pairs + parts[len(parts) - len(parts) % 2 :]
    trace.set(values, parts[0])


def _gathered(index: Tensor, after: tuple[int, ...], value: Tensor) -> Tensor:
    lead = len(after) - (value.ndim - 1 - 1) + 1 if len(after) == 1 else 2
    return value.flatten(lead)[..., index].reshape(len(value), *after)


def _listed(value: Any, spatial: int) -> list[int]:
    if isinstance(value, (list, tuple)):
        return list(value) * spatial if len(value) == 1 else list(value)
    return [int(value)] * spatial
