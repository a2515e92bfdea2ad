"""Making a picture again from its recipe, or a variation of it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inputopt import checks
from inputopt.files import FileError
from inputopt.nets.frozen import Frozen
from inputopt.nets.naming import fingerprint
from inputopt.pictures.picture import Picture
from inputopt.pictures.provenance import EXCLUDED_SETTINGS, MAKERS, NeedsFileError, digest_of_photo, pictures_of
from inputopt.search.inputs import InputoptWarning


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
    for name, path in (given or {}).items():
        _warn_of_another_file(name, path, recipe["settings"].get(name))
    replaced = {**(given or {}), **(changes or {})}
    for name, value in {**recipe["settings"], **replaced}.items():
        checks.one_of(f"setting of {recipe['made by']}", name, known)
        plain = value is None or name not in maker.kinds or name in replaced
        try:
            settings[name] = value if plain else maker.kinds[name].read(value)
        except NeedsFileError as error:
            how = f"--file {name}=PATH at the command line, or files={{{name!r}: path}} in Python"
            raise FileError(f"{error}: {how}.") from error
    if watch is not None:
        settings["watch"] = watch
    made = maker.function(net, **settings)
    every = pictures_of(made)
    picture = made if isinstance(made, Picture) else every[_number(recipe, len(every))]
    return picture if changes else replace(picture, recipe=recipe)


def files_beside(recipe: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """The files that a recipe names and that are gone from their place, but lie in `folder` unchanged, by argument."""
    found = {}
    for name, value in recipe["settings"].items():
        match value:
            case {"file": str(path), "sha256": str(digest)} if not is_file_with(Path(path), digest):
                moved = folder / Path(path).name
                if is_file_with(moved, digest):
                    found[name] = moved
    return found


def is_file_with(path: Path, digest: str) -> bool:
    """Whether there is such a file, with this digest."""
    return path.is_file() and digest_of_photo(path) == digest


def _warn_of_another_file(name: str, path: Any, recorded: Any) -> None:
    if not isinstance(recorded, Mapping) or not isinstance(path, (str, Path)) or not Path(path).is_file():
        return
    if digest_of_photo(path) != recorded.get("sha256"):
        warnings.warn(
            f"{path} is not the file that the image was made from as its {name}, so the image will differ.",
            InputoptWarning,
            stacklevel=3,
        )


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
