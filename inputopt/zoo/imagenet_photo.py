"""Photos as inputs of the ImageNet networks; a module of its own, as loading a network needs no image library."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from inputopt import checks
from inputopt.pictures.picture import Photo, read_photo, to_image
from inputopt.zoo.imagenet import TRAINED_AT


def imagenet_input(photo: Photo, name: str = "efficientnet-lite0") -> Tensor:
    """Convert a photo to the input of an ImageNet network, cropped and scaled as when its accuracy was measured.

    The crop is the central square of 7/8 of the shorter side, scaled with bicubic interpolation and antialiasing. The
    values lie on 8-bit levels.

    Args:
        photo: a path, a Pillow image, a uint8 array, or floating-point values [C, H, W] in [0, 1].
        name: the network: "efficientnet-lite0" (S = 224), "efficientnet-lite1" (240) or "efficientnet-lite2" (260).

    Returns:
        float32 [1, 3, S, S] in [0, 1], the range of inputs of these networks.

    Raises:
        FileError, ValueError, TypeError: not a photo, or an unknown network.
    """
    side = TRAINED_AT[checks.one_of("network", name, TRAINED_AT)]
    image = to_image(read_photo(photo, 3)).convert("RGB")
    cut = max(1, int(min(image.size) * 7 / 8))
    left, top = (image.width - cut) // 2, (image.height - cut) // 2
    square = image.crop((left, top, left + cut, top + cut)).resize((side, side), Image.Resampling.BICUBIC)
    return read_photo(square, 3)[None]
