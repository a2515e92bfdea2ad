"""Making a picture again from the recipe in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from inputopt.files import FileError
from inputopt.pictures import accentuate, dream, invert, map_elites, visualize, zoom
from inputopt.pictures.picture import Picture
from inputopt.pictures.picture_quality import SearchSettings
from inputopt.pictures.provenance import read_recipe
from inputopt.pictures.reproduction import files_beside, make_again
from inputopt.search.loop import Watch
from inputopt.zoo.library import load

OF_QUALITY = tuple(field.name for field in fields(SearchSettings))
"""Settings of `visualize` that follow from its quality."""

MODULES = (accentuate, dream, invert, map_elites, visualize, zoom)
"""The modules with functions that make pictures: importing one registers its functions with `make_again`."""


def repeat(
    path: str | Path,
    model: nn.Module | None = None,
    files: Mapping[str, Any] | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Picture:
    """Make a picture again from the recipe in its PNG file, or a variation of it.

    The bytes are the same with the versions and the number of threads in `recipe["versions"]`.

    Args:
        path: a PNG file written by `Picture.save`.
        model: the network, if the name in the recipe is not that of a shipped network or a file.
        files: files that the recipe names but that have moved, by argument: {"photo": "china.jpg"}. A file that lies
            beside the picture is found.
        changes: arguments of the function that made the picture, with other values: {"seed": 3, "steps": 64}, or
            {"objective": Channel("blocks.5", 7)}; all others stay as they are. With "quality", the settings that follow
            from it change too.
        watch: called at every step.

    Returns:
        The picture [C, H, W], with the recipe of the file, or with `changes` its own.

    Raises:
        FileError: the file has no recipe, or one of a figure, or a file that it names is missing.
        ValueError, TypeError: the recipe was modified, the network is not the one that made the picture, or a change
            is not an argument of that function.
    """
    recipe = read_recipe(path)
    if "arguments" in recipe:
        raise FileError(f"{path} is a figure that a command made; run `inputopt repeat {path}` to make it again.")
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch module, not {type(model).__name__}; its bounds come from the recipe.")
    beside = files_beside(recipe, Path(path).parent)
    return repeat_recipe(recipe, model, {**beside, **(files or {})}, watch, changes)


def repeat_recipe(
    recipe: Mapping[str, Any],
    model: nn.Module | None = None,
    files: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Picture:
    """Make a picture again from a recipe that was read already; arguments and errors as for `repeat`."""
    if changes and "quality" in changes:  # the recipe holds the values that its quality chose, which would stay
        settings = {name: value for name, value in recipe["settings"].items() if name not in OF_QUALITY}
        recipe = {**recipe, "settings": settings}
    return make_again(recipe, lambda name: _find(name) if model is None else model, files, watch, changes)


def _find(name: str) -> nn.Module:
    if ":" in name:
        raise ValueError(f"The picture was made with a network built by {name}; build it and give it as model=.")
    return load(name)
