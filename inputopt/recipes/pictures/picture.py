"""Pictures in and out: photos become tensors in [0, 1], results become PNGs that carry how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin, UnidentifiedImageError
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


def to_image(x: Tensor, bounds: tuple[float, float] = (0.0, 1.0)) -> Image.Image:
    """A tensor [C, H, W] with one channel or three as an image of 8 bits, rounded to the nearest level."""
    if len(x) not in (1, 3):
        raise ValueError(f"A picture has one channel or three, not {len(x)}.")
    low, high = bounds
    levels = ((x.detach().cpu().double() - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return Image.fromarray(levels[0]) if len(levels) == 1 else Image.fromarray(np.moveaxis(levels, 0, -1))


def read_photo(photo: str | Path | Image.Image | Tensor, channels: int | None = None) -> Tensor:
    """A photo as float32 [C, H, W]: a tensor as it is, an image or file in [0, 1].

    Args:
        photo: a tensor [C, H, W], a Pillow image or a path.
        channels: 1 for grey or 3 for RGB; what the file has if not given.

    Raises:
        FileError: not a file that can be read as an image.
        ValueError: a tensor of another shape, or with NaN.
    """
    if isinstance(photo, Tensor):
        if photo.ndim != 3 or 0 in photo.shape:
            raise ValueError(f"photo must have shape [C, H, W], not {list(photo.shape)}.")
        return checks.finite("photo", photo)
    if not isinstance(photo, (str, Path, Image.Image)):
        raise TypeError(f"photo must be a tensor, a Pillow image or a path, not {type(photo).__name__}.")
    image = photo if isinstance(photo, Image.Image) else _open(Path(photo))
    wanted = channels or (1 if image.mode in ("1", "L", "LA", "I", "F", "I;16", "I;16B") else 3)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().astype(np.uint8))
    values = np.asarray(image.convert("L" if wanted == 1 else "RGB"), dtype=np.float32) / 255
    return torch.from_numpy(values).reshape(*values.shape[:2], wanted).movedim(-1, 0).contiguous()


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path}; check the name.") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path} cannot be read as an image ({error}).") from error
