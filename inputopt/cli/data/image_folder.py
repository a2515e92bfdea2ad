"""Folders of images with a subfolder per class: listing, reading, and scaling to the size that a network takes."""

from __future__ import annotations

import argparse
import re
import warnings
from itertools import pairwise
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inputopt.cli.memory_limits import check_memory
from inputopt.cli.parsing import side_or_shape
from inputopt.errors import MAX_NAMES
from inputopt.files import FileError, reading
from inputopt.nets.frozen import Frozen
from inputopt.nets.model_errors import InputShapeError, first_line, in_words
from inputopt.pictures.picture import image_size, read_photo
from inputopt.search.inputs import InputoptWarning
from inputopt.zoo.imagenet import TRAINED_AT

IMAGES = (".png", ".bmp", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
"""Suffixes of the files that are read as images."""

Size = tuple[int, int]
"""Height and width in pixels."""

SIDES = (224, 32, 64, 28, 256, 299, 96, 128, 384, 48, 160, 240, 260, 300, 320, 336, 448, 512)
"""Usual sides of square images, which are tried to find the one that a network takes."""

UNUSUAL = (133, 197)
"""Height and width that only networks for images of any size take."""


def add_resize(command: Any) -> None:
    """Add `--resize`."""
    command.add_argument(
        "--resize",
        type=resize_to,
        help="scale images to this side, or height x width, such as 224 or 224x160: the shorter side with "
        "antialiasing, and the centre is cropped; the scaled images are the inputs (kept as they are)",
    )


def resize_to(text: str) -> Size:
    """Parse one side of a square, or height x width.

    >>> resize_to("28"), resize_to("224x160")
    ((28, 28), (224, 160))
    """
    if re.fullmatch(r"\d+,\d+", text):
        raise argparse.ArgumentTypeError(f"must be height x width, such as {text.replace(',', 'x')}, not {text!r}.")
    sides = side_or_shape(text)
    try:
        return image_size(sides)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("resize ")) from None


def list_images(folder: Path) -> tuple[list[Path], NDArray[Any], dict[int, str]]:
    """Images, a number for the class of each, and the names of all classes by number, in sorted order.

    The classes are the subfolders. Their numbers are their names if all are decimal, else their positions in sorted
    order; which class of a network each is, is found later (`class_matching`). A subfolder without images that is not
    empty is left out with a warning.

    Raises:
        FileError: there are no images in subfolders, a number is too large for a class, or two are the same number.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
        if names and int(names[-1]) >= 2**31:
            raise FileError(f"{folder} has a subfolder {names[-1]}, which is too large for a class index; rename it.")
        numbers = [int(name) for name in names]
        twice = next((index for index, (one, two) in enumerate(pairwise(numbers)) if one == two), None)
        if twice is not None:
            raise FileError(
                f"{folder} has subfolders {names[twice]} and {names[twice + 1]}, which are the same number; rename one "
                "of them, or put their images into one."
            )
    else:
        numbers = list(range(len(names)))
    files: list[Path] = []
    labels: list[int] = []
    without: list[str] = []
    for number, name in zip(numbers, names, strict=True):
        found = sorted(path for path in folder.joinpath(name).iterdir() if path.suffix.lower() in IMAGES)
        files += found
        labels += [number] * len(found)
        if not found and any(not path.name.startswith(".") for path in folder.joinpath(name).iterdir()):
            without.append(name)
    if not files:
        raise FileError(f"{folder} contains no images in subfolders; put the images of each class into a subfolder.")
    if without:
        warnings.warn(
            f"{folder} has subfolders without a file that ends in {', '.join(IMAGES[:-1])} or {IMAGES[-1]}, which are "
            f"left out: {', '.join(without[:MAX_NAMES])}{' and others' * (len(without) > MAX_NAMES)}.",
            InputoptWarning,
            stacklevel=2,
        )
    return files, np.array(labels), dict(zip(numbers, names, strict=True))


def channels_of(net: Frozen, size: Size | None = None) -> int | None:
    """1 or 3, if the network is known to take images of that many channels; else None.

    These are the channels of its first convolution; 1 if its first layer is linear with an input per pixel of `size`.
    """
    shape = net.first_weights() or ()
    if size is not None and len(shape) == 2 and shape[1] == size[0] * size[1]:
        return 1
    return shape[1] if net.convolves and len(shape) == 4 and shape[1] in (1, 3) else None


def read_images(net: Frozen, files: list[Path], resize: Size | None) -> Tensor:
    """Read images in [0, 1], scaled to `resize`, or of one size if it is None, [B, C, H, W].

    Raises:
        FileError: an image cannot be read, or has another size or other channels than the first.
    """
    channels, first, x = channels_of(net, resize), None, torch.empty(0)
    for index, path in enumerate(files):
        with reading(path, "an image"):
            image = read_photo(path, channels, resize)
        if first is None:
            first = image
            check_memory(f"{len(files)} images like {path}", 12.0 * len(files) * image.numel(), "a smaller --count")
            x = torch.empty(len(files), *image.shape)
        if image.shape[0] != first.shape[0]:
            raise FileError(
                f"{path} has {image.shape[0]} channels, but {files[0]} has {first.shape[0]}; give images that are all "
                "grey or all in colour."
            )
        if image.shape != first.shape:
            raise FileError(
                f"{path} is {in_words(image.shape)}, but {files[0]} is {in_words(first.shape)}; scale them with "
                f"{_flag(accepted_side(net, first.shape[0]))}, or give images of equal size."
            )
        x[index] = image
    return x


def explain_size(error: InputShapeError, net: Frozen, x: Tensor) -> InputShapeError:
    """The error for images [B, C, H, W] that the network does not take, with `--resize` if another size would do."""
    side = accepted_side(net, x.shape[1])
    if side is None or (side, side) == x.shape[2:]:
        return error
    said = first_line(error.__cause__ or error)
    return InputShapeError(
        f"The model does not accept images of {in_words(x.shape[1:])} ({said}); scale them with {_flag(side)}."
    )


def accepted_side(net: Frozen, channels: int) -> int | None:
    """A side of the square images that the network takes.

    It is the one that a network of the extra `images` was trained on, the one with as many pixels as the first linear
    layer has inputs, or a usual one that the network runs on; None if it takes any size, or none of these.
    """
    if net.name in TRAINED_AT:
        return TRAINED_AT[net.name]
    if _takes(net, channels, *UNUSUAL):
        return None
    shape = net.first_weights() or ()
    tried = [(channels, side) for side in SIDES]
    if len(shape) == 2:  # colour images are converted to grey for a linear layer with one input per pixel
        tried = [(channels, isqrt(shape[1] // channels)), (1, isqrt(shape[1])), *tried]
    return next((side for depth, side in tried if side and _takes(net, depth, side, side)), None)


def _takes(net: Frozen, channels: int, height: int, width: int) -> bool:
    x = torch.zeros(1, channels, height, width, dtype=net.dtype, device=net.device)
    try:
        with torch.no_grad():
            net(x)
    except ValueError:  # the size, or an error of the model's code, is no reason to suggest it
        return False
    return True


def _flag(side: int | None) -> str:
    return "--resize SIDE" if side is None else f"--resize {side}"
