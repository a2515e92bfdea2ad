"""Pictures in and out: photos become tensors in [0, 1], results become PNGs that carry how they were made."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from inputopt import checks
from inputopt.files import FileError, replacing

Photo: TypeAlias = "Tensor | Image.Image | str | Path | np.ndarray[Any, Any]"
"""A photo as users give one: numbers [C, H, W] in the network's bounds, or an image: a file, a Pillow image, or an
array of levels from 0 to 255 in uint8, [H, W], [H, W, C] or [C, H, W].
"""

Bounds: TypeAlias = "tuple[float | Tensor, float | Tensor]"
"""What is black and what is white: numbers, or tensors [C] or of any shape that broadcasts to a picture [C, H, W]."""


@dataclass(frozen=True)
class Picture:
    """A picture and what made it.

    Attributes:
        x: [C, H, W], one channel or three, inside `bounds`.
        recipe: model, settings, seed and versions, in plain values; `recipe.py` writes it and makes the picture again.
        bounds: what is black and what is white.
    """

    x: Tensor
    recipe: Mapping[str, Any] = field(default_factory=dict)
    bounds: Bounds = (0.0, 1.0)

    def save(self, path: str | Path) -> None:
        """Write a PNG; the recipe goes along as its text.

        Raises:
            FileError: the place cannot be written to, or the name does not end in .png.
        """
        if Path(path).suffix.lower() != ".png":
            raise FileError(f"Pictures are saved as PNG; give {path} a name that ends in .png.")
        text = PngImagePlugin.PngInfo()
        text.add_itxt("inputopt", json.dumps(dict(self.recipe)))
        with replacing(path) as temporary:
            to_image(self.x, self.bounds).save(temporary, pnginfo=text)


STRIP = 256  # rows that are turned into levels at a time, so that a large picture is never held as float64


def to_image(x: Tensor, bounds: Bounds = (0.0, 1.0)) -> Image.Image:
    """A tensor [C, H, W] with one channel or three as an image of 8 bits, rounded to the nearest level."""
    if len(x) not in (1, 3):
        raise ValueError(f"A picture has one channel or three, not {len(x)}.")
    low, high = ends(x, bounds)
    levels = torch.empty(*x.shape[1:], len(x), dtype=torch.uint8)
    for top in range(0, x.shape[1], STRIP):
        strip, black, white = (each[:, top : top + STRIP].detach().cpu().double() for each in (x, low, high))
        levels[top : top + STRIP] = ((strip - black) / (white - black) * 255).round().clamp(0, 255).movedim(0, -1)
    return Image.fromarray(levels[..., 0].numpy() if len(x) == 1 else levels.numpy())


def ends(x: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Black and white of each number of a picture [C, H, W]; float64 in main memory, without taking any of it up."""
    low, high = (torch.as_tensor(end, dtype=torch.float64, device="cpu") for end in bounds)
    low, high = (end.reshape(-1, 1, 1) if end.ndim == 1 else end for end in (low, high))
    return low.expand(x.shape), high.expand(x.shape)


def read_photo(photo: Photo, channels: int | None = None) -> Tensor:
    """A photo as float32 [C, H, W]: numbers as they are, an image in [0, 1].

    Args:
        photo: numbers [C, H, W] of any floating-point type, or an image: a Pillow image, a path, an array of uint8.
        channels: 1 for grey or 3 for RGB; what the image has if not given.

    Raises:
        FileError: not a file that can be read as an image, or one of more than `MOST_PIXELS`.
        ValueError: numbers of another shape, or with NaN.
    """
    levels = read_levels(photo, channels)
    return levels if levels.is_floating_point() else levels.float().div_(255)


def read_levels(photo: Photo, channels: int | None = None) -> Tensor:
    """As `read_photo`, but images stay what they are, levels from 0 to 255 in uint8: a quarter of the memory.

    A photo is turned the way its EXIF tag says, CMYK becomes RGB, 16 bits become 8, and transparency is left out.
    """
    if isinstance(photo, np.ndarray) and photo.dtype == np.uint8:
        photo = Image.fromarray(_rows_first(photo))
    if isinstance(photo, (Tensor, np.ndarray)):
        return _numbers(photo)
    if not isinstance(photo, (str, Path, Image.Image)):
        raise TypeError(f"photo must be a tensor, an array, a Pillow image or a path, not {type(photo).__name__}.")
    image = photo if isinstance(photo, Image.Image) else _open(Path(photo))
    _check_size(image, "The photo")
    image = ImageOps.exif_transpose(image)
    wanted = channels or (1 if image.mode in GREY else 3)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    values = np.array(image.convert("L" if wanted == 1 else "RGB"))
    return torch.from_numpy(values).reshape(*values.shape[:2], wanted).movedim(-1, 0).contiguous()


def _numbers(photo: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """A photo [C, H, W] that is numbers in the bounds already, of any floating-point type."""
    numbers = torch.tensor(photo) if isinstance(photo, np.ndarray) else photo.detach()
    if numbers.ndim != 3 or 0 in numbers.shape:
        raise ValueError(f"photo must have shape [C, H, W], not {list(numbers.shape)}.")
    if not numbers.is_floating_point():
        raise TypeError(f"photo must hold floating-point numbers in the bounds, not {numbers.dtype}.")
    if numbers.element_size() == 1:  # torch finds no least number of types of 8 bits
        numbers = numbers.float()
    # what was made in inference mode cannot be derived by
    return checks.finite("photo", numbers.clone() if numbers.is_inference() else numbers)


def _rows_first(levels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An image of uint8 as Pillow has it, [H, W] or [H, W, C]; an axis of 1, 3 or 4 is that of colours, the last first.

    Raises:
        ValueError: another shape.
    """
    if levels.ndim == 3 and levels.shape[2] not in COLOURS and levels.shape[0] in COLOURS:
        levels = levels.transpose(1, 2, 0)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[..., 0]
    if 0 in levels.shape or not (levels.ndim == 2 or (levels.ndim == 3 and levels.shape[2] in COLOURS)):
        raise ValueError(f"An image of uint8 must have shape [H, W, C] or [C, H, W], not {list(levels.shape)}.")
    return np.ascontiguousarray(levels)


COLOURS = (1, 3, 4)
"""Grey, RGB, and RGB with transparency."""

GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's modes without colour."""

MOST_PIXELS = 64_000_000
"""The largest photo that is read."""


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # the size is looked at before memory is spent
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
