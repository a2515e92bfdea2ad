"""Reads uploaded images and drawings, bounded in bytes and in pixels before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inputopt.files import FileError
from inputopt.pictures.eight_bits import to_eight_bits

MOST_BYTES = 10 * 2**20
MOST_PIXELS = 25_000_000
DRAWING = "data:image/png;base64,"
MOST_DRAWING = 2**18
"""Largest number of characters of a drawing, as a data address."""

SIDE = 28
INSIDE = 20
"""Sides in pixels of a digit's image and of the square that its strokes fill, as in MNIST."""

DARK = 0.05
"""Pixels below this share of white count as background."""


def read_upload(path: str | Path) -> Image.Image:
    """Read an uploaded image: RGB or grey, upright.

    Raises:
        ValueError: it is larger than `MOST_BYTES` or `MOST_PIXELS`, or not an image.
    """
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise ValueError(
            f"The image has {size / 2**20:.1f} MiB, more than {MOST_BYTES // 2**20} MiB; choose a smaller file."
        )
    return decode(Path(path).read_bytes())


def decode(data: bytes) -> Image.Image:
    """Decode the bytes of an image file.

    Raises:
        ValueError: it has more than `MOST_PIXELS`, floating-point or 32-bit values, or is not an image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bounded below, before decoding
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise _TooLargeError(
                        f"The image has {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million; "
                        "make it smaller."
                    )
                image.load()
                upright = to_eight_bits(ImageOps.exif_transpose(image), "The image", image.format)
    except (_TooLargeError, FileError):
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"The image has far more than {MOST_PIXELS // 10**6} million pixels; make it smaller."
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ValueError("This file cannot be read as an image; choose a PNG, JPEG or WebP file.") from error
    return upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB")


class _TooLargeError(ValueError):
    """An image with too many pixels."""


def read_drawing(address: str) -> Image.Image | None:
    """Read a drawing from the canvas, a PNG as a data address; None if it is empty.

    Raises:
        ValueError: it is not a drawing, or too large.
    """
    if not address.startswith(DRAWING) or len(address) > MOST_DRAWING:
        raise ValueError("The drawing could not be read; clear it and draw again.")
    try:
        image = decode(base64.b64decode(address[len(DRAWING) :], validate=True)).convert("L")
    except (binascii.Error, ValueError) as error:
        raise ValueError("The drawing could not be read; clear it and draw again.") from error
    return image if image.getextrema()[1] else None


def as_digit(image: Image.Image) -> Image.Image:
    """Convert an image to a digit as in MNIST: 28 x 28, white on black, its strokes centred by mass in 20 x 20 pixels.

    An image of 28 x 28 pixels is kept as it is, so that a downloaded adversarial digit can be read again.
    """
    grey = image.convert("L")
    if grey.size == (SIDE, SIDE):
        return grey
    grey.thumbnail((512, 512), Image.Resampling.BOX)
    levels = np.asarray(grey, dtype=np.float64) / 255
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    background = float(np.median(border))
    if background > 0.5:  # dark strokes on a bright page
        levels, background = 1 - levels, 1 - background
    levels = np.clip((levels - background) / max(float(levels.max()) - background, 1e-6), 0, 1)
    rows, columns = (np.flatnonzero((levels > DARK).any(axis)) for axis in (1, 0))
    if not len(rows):
        return Image.new("L", (SIDE, SIDE))
    cut = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = INSIDE / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    small = Image.fromarray((cut * 255).round().astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    return _centred(np.asarray(small))


def _centred(small: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    """Place strokes on a black square so that their centre of mass is in its middle, as far as they fit."""
    height, width = small.shape
    top = _offset(small.sum(1, dtype=np.float64), SIDE - height)
    left = _offset(small.sum(0, dtype=np.float64), SIDE - width)
    square = np.zeros((SIDE, SIDE), dtype=np.uint8)
    square[top : top + height, left : left + width] = small
    return Image.fromarray(square)


def _offset(mass: np.ndarray[tuple[int, ...], np.dtype[np.float64]], most: int) -> int:
    """Where strokes begin along an axis so that their centre of mass is in the middle; at most `most`."""
    centre = float((mass * np.arange(len(mass))).sum() / max(mass.sum(), 1.0))
    return min(max(round((SIDE - 1) / 2 - centre), 0), most)
