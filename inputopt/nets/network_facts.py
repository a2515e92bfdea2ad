"""What is known of a network beside its weights: the names of its classes and the data it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

ROUNDING = 2.0**-22
"""Share of a number that float32 can add to it or subtract from it."""


@dataclass(frozen=True)
class TableColumns:
    """The columns of the table that a network was trained on, in the order of its inputs.

    Attributes:
        names: their names; "1", "2", ... of a table without a header.
        low, high: lowest and highest value of each, with low below high.
        label: name of the column of the classes.
        place: position of that column in the table.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    label: str
    place: int

    @classmethod
    def of(cls, names: Sequence[str], x: Tensor, label: str, place: int) -> TableColumns:
        """The columns of a table x [B, n].

        A column of one value has a range of 1 around it, or of as much as float32 tells apart.
        """
        low, high = x.double().amin(0), x.double().amax(0)
        margin = torch.where(low == high, (low.abs() * ROUNDING).clamp(min=0.5), 0.0)
        most = torch.finfo(torch.float32).max
        ends = (low - margin).clamp(min=-most).tolist(), (high + margin).clamp(max=most).tolist()
        return cls(tuple(names), tuple(ends[0]), tuple(ends[1]), label, place)

    @property
    def has_header(self) -> bool:
        """Whether the table had names for its columns; they are numbered from 1 otherwise."""
        return _place_by_number(self.names, self.label) is None


@dataclass(frozen=True)
class NetworkFacts:
    """Facts about a network that are kept with it; `save` writes them into its file.

    Attributes:
        class_names: names of the classes, by index; None if they are not known.
        trained_on: SHA-256 of the file or folder that it was trained on, as hexadecimal digits; None if not known.
        columns: of the table that it was trained on; None if it was none.
    """

    class_names: tuple[str, ...] | None = None
    trained_on: str | None = None
    columns: TableColumns | None = None


UNKNOWN = NetworkFacts()

_FACTS: WeakKeyDictionary[nn.Module, NetworkFacts] = WeakKeyDictionary()


def remember(net: nn.Module, facts: NetworkFacts) -> nn.Module:
    """Keep these facts with `net`, and return `net`."""
    _FACTS[net] = facts
    return net


def facts_of(net: Any, class_names: Sequence[str] | None = None) -> NetworkFacts:
    """The facts known of `net`, with `class_names` instead of its own if given.

    Raises:
        TypeError: the names are not a list of text.
    """
    known = _FACTS.get(net, UNKNOWN) if isinstance(net, nn.Module) else UNKNOWN
    return known if class_names is None else replace(known, class_names=checked_class_names(class_names))


def checked_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of classes as a tuple.

    Raises:
        TypeError: not a list of names.
    """
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(each, str) for each in names):
        raise TypeError("class_names must be a list of names, one for each class, in the order of the logits.")
    return tuple(names)


def to_header(facts: NetworkFacts) -> dict[str, Any]:
    """The facts that are known, as JSON values for the header of a file."""
    columns = None if facts.columns is None else asdict(facts.columns)
    values = {"class_names": facts.class_names, "trained_on": facts.trained_on, "columns": columns}
    known = {name: value for name, value in values.items() if value is not None}
    return {"facts": known} if known else {}


def taken_from(header: Any) -> tuple[Any, NetworkFacts]:
    """The header of a file without the facts in it, None if nothing is left, and the facts.

    Raises:
        TypeError, ValueError: the class names are not a list of text, or the columns not of one length.
    """
    if not isinstance(header, dict) or "facts" not in header:
        return header, UNKNOWN
    names, trained_on, columns = (header["facts"].get(name) for name in ("class_names", "trained_on", "columns"))
    rest = {name: value for name, value in header.items() if name != "facts"}
    known = None if names is None else checked_class_names(names)
    return rest or None, NetworkFacts(known, trained_on, None if columns is None else _columns(columns))


def _columns(plain: Any) -> TableColumns:
    names, low, high = (tuple(plain[key]) for key in ("names", "low", "high"))
    if not len(names) == len(low) == len(high) or not all(float(a) <= float(b) for a, b in zip(low, high, strict=True)):
        raise ValueError("the columns in its header have no lowest and highest value each")
    names, label = tuple(map(str, names)), str(plain["label"])
    place = plain.get("place")
    if place is None:  # written by an earlier version, which did not keep it
        by_number = _place_by_number(names, label)
        place = len(names) if by_number is None else by_number
    if not 0 <= int(place) <= len(names):
        raise ValueError("the column of the classes in its header is none of the table's")
    ends = torch.tensor([[*map(float, low)], [*map(float, high)]], dtype=torch.float64)
    return TableColumns.of(names, ends, label, int(place))  # earlier versions wrote large constants without a range


def _place_by_number(names: Sequence[str], label: str) -> int | None:
    """Position of the column of classes in a table whose columns are numbered from 1; None if they have names."""
    return int(label) - 1 if {*names, label} == {str(number + 1) for number in range(len(names) + 1)} else None
