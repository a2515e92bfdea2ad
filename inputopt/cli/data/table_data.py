"""Tables of numbers with a class in one column, read from .csv files."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inputopt.cli.memory_limits import check_memory
from inputopt.errors import one_of
from inputopt.files import FileError, reading


@dataclass(frozen=True)
class Table:
    """Rows of a table.

    Attributes:
        x: the numbers, float32 [B, n].
        y: class of each row, int64 [B]: the position of its label among the sorted labels.
        columns: names of the columns of `x`; "1", "2", ... for a table without a header.
        labels: names of the classes.
    """

    x: Tensor
    y: Tensor
    columns: tuple[str, ...]
    labels: tuple[str, ...]


def read_table(path: str, label: str | None) -> Table:
    """Read a .csv file with or without a header; `label` names the column of the classes, the last one by default.

    Raises:
        FileError: the file is missing, has rows of different lengths, or holds a value that is not a finite number.
        ValueError: there is no column `label`, or there are fewer than two classes.
    """
    with reading(path, "a .csv table"), Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if not rows or len(rows[0]) < 2:
        raise FileError(f"{path} must have rows with at least two columns, numbers and a class.")
    check_memory(path, 100.0 * len(rows) * len(rows[0]), "a smaller table")
    header = rows[0] if not any(map(_is_number, rows[0][:-1])) else None
    columns = header or [str(place + 1) for place in range(len(rows[0]))]
    body = rows[1:] if header else rows
    place = len(columns) - 1 if label is None else columns.index(one_of("column", label, columns))
    x, names = [], []
    for number, row in enumerate(body, start=2 if header else 1):
        if len(row) != len(columns):
            raise FileError(f"Row {number} of {path} has {len(row)} columns, but the first has {len(columns)}.")
        values = [cell for index, cell in enumerate(row) if index != place]
        wrong = next((cell for cell in values if not _is_number(cell)), None)
        if wrong is not None:
            raise FileError(
                f"Row {number} of {path} has {wrong!r} where a finite number is expected; remove or encode it."
            )
        x.append([float(cell) for cell in values])
        names.append(row[place])
    labels = sorted(set(names), key=lambda name: (not _is_number(name), float(name) if _is_number(name) else 0.0, name))
    if len(labels) < 2:
        raise ValueError(f"Column {columns[place]} of {path} has fewer than two classes; name the column with --label.")
    number_of = {name: index for index, name in enumerate(labels)}
    y = torch.tensor([number_of[name] for name in names])
    kept = tuple(name for index, name in enumerate(columns) if index != place)
    return Table(torch.tensor(x, dtype=torch.float32), y, kept, tuple(labels))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
