"""Tensors as 8-bit images: conversion to Pillow images, PNG bytes and data URIs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image  # Pillow loads with the first image: every result of an attack imports this module

Bounds: TypeAlias = tuple[float | Tensor, float | Tensor]
"""(black, white): numbers, or tensors [C] or of any shape that broadcasts to a picture [C, H, W]."""

SLACK = 0.002  # of the range: half of an 8-bit level

STRIP = 256  # rows converted to levels at a time, so that a large picture is never held as float64

THUMBNAIL = 224
"""The longer side of a thumbnail, in pixels, at most."""

SMALLEST = 84
"""The longer side of a thumbnail, in pixels, at least: smaller images are enlarged."""


def to_image(x: Tensor, bounds: Bounds = (0.0, 1.0)) -> Image.Image:
    """Convert a tensor [C, H, W] with one channel or three to an 8-bit image, rounded to the nearest level."""
    from PIL import Image

    if len(x) not in (1, 3):
        raise ValueError(f"An image must have one channel or three, not {len(x)}.")
    low, high = ends(x, bounds)
    levels = torch.empty(*x.shape[1:], len(x), dtype=torch.uint8)
    for top in range(0, x.shape[1], STRIP):
        strip, black, white = (each[:, top : top + STRIP].detach().cpu().double() for each in (x, low, high))
        levels[top : top + STRIP] = ((strip - black) / (white - black) * 255).round().clamp(0, 255).movedim(0, -1)
    return Image.fromarray(levels[..., 0].numpy() if len(x) == 1 else levels.numpy())


def check_range(x: Tensor, bounds: Bounds) -> None:
    """Check that a picture [C, H, W] lies between black and white, up to a small error.

    Raises:
        ValueError: it does not.
    """
    low, high = ends(x, bounds)
    least, most = (float(end) for end in x.detach().aminmax())
    black, white = float(low.min()), float(high.max())
    if least < black - SLACK * (white - black) or most > white + SLACK * (white - black):
        raise ValueError(
            f"The image has values from {least:.4g} to {most:.4g}, outside of black and white, {black:.4g} and "
            f"{white:.4g}; give its bounds, such as Picture(x, bounds=model.bounds)."
        )


def ends(x: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Black and white of each element of a picture [C, H, W], as float64 CPU tensors expanded without a copy."""
    low, high = (torch.as_tensor(end, dtype=torch.float64, device="cpu") for end in bounds)
    low, high = (end.reshape(-1, 1, 1) if end.ndim == 1 else end for end in (low, high))
    return low.expand(x.shape), high.expand(x.shape)


def are_images(x: Tensor, bounds: Bounds) -> bool:
    """Whether x [B, ...] can be saved as images: [B, C, H, W] with one channel or three, and finite bounds."""
    finite = all(bool(torch.isfinite(torch.as_tensor(end)).all()) for end in bounds)
    return x.ndim == 4 and x.shape[1] in (1, 3) and finite


def thumbnail(x: Tensor, bounds: Bounds = (0.0, 1.0)) -> str:
    """A PNG data URI of an image [C, H, W]; its longer side has `SMALLEST` to `THUMBNAIL` pixels."""
    from PIL import Image

    image = to_image(x, bounds)
    longest = max(image.size)
    if longest > THUMBNAIL:
        image.thumbnail((THUMBNAIL, THUMBNAIL))
    elif longest < SMALLEST:
        factor = -(-SMALLEST // longest)
        image = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
