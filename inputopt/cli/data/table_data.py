"""Tables of numbers with a class in one column, read from .csv files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inputopt.cli.memory_limits import check_memory
from inputopt.errors import one_of
from inputopt.files import FileError, reading
from inputopt.nets.network_facts import TableColumns


@dataclass(frozen=True)
class Table:
    """Rows of a table.

    Attributes:
        x: the numbers, float32 [B, n].
        y: class of each row, int64 [B]: the position of its label among the sorted labels; 0 without labels.
        columns: names of the columns of `x`; "1", "2", ... for a table without a header.
        labels: names of the classes; empty for a table without a column of classes.
        label: name of that column; empty without one.
    """

    x: Tensor
    y: Tensor
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    label: str = ""


def read_table(path: str, label: str | None, known: TableColumns | None = None) -> Table:
    """Read a .csv file with or without a header.

    Args:
        path: path of the file.
        label: name of the column of the classes; the last one by default, or that of `known`.
        known: the columns that a network was trained on: they are read in this order, and a table may have no other
            beside that of the classes, which it may lack.

    Raises:
        FileError: the file is missing, has rows of different lengths, or holds a value that is not a finite number.
        ValueError: there is no column `label`, a known column is missing or another is there, or without `known` there
            are fewer than two classes.
    """
    with reading(path, "a .csv table"), Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if not rows or len(rows[0]) < (2 if known is None else 1):
        raise FileError(f"{path} must have rows with at least two columns, numbers and a class.")
    check_memory(path, 100.0 * len(rows) * len(rows[0]), "a smaller table")
    header = rows[0] if not any(map(_is_number, rows[0][:-1] or rows[0])) else None
    columns = header or [str(place + 1) for place in range(len(rows[0]))]
    place: int | None
    if known is None:
        place = len(columns) - 1 if label is None else columns.index(one_of("column", label, columns))
        kept = [index for index in range(len(columns)) if index != place]
    else:
        place, kept = _places(path, columns, known, header is not None)
    x, names = [], []
    for number, row in enumerate(rows[1:] if header else rows, start=2 if header else 1):
        if len(row) != len(columns):
            raise FileError(f"Row {number} of {path} has {len(row)} columns, but the first has {len(columns)}.")
        values = [row[index] for index in kept]
        wrong = next((cell for cell in values if not _is_number(cell)), None)
        if wrong is not None:
            raise FileError(
                f"Row {number} of {path} has {wrong!r} where a finite number is expected; remove or encode it."
            )
        x.append([float(cell) for cell in values])
        names.append("" if place is None else row[place])
    if not x:
        raise FileError(f"{path} has a header but no rows.")
    labels = sorted(set(names), key=lambda name: (not _is_number(name), float(name) if _is_number(name) else 0.0, name))
    if len(labels) < 2 and known is None:
        raise ValueError(f"Column {columns[-1]} of {path} has fewer than two classes; name the column with --label.")
    number_of = {name: index for index, name in enumerate(labels)}
    y = torch.tensor([number_of[name] for name in names])
    found = tuple(columns[index] for index in kept)
    if place is None:
        return Table(torch.tensor(x, dtype=torch.float32), y, found, ())
    return Table(torch.tensor(x, dtype=torch.float32), y, found, tuple(labels), columns[place])


def _places(path: str, columns: Sequence[str], known: TableColumns, named: bool) -> tuple[int | None, list[int]]:
    """The place of the column of classes, None without one, and the places of the known columns, in their order.

    Raises:
        ValueError: a known column is missing, or there is one that is neither known nor that of the classes.
    """
    count = len(known.names)
    if not named or known.label.isdecimal():  # no names to go by: the classes are in a further column, the last
        if len(columns) not in (count, count + 1):
            raise ValueError(f"{path} has {len(columns)} columns, but the network takes {count}, and a class.")
        return (count if len(columns) > count else None), list(range(count))
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
    return place, [columns.index(name) for name in known.names]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
