"""Classes as they are typed at the command line and printed: by number, or by a name, which may be a number itself."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from inputopt.errors import MAX_NAMES
from inputopt.nets.class_names import class_names, index_in, indices_of
from inputopt.nets.frozen import Frozen


def numbers_are_names(names: Sequence[str] | None) -> bool:
    """Whether a number is the name of a class and not its index: some name is a number other than its index.

    >>> numbers_are_names(["1", "2"]), numbers_are_names(["0", "1"]), numbers_are_names(["cat", "dog"])
    (True, False, False)
    """
    return any(not math.isnan(_value(name)) and name != str(index) for index, name in enumerate(names or ()))


def class_text(index: int, names: Sequence[str] | None) -> str:
    """A class in printed text: its index, or its name where a typed number is a name."""
    return names[index] if names is not None and numbers_are_names(names) and index < len(names) else str(index)


def typed_class(text: str, names: Sequence[str] | None) -> int | str:
    """The index that a typed class is, or its name among `names`.

    >>> typed_class("1", ["1", "2"]), typed_class("1", ["cat", "dog"]), typed_class("cat", ["cat", "dog"])
    (0, 1, 'cat')

    Raises:
        ValueError: a number that is neither an index nor a name.
    """
    value = _value(text)
    if math.isnan(value) or (names is not None and names.count(text.strip()) > 1):
        return text
    if names is None or not numbers_are_names(names):
        if not text.strip().isdecimal():
            raise ValueError(f"A class must be a name or a whole number of at least 0, not {text[:60]!r}.")
        return int(text)
    found = [i for i, name in enumerate(names) if name == text.strip()] or [
        i for i, name in enumerate(names) if _value(name) == value
    ]
    if len(found) != 1:
        some = ", ".join(names[:MAX_NAMES]) + (
            f" and {len(names) - MAX_NAMES} others" if len(names) > MAX_NAMES else ""
        )
        raise ValueError(
            f"No class of the network is called {text[:60]!r}, and its names are numbers; choose from {some}."
        )
    return found[0]


def typed_index(text: str | None, net: Frozen, classes: int) -> int | None:
    """Index of a typed class of a network with so many classes; None if none was typed.

    Raises:
        ValueError: the network has no class of this name, or its names are not known.
    """
    if text is None:
        return None
    index: int = indices_of(typed_class(text, net.facts.class_names), net.facts.class_names, classes)
    return index


def typed_indices(given: Sequence[str], names: Sequence[str] | None) -> list[int]:
    """Indices of the classes typed as --classes; `names` are those of the network's classes, ImageNet's if None.

    Raises:
        ValueError: there is no such class, or one is given twice, such as by name and by number.
    """
    found = [typed_class(text, names) for text in given]
    indices = [each if isinstance(each, int) else index_in(each, names or class_names()) for each in found]
    twice = next((text for text, index in zip(given, indices, strict=True) if indices.count(index) > 1), None)
    if twice is not None:
        raise ValueError(f"--classes has {twice} twice; give each only once.")
    return indices


def file_name(name: str) -> str:
    """Replace characters that are not valid in a file name."""
    return re.sub(r"[^\w.()-]+", "-", name)


def file_names(given: Sequence[str], indices: Sequence[int]) -> list[str]:
    """A distinct file name for each class: its name, with the index where two are equal but for case.

    >>> file_names(["a b", "a/b", "c"], [0, 1, 2])
    ['a-b-0', 'a-b-1', 'c']
    """
    plain = [file_name(name) for name in given]
    numbered = [f"{name}-{index}" for name, index in zip(plain, indices, strict=True)]
    lower = [name.casefold() for name in plain]
    some = [two if lower.count(low) > 1 else one for one, two, low in zip(plain, numbered, lower, strict=True)]
    return some if len({name.casefold() for name in some}) == len(some) else numbered


def _value(text: str) -> float:
    """The number that a text is, written in decimal digits; NaN for other text."""
    return float(text) if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", text) else math.nan
