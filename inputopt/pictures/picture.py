"""Reading photos as tensors, and saving results as PNG files with their recipe in the metadata."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from inputopt import checks
from inputopt.files import FileError, replacing
from inputopt.images import Bounds as Bounds
from inputopt.images import check_range, thumbnail
from inputopt.images import ends as ends
from inputopt.images import to_image as to_image
from inputopt.pictures.eight_bits import to_eight_bits
from inputopt.summaries import Summarised, Summary, settings_text, shape_text

Photo: TypeAlias = Tensor | Image.Image | str | Path | np.ndarray[Any, Any]
"""A photo as input: a floating-point tensor or array [C, H, W] in the network's bounds, or an image: a file path, a
Pillow image, or a uint8 array of levels 0 to 255, [H, W], [H, W, C] or [C, H, W].
"""


@dataclass(frozen=True, repr=False)
class Picture(Summarised):
    """A picture and the recipe that reproduces it.

    Attributes:
        x: the image [C, H, W] inside `bounds`, with one channel or three.
        recipe: model, settings, seed and versions as JSON values; see `provenance.py`.
        bounds: the values of black and white.
    """

    x: Tensor
    recipe: Mapping[str, Any] = field(default_factory=dict)
    bounds: Bounds = (0.0, 1.0)

    def save(self, path: str | Path) -> None:
        """Write a PNG file with the recipe in its text metadata.

        Raises:
            FileError: the path cannot be written to, or does not end in .png.
            ValueError: the image does not lie inside `bounds`.
        """
        if Path(path).suffix.lower() != ".png":
            raise FileError(f"Images are saved as PNG; give a path that ends in .png, not {path}.")
        check_range(self.x, self.bounds)
        text = PngImagePlugin.PngInfo()
        text.add_itxt("inputopt", json.dumps(dict(self.recipe)))
        with replacing(path) as temporary:
            to_image(self.x, self.bounds).save(temporary, pnginfo=text)

    def _summary(self, images: bool) -> Summary:
        made, settings = self.recipe.get("made by"), self.recipe.get("settings", {})
        facts = [("", shape_text(self.x.shape)), ("made by", str(made) if made else "an unknown function")]
        model = self.recipe.get("model") or {}
        if model:
            facts.append(("on", str(model.get("name") or "an unnamed model")))
        if "interrupted" in self.recipe:
            facts.append(("", "unfinished"))
        details = [("settings", settings_text(settings))] if settings else []
        shown = [(thumbnail(self.x, self.bounds), "")] if images else []
        return Summary("Picture", facts, details, images=shown)


def read_photo(photo: Photo, channels: int | None = None, resize: int | Sequence[int] | None = None) -> Tensor:
    """Read a photo as a tensor [C, H, W]: numbers are kept, images become float32 in [0, 1].

    EXIF orientation is applied, CMYK is converted to RGB and 16 bits to 8, and the alpha channel is dropped.

    >>> read_photo(np.full((40, 60), 51, np.uint8), channels=3, resize=28).shape
    torch.Size([3, 28, 28])

    Args:
        photo: a tensor or array [C, H, W] of any floating-point dtype, or a Pillow image, a path or a uint8 array.
        channels: 1 for grey or 3 for RGB; the image's own if not given.
        resize: height and width in pixels, or one side of a square: the largest centred part of an image with these
            proportions is scaled to this size, by bilinear interpolation with antialiasing, and rounded to 8-bit
            levels, so that a PNG holds the result exactly. Its shorter side is kept whole.

    Raises:
        FileError: not a file that can be read as an image, one of more than 64 million pixels, or an image of
            floating-point or 32-bit values, of which none is known to be black or white.
        ValueError: numbers of another shape, or with NaN; `resize` is not one or two whole numbers of at least 1, or
            larger than 64 million pixels, or given for a photo that is not an image.
    """
    levels = read_levels(photo, channels, resize)
    return levels if levels.is_floating_point() else levels.float().div_(255)


def read_levels(photo: Photo, channels: int | None = None, resize: int | Sequence[int] | None = None) -> Tensor:
    """As `read_photo`, but images stay uint8 levels 0 to 255, which takes a quarter of the memory."""
    size = None if resize is None else image_size(resize)
    if isinstance(photo, np.ndarray) and photo.dtype == np.uint8:
        photo = Image.fromarray(_channels_last(photo))
    if isinstance(photo, (Tensor, np.ndarray)):
        if size is not None:
            raise ValueError("resize applies to images: a path, a Pillow image or a uint8 array; omit it for numbers.")
        return _numbers(photo)
    if not isinstance(photo, (str, Path, Image.Image)):
        raise TypeError(f"photo must be a tensor, an array, a Pillow image or a path, not {type(photo).__name__}.")
    image = photo if isinstance(photo, Image.Image) else _open(Path(photo))
    _check_size(image, "The photo")
    what = str(photo) if isinstance(photo, (str, Path)) else "The photo"
    image = to_eight_bits(ImageOps.exif_transpose(image), what, image.format)
    wanted = channels or (1 if image.mode in GREY else 3)
    image = image.convert("L" if wanted == 1 else "RGB")
    values = np.array(image if size is None else _resized(image, *size))
    return torch.from_numpy(values).reshape(*values.shape[:2], wanted).movedim(-1, 0).contiguous()


def image_size(resize: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of `resize`: one side of a square, or both.

    Raises:
        ValueError, TypeError: not one or two whole numbers of at least 1, or more than `MOST_PIXELS`.
    """
    sides = [checks.whole("resize", side) for side in (resize if isinstance(resize, (tuple, list)) else [resize])]
    if len(sides) not in (1, 2):
        raise ValueError(f"resize must be one side or (height, width), not {len(sides)} numbers.")
    if sides[0] * sides[-1] > MOST_PIXELS:
        raise ValueError(f"resize must be at most {MOST_PIXELS // 10**6} million pixels, not {sides[0]} x {sides[-1]}.")
    return sides[0], sides[-1]


