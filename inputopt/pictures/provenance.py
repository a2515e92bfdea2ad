"""Recipes: JSON descriptions of how a picture was made, from which it can be reproduced.

A function that makes pictures only needs the decorator:

    @repeatable(photo=FILE)
    def dream(model, photo, layers, *, seed=0, watch=None) -> Picture:
        ...
        return Picture(x, bounds=net.bounds)

The first argument is the model; every other one is written to the recipe under its name, including defaults, except
those in `EXCLUDED_SETTINGS`, which do not affect the picture. An argument that is not a JSON value needs a `Kind` that
serialises and deserialises it. `make_again` calls the function with the arguments in a recipe.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from inputopt.files import FileError
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.nets.naming import fingerprint, name_of
from inputopt.pictures.picture import Photo, Picture
from inputopt.search.loop import Interrupted
from inputopt.versions import package_versions

EXCLUDED_SETTINGS = ("watch", "progress")
"""Arguments that do not affect the picture."""


class Album(Protocol):
    """A frozen dataclass with a field `pictures`, besides other results."""

    @property
    def pictures(self) -> list[Picture]:
        """All pictures."""


Arguments = ParamSpec("Arguments")
Made = TypeVar("Made", bound="Picture | list[Picture] | Album")


@dataclass(frozen=True)
class Kind:
    """How an argument of a picture function is converted to a JSON value (`write`) and back (`read`)."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class Maker:
    """A function that makes pictures, and the kinds of its arguments that are not JSON values."""

    function: Callable[..., Any]
    kinds: Mapping[str, Kind]


MAKERS: dict[str, Maker] = {}
"""All functions that make pictures, by name."""


def repeatable(**kinds: Kind) -> Callable[[Callable[Arguments, Made]], Callable[Arguments, Made]]:
    """Decorator that adds recipes to the pictures of a function; `kinds` are for arguments that are not JSON values.

    If the function returns several pictures, the recipe of each may hold "settings" that reproduce it alone, or its
    index as "picture" if they can only be made together. On Ctrl-C the pictures so far are attached to `Interrupted`.
    """

    def decorate(function: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
        @functools.wraps(function)
        @default_modes()
        def recorded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
            try:
                found = function(*args, **kwargs)
            except Interrupted as stopped:
                _, net = next(iter(inspect.signature(function).bind(*args, **kwargs).arguments.items()))
                recipe = {**recipe_of(function.__name__, *args, **kwargs), "interrupted": True}
                shown = stopped.pictures or [Picture(x, bounds=frozen(net).bounds) for x in stopped.result.x]
                stopped.pictures = [_with_recipe(picture, recipe) for picture in shown]
                raise
            recipe = recipe_of(function.__name__, *args, **kwargs)
            pictures = [_with_recipe(picture, recipe) for picture in pictures_of(found)]
            if isinstance(found, Picture):
                return cast(Made, pictures[0])
            return cast(Made, pictures if isinstance(found, list) else replace(cast(Any, found), pictures=pictures))

        MAKERS[function.__name__] = Maker(recorded, kinds)
        return recorded

    return decorate


def pictures_of(found: Picture | list[Picture] | Album) -> list[Picture]:
    """All pictures that a function made, as a list."""
    if isinstance(found, Picture):
        return [found]
    return found if isinstance(found, list) else found.pictures


def _with_recipe(picture: Picture, recipe: Mapping[str, Any]) -> Picture:
    """Add the recipe to a picture and keep the entries that its function set itself.

    A recipe from a nested picture function is replaced by that of the outer one.
    """
    extra = {} if "made by" in picture.recipe else picture.recipe
    settings = {**recipe["settings"], **extra.get("settings", {})}
    return replace(picture, recipe={**recipe, **extra, "settings": settings})


def recipe_of(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The recipe of a call of the picture function `name` with these arguments."""
    maker = MAKERS[name]
    bound = inspect.signature(maker.function).bind(*args, **kwargs)
    bound.apply_defaults()
    (_, model), *others = bound.arguments.items()
    settings = {key: _written(value, maker.kinds.get(key)) for key, value in others if key not in EXCLUDED_SETTINGS}
    return {"made by": name, "model": described(model), "settings": settings, "versions": versions()}


def described(model: Any) -> dict[str, Any]:
    """A model's name, weight fingerprint, input bounds, mean and standard deviation."""
    if isinstance(model, Frozen):
        return {**model.described(), "bounds": [_plain_bound(bound) for bound in model.bounds]}
    return {"name": name_of(model), "weights": fingerprint(model), "bounds": [0.0, 1.0], "mean": 0.0, "std": 1.0}


def _plain_bound(bound: Any) -> Any:
    return bound.tolist() if isinstance(bound, Tensor) else float(bound)


def versions() -> dict[str, Any]:
    """Package versions and number of threads, on which the bytes of a picture depend as well."""
    return {**package_versions("inputopt", "torch", "pillow"), "threads": torch.get_num_threads()}


def _written(value: Any, kind: Kind | None) -> Any:
    if value is None or kind is None:
        return json.loads(json.dumps(value, default=_plain))  # tuples become lists
    return kind.write(value)


def _plain(value: Any) -> Any:
    """Convert numpy and torch values for JSON; any other type raises a TypeError."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        return value.tolist()
    raise TypeError(f"A recipe can only store plain values, not {type(value).__name__}.")


# ---------------------------------------------------------------------------------------------------------------- files
def digest_of_photo(value: Photo) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a photo's file, or of its values."""
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Image.Image):
        data = value.tobytes()
    else:
        data = Path(value).read_bytes()
    return hashlib.sha256(data).hexdigest()[:16]


def _write_file(value: Photo) -> dict[str, Any]:
    return {"file": str(value) if isinstance(value, (str, Path)) else None, "sha256": digest_of_photo(value)}


class NeedsFileError(FileError):
    """A file that a recipe needs has to be given; the message is continued with how."""


def _read_file(value: Any) -> Path:
    try:
        path, digest = value["file"], value["sha256"]
    except (TypeError, KeyError) as error:
        raise FileError(
            "The recipe does not name its source file, so it was modified; use the original image."
        ) from error
    if path is None:
        raise NeedsFileError("The image was made from a tensor or array, not a file; give a file with the same values")
    if not Path(path).is_file() or digest_of_photo(path) != digest:
        raise NeedsFileError(f"{path}, which the image was made from, is missing or has changed; give the file to use")
    return Path(path)


FILE = Kind(_write_file, _read_file)
"""A photo, recorded by its file name and SHA-256 hash, or by the hash alone if it is no file."""


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read the recipe in a PNG file; that of a figure holds the command-line `arguments` that made it.

    Raises:
        FileError: the file does not exist or holds no recipe.
    """
    try:
        with Image.open(path) as image:
            text = image.info.get("inputopt")
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path}; check the name.") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path} cannot be read as an image ({error}).") from error
    try:
        recipe = json.loads(text) if isinstance(text, str) else None
    except ValueError as error:
        raise FileError(f"The recipe in {path} is damaged ({error}).") from error
    wanted = ({"made by", "model", "settings"}, {"made by", "arguments"})
    if not isinstance(recipe, dict) or not any(keys <= recipe.keys() for keys in wanted):
        raise FileError(
            f"{path} contains no inputopt recipe; give a PNG of a picture (an attack's recipe is in result.json)."
        )
    return recipe
