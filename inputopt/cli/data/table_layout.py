"""Where a table has its header, its classes and its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from inputopt.cli.data.table_cells import is_number
from inputopt.errors import one_of
from inputopt.files import FileError
from inputopt.nets.network_facts import TableColumns

Rows = Sequence[Sequence[str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """Where the parts of a table are.

    Attributes:
        columns: names of all columns; "1", "2", ... without a header.
        has_header: whether the first row is one.
        place: position of the column of classes; None without one.
        kept: positions of the columns of numbers, in the order of the inputs.
    """

    columns: tuple[str, ...]
    has_header: bool
    place: int | None
    kept: tuple[int, ...]


def layout_of(path: str, rows: Rows, label: str | None) -> Layout:
    """The layout of a table of which nothing is known but perhaps the name of the column of classes.

    Raises:
        FileError: two columns have the same name.
        ValueError: there is no column `label`.
    """
    first = rows[0]
    places = _places(first, label)
    has_header = _names_columns(_without(first, places[0])) or all(_counts_columns(rows, place) for place in places)
    columns = _columns(path, first, has_header)
    place = len(columns) - 1 if label is None else columns.index(one_of("column", label, columns))
    return Layout(columns, has_header, place, _without(range(len(columns)), place))


def known_layout(path: str, rows: Rows, known: TableColumns) -> Layout:
    """The layout of a table for a network whose columns are known.

    They are found by name where both tables have a header, else by position.

    Raises:
        FileError: two columns have the same name.
        ValueError: a known column is missing, or there is one that is neither known nor that of the classes.
    """
    first, count = rows[0], len(known.names)
    place = known.place if len(first) == count + 1 else None
    inputs = _without(first, place) if len(first) in (count, count + 1) else first[:-1] or first
    by_name = known.has_header and set(known.names) <= set(first)
    has_header = by_name or _names_columns(inputs)
    columns = _columns(path, first, has_header)
    if has_header and known.has_header:
        return _layout_by_name(path, columns, known)
    if len(columns) not in (count, count + 1):
        raise ValueError(f"{path} has {len(columns)} columns, but the network takes {count}, and a class.")
    return Layout(columns, has_header, place, _without(range(len(columns)), place))


def _layout_by_name(path: str, columns: tuple[str, ...], known: TableColumns) -> Layout:
    missing = next((name for name in known.names if name not in columns), None)
    if missing is not None:
        raise ValueError(f"{path} has no column {missing!r}, which the network was trained on; add it.")
    other = next((name for name in columns if name not in (*known.names, known.label)), None)
    if other is not None:
        raise ValueError(
            f"{path} has a column {other!r} that the network was not trained on, and its class is {known.label!r}; "
            "remove it."
        )
    place = columns.index(known.label) if known.label in columns else None
    return Layout(columns, True, place, tuple(map(columns.index, known.names)))


def _places(first: Sequence[str], label: str | None) -> list[int]:
    """Where the column of the classes may be: by its number without a header, by its name in one, else the last."""
    is_position = label is not None and label.isdecimal() and 0 < int(label) <= len(first)
    by_number = [int(label) - 1] if label is not None and is_position else []
    by_name = [first.index(label)] if label is not None and label in first else []
    return by_number + by_name or [len(first) - 1]


def _names_columns(cells: Sequence[str]) -> bool:
    """Whether the cells of the inputs in the first row are names."""
    return not any(map(is_number, cells))


def _counts_columns(rows: Rows, place: int) -> bool:
    """Whether the first row numbers the columns from 0, as pandas does, with a class that no other row has."""
    first = rows[0]
    numbers = [str(position) for position in range(len(first))]
    is_numbered = list(_without(first, place)) == numbers[:-1] or list(first) == numbers
    return is_numbered and all(len(row) <= place or row[place] != first[place] for row in rows[1:])


def _columns(path: str, first: Sequence[str], has_header: bool) -> tuple[str, ...]:
    if not has_header:
        return tuple(str(position + 1) for position in range(len(first)))
    twice, times = Counter(first).most_common(1)[0]
    if times > 1:
        raise FileError(f"{path} has several columns named {twice!r}; rename or remove all but one.")
    return tuple(first)


def _without(items: Sequence[T], place: int | None) -> tuple[T, ...]:
    return tuple(item for position, item in enumerate(items) if position != place)
