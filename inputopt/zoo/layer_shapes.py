"""The layers of a network with their output shapes, for inputs of a given or a likely shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.nets.layers import Layer
from inputopt.nets.model_errors import in_words
from inputopt.zoo.imagenet import TRAINED_AT

GREY_SIDE, SIDE = 28, 224
"""Likely side of an image in pixels, of networks for grey images and of others."""


@default_modes()
def layers(model: Frozen | nn.Module | Callable[[Tensor], Any], size: int | Sequence[int] | None = None) -> list[Layer]:
    """List all layers of a network by the names that `dream`, `visualize` and the other functions take.

    Args:
        model: a network, frozen or not.
        size: shape of one input: the side of an image, (height, width), or the whole shape, such as (3, 224, 160); a
            guess from the first weights if not given.

    Returns:
        One entry per module with its name, class, and the output shape of each of its calls for one input, [C, H, W].

    Raises:
        ValueError, TypeError: an invalid size, or one that the network does not accept.
    """
    net = frozen(model)
    shape = input_shape(net, size)
    return net.layers(torch.rand(2, *shape, generator=torch.Generator().manual_seed(0), dtype=net.dtype).to(net.device))


def input_shape(net: Frozen, size: int | Sequence[int] | None = None) -> tuple[int, ...]:
    """Shape of one input: `size` with the channels filled in, or a guess from the first weights and the model's name.

    Raises:
        ValueError, TypeError: `size` is not whole numbers, or has more than three for a convolutional network.
    """
    first = net.first_weights()
    channels = () if first is None or len(first) < 3 else (first[1],)
    if size is not None:
        given = [size] if isinstance(size, int) else size
        sides = tuple(checks.whole("each number of size", each) for each in given)
        if len(sides) > 3 and net.convolves:
            raise ValueError(f"size must be up to three numbers, channels x height x width, not {in_words(sides)}.")
        return (*channels, sides[0], sides[-1]) if len(sides) < 3 and channels else sides
    if not channels:
        return () if first is None else (first[1],)
    side = TRAINED_AT.get(net.name or "", GREY_SIDE if channels == (1,) else SIDE)
    return (*channels, side, side)
