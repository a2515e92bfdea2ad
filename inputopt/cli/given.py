"""What the user names: a network, and inputs with their classes."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.files import FileError
from inputopt.pictures.picture import read_photo
from inputopt.zoo.digits import load_digits
from inputopt.zoo.library import load

IMAGES = (".png", ".bmp", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif")


def add_model_and_data(command: argparse.ArgumentParser, count: int) -> None:
    """The options that name a network and inputs."""
    command.add_argument(
        "--model", default="digits-mlp", help="a shipped network, a file, or package.module:function (%(default)s)"
    )
    command.add_argument(
        "--data", default="digits", help="digits, an .npz with x and y, or a folder of classes (%(default)s)"
    )
    command.add_argument("--count", type=int, default=count, help="how many inputs, from the first on (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="what all chance is drawn from (%(default)s)")
    command.add_argument("--out", default="out", help="folder for pictures and reports (%(default)s)")
    command.add_argument("--json", action="store_true", help="print plain values instead of a table")


def find_model(name: str) -> nn.Module:
    """A shipped network, one from a file, or what `package.module:function` returns.

    Raises:
        ValueError, FileError: there is no such network, or the function does not return a module.
    """
    place, colon, function = name.partition(":")
    if not colon or "/" in name or "\\" in name:
        return load(name)
    sys.path.insert(0, str(Path.cwd()))
    try:
        made = getattr(importlib.import_module(place), function)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Cannot call {function}() of {place} ({error}); check the name.") from error
    finally:
        sys.path.pop(0)
    if not isinstance(made, nn.Module):
        raise ValueError(f"{name} must return a torch module, not {type(made).__name__}.")
    return made


def find_data(name: str, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` inputs [B, ...] with their classes [B].

    Raises:
        FileError: a file or folder that cannot be read as such.
    """
    checks.whole("--count", count)
    if name == "digits":
        data = load_digits()
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.held_y)))  # the classes mixed
        x, y = data.held_x[order], data.held_y[order]
    elif Path(name).is_dir():
        x, y = _from_folder(Path(name))
    else:
        x, y = _from_npz(Path(name))
    return x[:count], y[:count]


def _from_npz(path: Path) -> tuple[Tensor, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as held:
            x, y = torch.from_numpy(held["x"]), torch.from_numpy(held["y"])
    except FileNotFoundError as error:
        raise FileError(f"There is no file or folder {path}; check the name.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path} must be an .npz with arrays x and y ({error}).") from error
    return (x.float() / 255 if x.dtype == torch.uint8 else x.float()), y


def _from_folder(folder: Path) -> tuple[Tensor, Tensor]:
    """A subfolder a class: numbers name their class, other names are counted in their order."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    numbers = {
        name: int(name) if all(other.isdigit() for other in names) else index for index, name in enumerate(names)
    }
    images: list[Tensor] = []
    classes: list[int] = []
    for name in names:
        for path in sorted(folder.joinpath(name).iterdir()):
            if path.suffix.lower() in IMAGES:
                images.append(read_photo(path))
                classes.append(numbers[name])
    if not images:
        raise FileError(f"{folder} holds no images in subfolders; make a subfolder for each class.")
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise FileError(f"The images in {folder} have different sizes ({sorted(shapes)[:3]}); make them equal.")
    return torch.stack(images), torch.tensor(classes)
