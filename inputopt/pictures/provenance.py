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
from torch import Tensor, nn

from inputopt import checks
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
            pictures = [_with_recipe(picture, recipe) for picture in _pictures(found)]
            if isinstance(found, Picture):
                return cast(Made, pictures[0])
            return cast(Made, pictures if isinstance(found, list) else replace(cast(Any, found), pictures=pictures))

        MAKERS[function.__name__] = Maker(recorded, kinds)
        return recorded

    return decorate


def _pictures(found: Picture | list[Picture] | Album) -> list[Picture]:
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
def _digest(value: Photo) -> str:
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
    return {"file": str(value) if isinstance(value, (str, Path)) else None, "sha256": _digest(value)}


class _NeedsFileError(FileError):
    """A file that a recipe needs has to be given; the message is continued with how."""


def _read_file(value: Any) -> Path:
    try:
        path, digest = value["file"], value["sha256"]
    except (TypeError, KeyError) as error:
        raise FileError(
            "The recipe does not name its source file, so it was modified; use the original image."
        ) from error
    if path is None:
        raise _NeedsFileError("The image was made from a tensor or array, not a file; give a file with the same values")
    if not Path(path).is_file() or _digest(path) != digest:
        raise _NeedsFileError(f"{path}, which the image was made from, is missing or has changed; give the file to use")
    return Path(path)


FILE = Kind(_write_file, _read_file)
"""A photo, recorded by its file name and SHA-256 hash, or by the hash alone if it is no file."""


# --------------------------------------------------------------------------------------------------------- reproduction
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


def make_again(
    recipe: Mapping[str, Any],
    find: Callable[[str], nn.Module],
    given: Mapping[str, Any] | None = None,
    watch: Any = None,
    changes: Mapping[str, Any] | None = None,
) -> Picture:
    """Reproduce a picture from its recipe, or make a variation of it.

    Args:
        recipe: the recipe of a picture.
        find: returns the network of a given name.
        given: arguments that override the recipe's, such as the new path of a photo; the picture has the old recipe.
        watch: called at every step.
        changes: arguments that override the recipe's; if there are any, the picture has a recipe of its own.

    Raises:
        ValueError: the recipe has been modified, or the network's weights differ.
        FileError: a file that the picture was made from is missing or has changed.
    """
    if recipe.get("interrupted"):
        raise ValueError("The image was interrupted before it was finished, so its recipe cannot reproduce it.")
    maker = MAKERS[checks.one_of("picture function", recipe["made by"], MAKERS)]
    net = _network(recipe["model"], find)
    known = [name for name in inspect.signature(maker.function).parameters if name not in EXCLUDED_SETTINGS][1:]
    settings = {}
    for name in changes or {}:
        checks.one_of(f"setting of {recipe['made by']}", name, known)
    replaced = {**(given or {}), **(changes or {})}
    for name, value in {**recipe["settings"], **replaced}.items():
        checks.one_of(f"setting of {recipe['made by']}", name, known)
        plain = value is None or name not in maker.kinds or name in replaced
        try:
            settings[name] = value if plain else maker.kinds[name].read(value)
        except _NeedsFileError as error:
            how = f"--file {name}=PATH at the command line, or files={{{name!r}: path}} in Python"
            raise FileError(f"{error}: {how}.") from error
    if watch is not None:
        settings["watch"] = watch
    made = maker.function(net, **settings)
    every = _pictures(made)
    picture = made if isinstance(made, Picture) else every[_number(recipe, len(every))]
    return picture if changes else replace(picture, recipe=recipe)


def _number(recipe: Mapping[str, Any], count: int) -> int:
    number = recipe.get("picture")
    if not isinstance(number, int) or not 0 <= number < count:
        raise ValueError(
            f"The recipe does not give the image's index among {count}, so it was modified; use the original image."
        )
    return number


def _network(model: Any, find: Callable[[str], nn.Module]) -> Frozen:
    try:
        name, weights, bounds, mean, std = (model[key] for key in ("name", "weights", "bounds", "mean", "std"))
    except (TypeError, KeyError) as error:
        raise ValueError(
            "The recipe does not describe its network, so it was modified; use the original image."
        ) from error
    if name is None:
        raise ValueError(
            "The image was made with an unnamed network; load the network by name and make the image again."
        )
    net = find(name)
    if fingerprint(net) != weights:
        raise ValueError(f"{name} has other weights than when the image was made; give the original network.")
    low, high = (torch.tensor(bound, dtype=torch.float64) if isinstance(bound, list) else bound for bound in bounds)
    return Frozen(net, (low, high), mean, std)
