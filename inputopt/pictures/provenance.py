"""How a picture was made, in plain JSON, and how it is made again.

A function that makes pictures is decorated, and that is all it does for it:

    @repeatable(photo=FILE)
    def dream(model, photo, layers, *, seed=0, watch=None) -> Picture:
        ...
        return Picture(x, bounds=net.bounds)

The first argument is the model; each other one is written into the recipe under its name, defaults too, but for those
named in `EXCLUDED_SETTINGS`, which leave no trace in the picture. An argument that is not plain JSON needs a `Kind`,
which says how to write it down and how to read it back. `remade` calls the function by what a recipe says.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn

from inputopt import checks
from inputopt.files import FileError
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.nets.naming import fingerprint, name_of
from inputopt.pictures.picture import Photo, Picture
from inputopt.search.loop import Interrupted

EXCLUDED_SETTINGS = ("watch", "progress")
"""Arguments that leave no trace in the picture."""


class Album(Protocol):
    """A frozen dataclass that holds pictures, beside what else is known of them."""

    @property
    def pictures(self) -> list[Picture]:
        """All of them."""


Arguments = ParamSpec("Arguments")
Made = TypeVar("Made", bound="Picture | list[Picture] | Album")


@dataclass(frozen=True)
class Kind:
    """How an argument of a picture function becomes plain JSON, and an argument again."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class Maker:
    """A function that makes pictures, and the kinds of those of its arguments that are not plain."""

    function: Callable[..., Any]
    kinds: Mapping[str, Kind]


MAKERS: dict[str, Maker] = {}
"""Every function that makes pictures, by its name."""


