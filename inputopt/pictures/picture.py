"""Pictures in and out: photos become tensors in [0, 1], results become PNGs that carry how they were made."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from inputopt import checks
from inputopt.files import FileError, replacing


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
    bounds: tuple[float, float] = (0.0, 1.0)

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


def to_image(x: Tensor, bounds: tuple[float, float] = (0.0, 1.0)) -> Image.Image:
    """A tensor [C, H, W] with one channel or three as an image of 8 bits, rounded to the nearest level."""
    if len(x) not in (1, 3):
        raise ValueError(f"A picture has one channel or three, not {len(x)}.")
    low, high = bounds
    levels = torch.empty(*x.shape[1:], len(x), dtype=torch.uint8)
    for top in range(0, x.shape[1], STRIP):
        strip = x[:, top : top + STRIP].detach().cpu().double()
        levels[top : top + STRIP] = ((strip - low) / (high - low) * 255).round().clamp(0, 255).movedim(0, -1)
    return Image.fromarray(levels[..., 0].numpy() if len(x) == 1 else levels.numpy())


def read_photo(photo: str | Path | Image.Image | Tensor, channels: int | None = None) -> Tensor:
    """A photo as float32 [C, H, W]: a tensor as it is, an image or file in [0, 1].

    Args:
        photo: a tensor [C, H, W], a Pillow image or a path.
        channels: 1 for grey or 3 for RGB; what the file has if not given.

    Raises:
        FileError: not a file that can be read as an image, or one of more than `MOST_PIXELS`.
        ValueError: a tensor of another shape, or with NaN.
    """
    levels = read_levels(photo, channels)
    return levels if levels.is_floating_point() else levels.float().div_(255)


def read_levels(photo: str | Path | Image.Image | Tensor, channels: int | None = None) -> Tensor:
    """As `read_photo`, but images and files stay what they are, levels from 0 to 255 in uint8: a quarter of the memory.

    A photo is turned the way its EXIF tag says, CMYK becomes RGB, 16 bits become 8, and transparency is left out.
    """
    if isinstance(photo, Tensor):
        if photo.ndim != 3 or 0 in photo.shape:
            raise ValueError(f"photo must have shape [C, H, W], not {list(photo.shape)}.")
        if not photo.is_floating_point():
            raise TypeError(f"photo must hold floating-point numbers in the bounds, not {photo.dtype}.")
        return checks.finite("photo", photo)
    if not isinstance(photo, (str, Path, Image.Image)):
        raise TypeError(f"photo must be a tensor, a Pillow image or a path, not {type(photo).__name__}.")
    image = photo if isinstance(photo, Image.Image) else _open(Path(photo))
    _check_size(image, "The photo")
    image = ImageOps.exif_transpose(image)
    wanted = channels or (1 if image.mode in GREY else 3)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    values = np.array(image.convert("L" if wanted == 1 else "RGB"))
    return torch.from_numpy(values).reshape(*values.shape[:2], wanted).movedim(-1, 0).contiguous()


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
