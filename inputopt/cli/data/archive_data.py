"""Labelled inputs in .npz archives with arrays x and y."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from inputopt import checks
from inputopt.cli.data.input_bounds import in_bounds
from inputopt.files import FileError, reading
from inputopt.nets.frozen import Frozen

Array = NDArray[Any]


def archive_labels(path: Path) -> tuple[Array, int]:
    """The classes in an archive, and the memory in bytes of its inputs, as float32 or wider.

    Raises:
        FileError: the file is not an .npz archive with matching arrays x and y.
    """
    if path.suffix.lower() in Image.registered_extensions():
        raise FileError(
            f"{path} is a single image; put it into a folder named after its class, such as photos/7/{path.name}, and "
            "give the folder photos."
        )
    if not zipfile.is_zipfile(path):
        raise FileError(f"{path} must be an .npz file with arrays x and y, or a folder with a subfolder per class.")
    with zipfile.ZipFile(path) as archive:
        shape, dtype = _header(path, archive, "x")
        _header(path, archive, "y")
    if dtype.kind != "f" and dtype != np.uint8:
        raise FileError(f"x in {path} must be floating-point values within the bounds, or uint8 levels, not {dtype}.")
    with np.load(path, allow_pickle=False) as held:
        labels = np.asarray(held["y"])
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileError(f"y in {path} must be class indices of shape [B], not {labels.dtype} {list(labels.shape)}.")
    if len(shape) < 1 or shape[0] != len(labels):
        raise FileError(
            f"x and y in {path} must have the same length, not shapes {list(shape)} and {list(labels.shape)}."
        )
    if not len(labels) or 0 in shape:
        raise FileError(f"{path} contains no inputs; give a file with at least one.")
    if labels.min() < 0 or labels.max() >= 2**31:
        raise FileError(
            f"y in {path} must be class indices from 0 to 2**31 - 1, but ranges from {labels.min()} to {labels.max()}."
        )
    return labels, prod(shape) * max(4, dtype.itemsize)


def _header(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an array in an archive; its values are not read."""
    try:
        file: IO[bytes] = archive.open(f"{name}.npy")
    except KeyError:
        there = ", ".join(each.removesuffix(".npy") for each in archive.namelist()[: checks.MAX_NAMES]) or "nothing"
        remedy = "add the labels as y" if there == "x" else "rename its arrays"
        raise FileError(f"{path} must contain arrays named x and y, but contains {there}; {remedy}.") from None
    with file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def archive_inputs(net: Frozen, path: Path, rows: Array) -> Tensor:
    """The inputs x at these positions, [B, ...]; levels of uint8 are scaled to the network's bounds."""
    with reading(path, "an .npz file with arrays x and y"), np.load(path, allow_pickle=False) as held:
        x = held["x"][rows]
    made = checks.block(f"x in {path}", x)
    return in_bounds(net, made.float() / 255) if made.dtype == torch.uint8 else made.float()
