"""Conversion of greyscale images of more than 8 bits to 8 bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from inputopt.files import FileError

SIXTEEN_BITS = ("PNG", "PPM")
"""Formats whose deep images are of 16 bits, which some versions of Pillow widen to 32."""


def to_eight_bits(image: Image.Image, what: str, file_format: str | None = None) -> Image.Image:
    """The image with 16-bit levels scaled to 8 bits; an image of 8 bits or less is returned as it is.

    Args:
        image: the image, in any mode.
        what: names it in the error, such as a path.
        file_format: Pillow's name of the format that it was read from; None if it is not known.

    Raises:
        FileError: the image has floating-point or 32-bit values, of which none is known to be black or white.
    """
    if image.mode == "F" or (image.mode == "I" and file_format not in SIXTEEN_BITS):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise FileError(
            f"{what} has {kind} values, of which none is known to be black or white; convert it to 8 or 16 bits, or "
            "give an array."
        )
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().clip(0, 255).astype(np.uint8))
