"""Photos as a network takes them: with its channels, in its bounds, and in the type that searches run in."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import Photo, read_levels
from inputopt.search.bounds import picture_range


def levels_for(net: Frozen, what: str, photo: Photo) -> Tensor:
    """A photo as [1, C, H, W]: numbers in the bounds, an image's levels in uint8.

    Grey becomes colour for a network that is known to take colours, and colour grey for one that takes grey.

    Raises:
        ValueError, TypeError, FileError: not a photo, or numbers outside the bounds.
    """
    shape = net.first_weights() or ()
    channels = shape[1] if net.convolves and len(shape) == 4 and shape[1] in (1, 3) else None
    image = read_levels(photo, channels)[None].to(net.device)
    if not image.is_floating_point() and len(shape) == 2 and shape[1] == image.shape[2] * image.shape[3]:
        image = read_levels(photo, 1)[None].to(net.device)  # so many inputs are one a pixel
    if image.is_floating_point():
        image = in_range(net, what, image)
        if channels == 3 and image.shape[1] == 1:
            image = image.expand(1, 3, -1, -1)
    return image


def photo_in_range(net: Frozen, photo: Photo) -> Tensor:
    """A photo as [1, C, H, W] in a network's bounds: numbers as they are, an image scaled to them.

    Raises:
        ValueError, TypeError, FileError: as `levels_for`.
    """
    levels = levels_for(net, "photo", photo)
    if levels.is_floating_point():
        return levels
    parts = levels.to(net.dtype) / 255
    within = picture_range(net, parts.shape[1:])
    return within.clamp(within.of_parts(parts))


def in_range(net: Frozen, what: str, numbers: Tensor) -> Tensor:
    """Images [B, C, H, W] that are in a network's bounds but for rounding, in what searches run in; a copy.

    Raises:
        ValueError: they are outside, or the bounds are infinite.
    """
    x = numbers.to(net.device, net.dtype)
    within = picture_range(net, x.shape[1:])
    black, white = (torch.as_tensor(end).abs().max() for end in (within.low, within.high))
    slack = max(torch.finfo(each.dtype).eps for each in (numbers, x)) * float(torch.maximum(black, white))
    if max(float((within.low - x).max()), float((x - within.high).max())) > slack:
        raise ValueError(f"{what} must lie in the model's bounds {within}; scale it, or freeze the model with others.")
    return within.clamp(x)