def repeatable(**kinds: Kind) -> Callable[[Callable[Arguments, Made]], Callable[Arguments, Made]]:
    """Decorate a function whose pictures carry their recipe; `kinds` are those of its arguments that are not plain.

    Of several pictures each may bring "settings" of its own, by which it alone is made again, or its number as
    "picture", where they are only made together. Pictures that Ctrl-C interrupts leave by `Interrupted`.
    """

    def decorate(function: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
        @functools.wraps(function)
        @ambient()
        def made(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
            try:
                found = function(*args, **kwargs)
            except Interrupted as stopped:
                _, net = next(iter(inspect.signature(function).bind(*args, **kwargs).arguments.items()))
                recipe = {**recipe_of(function.__name__, *args, **kwargs), "interrupted": True}
                shown = stopped.pictures or [Picture(x, bounds=frozen(net).bounds) for x in stopped.result.x]
                stopped.pictures = [_told(picture, recipe) for picture in shown]
                raise
            recipe = recipe_of(function.__name__, *args, **kwargs)
            told = [_told(picture, recipe) for picture in _pictures(found)]
            if isinstance(found, Picture):
                return cast(Made, told[0])
            return cast(Made, told if isinstance(found, list) else replace(cast(Any, found), pictures=told))

        MAKERS[function.__name__] = Maker(made, kinds)
        return made

    return decorate


def _pictures(found: Picture | list[Picture] | Album) -> list[Picture]:
    if isinstance(found, Picture):
        return [found]
    return found if isinstance(found, list) else found.pictures


def _told(picture: Picture, recipe: Mapping[str, Any]) -> Picture:
    """With its recipe, and what its function has to say itself; of one that calls another the last word counts."""
    own = {} if "made by" in picture.recipe else picture.recipe
    settings = {**recipe["settings"], **own.get("settings", {})}
    return replace(picture, recipe={**recipe, **own, "settings": settings})


def recipe_of(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The recipe of what the function of that name makes of these arguments."""
    maker = MAKERS[name]
    bound = inspect.signature(maker.function).bind(*args, **kwargs)
    bound.apply_defaults()
    (_, model), *others = bound.arguments.items()
    settings = {key: _written(value, maker.kinds.get(key)) for key, value in others if key not in EXCLUDED_SETTINGS}
    return {"made by": name, "model": described(model), "settings": settings, "versions": versions()}


def described(model: Any) -> dict[str, Any]:
    """A model by its name, its weights and the range of its inputs."""
    if isinstance(model, Frozen):
        return {**model.described(), "bounds": [_plain_bound(bound) for bound in model.bounds]}
    return {"name": name_of(model), "weights": fingerprint(model), "bounds": [0.0, 1.0], "mean": 0.0, "std": 1.0}


def _plain_bound(bound: Any) -> Any:
    return bound.tolist() if isinstance(bound, Tensor) else float(bound)


def versions() -> dict[str, Any]:
    """What the bytes of a picture depend on besides its recipe."""
    return {**_packages(), "threads": torch.get_num_threads()}


@functools.cache
def _packages() -> dict[str, str]:
    """Read once: finding a version opens and parses a file each time."""
    return {name: version(name) for name in ("inputopt", "torch", "pillow")}


def _written(value: Any, kind: Kind | None) -> Any:
    if value is None or kind is None:
        return json.loads(json.dumps(value, default=_plain))  # a tuple is a list from now on
    return kind.write(value)


def _plain(value: Any) -> Any:
    """What JSON does not know: numbers of numpy and torch; anything else is refused."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        return value.tolist()
    raise TypeError(f"A recipe holds plain values, and not {type(value).__name__}.")


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


def _read_file(value: Any) -> Path:
    try:
        path, digest = value["file"], value["sha256"]
    except (TypeError, KeyError) as error:
        raise FileError("The recipe does not say which file it was made from; it has been changed.") from error
    if path is None:
        raise FileError("The picture was made from numbers and not from a file; name a file that holds them.")
    if not Path(path).is_file() or _digest(path) != digest:
        raise FileError(f"{path}, which the picture was made from, is gone or has changed; name the file to use.")
    return Path(path)


FILE = Kind(_write_file, _read_file)
"""A photo: a file by its name and what it held; numbers by what they are."""


# ----------------------------------------------------------------------------------------------------------- made again
def read_recipe(path: str | Path) -> dict[str, Any]:
    """The recipe that a picture carries; of a figure, the command that it was made by, as its `arguments`.

    Raises:
        FileError: no such file, or one that carries no recipe.
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
        raise FileError(f"{path} carries no recipe that leads to it; give a PNG that inputopt wrote.")
    return recipe


def remade(
    recipe: Mapping[str, Any],
    find: Callable[[str], nn.Module],
    given: Mapping[str, Any] | None = None,
    watch: Any = None,
) -> Picture:
    """Make a picture again by its recipe.

    Args:
        recipe: of a picture.
        find: gives the network of a name.
        given: arguments to use instead of the recipe's, such as a photo that has moved.
        watch: shown every step.

    Raises:
        ValueError: the recipe has been changed, or the network of its name has other weights.
        FileError: a file that the picture was made from is gone or has changed.
    """
    if recipe.get("interrupted"):
        raise ValueError("The picture was interrupted while it was made, so that its recipe does not lead to it.")
    maker = MAKERS[checks.one_of("picture function", recipe["made by"], MAKERS)]
    net = _network(recipe["model"], find)
    known = [name for name in inspect.signature(maker.function).parameters if name not in EXCLUDED_SETTINGS][1:]
    settings = {}
    for name, value in {**recipe["settings"], **(given or {})}.items():
        checks.one_of(f"setting of {recipe['made by']}", name, known)
        plain = value is None or name not in maker.kinds or name in (given or {})
        settings[name] = value if plain else maker.kinds[name].read(value)
    if watch is not None:
        settings["watch"] = watch
    made = maker.function(net, **settings)
    every = _pictures(made)
    return replace(made if isinstance(made, Picture) else every[_number(recipe, len(every))], recipe=recipe)


def _number(recipe: Mapping[str, Any], count: int) -> int:
    number = recipe.get("picture")
    if not isinstance(number, int) or not 0 <= number < count:
        raise ValueError(f"The recipe does not say which of {count} pictures it is; it has been changed.")
    return number


def _network(model: Any, find: Callable[[str], nn.Module]) -> Frozen:
    try:
        name, weights, bounds, mean, std = (model[key] for key in ("name", "weights", "bounds", "mean", "std"))
    except (TypeError, KeyError) as error:
        raise ValueError("The recipe does not describe its network; it has been changed.") from error
    if name is None:
        raise ValueError("The picture was made by a network without a name; load it by one, and make the picture anew.")
    net = find(name)
    if fingerprint(net) != weights:
        raise ValueError(f"{name} has other weights now than when the picture was made.")
    low, high = (torch.tensor(bound, dtype=torch.float64) if isinstance(bound, list) else bound for bound in bounds)
    return Frozen(net, (low, high), mean, std)
