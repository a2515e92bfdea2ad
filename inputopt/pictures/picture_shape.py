"""The shape of a picture where it is not given: that of the picture it starts from, or of the network's inputs."""

from __future__ import annotations

from math import isqrt

import torch

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.pictures.canvas_choice import shape_of
from inputopt.search.canvases.fourier import Shape

SIDES = (224, 28, 32, 64, 256, 299, 96, 128, 384, 48, 160, 240, 260, 300, 320, 336, 448, 512)
"""Usual sides of square images; a network of a fixed input size is tried with them one after the other."""


def picture_shape(
    net: Frozen, size: int | tuple[int, int] | None = None, colours: int | None = None, side: int = 224
) -> Shape:
    """The shape (C, H, W) of a picture, with the channels and the size that the network takes where they are not given.

    Args:
        net: the network.
        size: side of the picture, or (height, width), in pixels; if not given, that of a linear first layer, `side` if
            the network runs on it, and else the first of `SIDES` on which it runs.
        colours: number of channels; if not given, those of the first convolution, or what a linear first layer has for
            each pixel, if they are 1 or 3; else 3.
        side: side of pictures for networks of any input size.

    Raises:
        ValueError, TypeError: invalid sizes or number of channels.
    """
    if size is not None and colours is not None:
        return shape_of(size, colours)
    if colours is not None:
        checks.whole("colours", colours)
    first = net.first_weights() or ()
    if len(first) == 2:
        channels, fitting = _of_linear(first[1], None if size is None else shape_of(size, 1)[1:])
        return shape_of(size or fitting or side, colours or channels)
    channels = first[1] if net.convolves and len(first) == 4 and first[1] in (1, 3) else 3
    if size is None:
        size = next((each for each in (side, *SIDES) if _takes(net, colours or channels, each)), side)
    return shape_of(size, colours or channels)


def _of_linear(inputs: int, size: tuple[int, ...] | None) -> tuple[int, int | None]:
    """Channels, 1 or 3, and the side of images with so many numbers; the side is None where no square has them."""
    for channels in (1, 3):
        pixels = inputs // channels
        if inputs % channels == 0 and (pixels == size[0] * size[1] if size else isqrt(pixels) ** 2 == pixels):
            return channels, isqrt(pixels)
    return 3, None


def _takes(net: Frozen, channels: int, side: int) -> bool:
    try:
        with torch.no_grad():
            net(torch.zeros(1, channels, side, side, dtype=net.dtype, device=net.device))
    except ValueError:  # another size, or an error of the model's code, which the search will raise again
        return False
    return True
