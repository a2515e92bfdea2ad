"""Convert photos to a network's input format: its channels, bounds, device and dtype."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import Photo, read_levels
from inputopt.search.bounds import picture_range


def levels_for(net: Frozen, what: str, photo: Photo) -> Tensor:
    """Convert a photo to [1, C, H, W]: tensors of numbers stay in the bounds, images become uint8 levels.

    Images are converted between grey and RGB to match the channels of the network's first layer, if these are known;
    `what` names the photo in error messages.

    Raises:
        ValueError, TypeError, FileError: not a photo, or numbers outside the bounds.
    """
    shape = net.first_weights() or ()
    channels = shape[1] if net.convolves and len(shape) == 4 and shape[1] in (1, 3) else None
    image = read_levels(photo, channels)[None].to(net.device)
    if not image.is_floating_point() and len(shape) == 2 and shape[1] == image.shape[2] * image.shape[3]:
        image = read_levels(photo, 1)[None].to(net.device)  # a linear layer with one input per pixel takes grey images
    if image.is_floating_point():
        image = in_range(net, what, image)
        if channels == 3 and image.shape[1] == 1:
            image = image.expand(1, 3, -1, -1)
    return image


def check_opaque(what: str, photo: Photo) -> None:
    """Check that an image, such as a mask, has no transparent areas, whose colour is not seen.

    Raises:
        ValueError: it has.
    """
    if not isinstance(photo, (str, Path, Image.Image)):
        return
    with nullcontext(photo) if isinstance(photo, Image.Image) else Image.open(photo) as image:  # a given one stays open
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            raise ValueError(f"{what} has transparent areas; fill them with black, or with white, and save it again.")


def photo_in_range(net: Frozen, photo: Photo) -> Tensor:
    """Convert a photo to [1, C, H, W] in the network's bounds: numbers are kept, images are scaled.

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
    """Copy images [B, C, H, W] to the network's device and dtype, clamped to its bounds to remove rounding errors.

    Raises:
        ValueError: they exceed the bounds by more than rounding, or the bounds are infinite.
    """
    x = numbers.to(net.device, net.dtype)
    within = picture_range(net, x.shape[1:])
    black, white = (torch.as_tensor(end).abs().max() for end in (within.low, within.high))
    slack = max(torch.finfo(each.dtype).eps for each in (numbers, x)) * float(torch.maximum(black, white))
    if max(float((within.low - x).max()), float((x - within.high).max())) > slack:
        raise ValueError(f"{what} must lie in the model's bounds {within}; scale it, or give Frozen other bounds.")
    return within.clamp(x)
