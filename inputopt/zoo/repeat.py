"""Making a picture again from the recipe in its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from inputopt.files import FileError
from inputopt.pictures import accentuate, dream, invert, map_elites, visualize, zoom
from inputopt.pictures.picture import Picture
from inputopt.pictures.provenance import make_again, read_recipe
from inputopt.search.loop import Watch
from inputopt.zoo.library import load

MODULES = (accentuate, dream, invert, map_elites, visualize, zoom)
"""The modules with functions that make pictures: importing one registers its functions with `make_again`."""


def repeat(
    path: str | Path,
    model: nn.Module | None = None,
    files: Mapping[str, Any] | None = None,
    *,
    watch: Watch | None = None,
) -> Picture:
    """Make a picture again from the recipe in its PNG file.

    The bytes are the same with the versions and the number of threads in `recipe["versions"]`.

    Args:
        path: a PNG file written by `Picture.save`.
        model: the network, if the name in the recipe is not that of a shipped network or a file.
        files: files that the recipe names but that have moved, by argument: {"photo": "china.jpg"}.
        watch: called at every step.

    Returns:
        The picture [C, H, W], with the recipe of the file.

    Raises:
        FileError: the file has no recipe, or one of a figure, or a file that it names is missing.
        ValueError, TypeError: the recipe was modified, or the network is not the one that made the picture.
    """
    recipe = read_recipe(path)
    if "arguments" in recipe:
        raise FileError(f"{path} is a figure that a command made; run `inputopt repeat {path}` to make it again.")
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch module, not {type(model).__name__}; its bounds come from the recipe.")
    return repeat_recipe(recipe, model, files, watch)


def repeat_recipe(
    recipe: Mapping[str, Any],
    model: nn.Module | None = None,
    files: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Picture:
    """Make a picture again from a recipe that was read already; arguments and errors as for `repeat`."""
    return make_again(recipe, lambda name: _find(name) if model is None else model, files, watch)


def _find(name: str) -> nn.Module:
    if ":" in name:
        raise ValueError(f"The picture was made with a network built by {name}; build it and give it as model=.")
    return load(name)