def _resized(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest centred part of an image with the proportions height : width, scaled to this size."""
    cut = min(image.width, max(1, round(image.height * width / height)))
    rows = min(image.height, max(1, round(image.width * height / width)))
    left, top = (image.width - cut) // 2, (image.height - rows) // 2
    # cropped first: a long strip scaled whole could be larger than memory
    return image.crop((left, top, left + cut, top + rows)).resize((width, height), Image.Resampling.BILINEAR)


def _numbers(photo: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """Check a photo [C, H, W] given as floating-point numbers, and return it as a detached tensor."""
    numbers = torch.tensor(photo) if isinstance(photo, np.ndarray) else photo.detach()
    if numbers.ndim != 3 or 0 in numbers.shape:
        raise ValueError(f"photo must have shape [C, H, W], not {list(numbers.shape)}.")
    if not numbers.is_floating_point():
        raise TypeError(f"photo must contain floating-point values within the bounds, not {numbers.dtype}.")
    if numbers.element_size() == 1:  # torch has no minimum for 8-bit floats
        numbers = numbers.float()
    # autograd cannot use tensors that were made in inference mode
    return checks.finite("photo", numbers.clone() if numbers.is_inference() else numbers)


def _channels_last(levels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert a uint8 image to Pillow's layout, [H, W] or [H, W, C].

    An axis of length 1, 3 or 4 is taken as the channels; the last axis has precedence over the first.

    Raises:
        ValueError: another shape.
    """
    if levels.ndim == 3 and levels.shape[2] not in COLOURS and levels.shape[0] in COLOURS:
        levels = levels.transpose(1, 2, 0)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[..., 0]
    if 0 in levels.shape or not (levels.ndim == 2 or (levels.ndim == 3 and levels.shape[2] in COLOURS)):
        raise ValueError(f"A uint8 image must have shape [H, W, C] or [C, H, W], not {list(levels.shape)}.")
    return np.ascontiguousarray(levels)


COLOURS = (1, 3, 4)
"""Numbers of channels: grey, RGB and RGBA."""

GREY = ("1", "L", "LA", "La")
"""Pillow's greyscale modes of at most 8 bits."""

MOST_PIXELS = 64_000_000
"""Maximum number of pixels of a photo that is read."""


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # `_check_size` limits the size before any pixels are decoded
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(image, str(path))
                image.load()
                return image
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path}; check the name.") from error
    except FileError:
        raise
    except Image.DecompressionBombError as error:
        raise FileError(f"{path} is too large ({error}); make it smaller.") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileError(f"{path} cannot be read as an image ({error}).") from error


def _check_size(image: Image.Image, what: str) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        million = f"{MOST_PIXELS // 10**6} million"
        raise FileError(f"{what} has {width} x {height} pixels, more than {million}; make it smaller.")
    if not width * height:
        raise FileError(f"{what} has no pixels.")
