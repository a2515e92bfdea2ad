"""Tables of numbers with a class in one column, read from .csv files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inputopt.cli.data.table_cells import fault_of, in_order, spellings
from inputopt.cli.data.table_layout import Layout, Rows, known_layout, layout_of
from inputopt.cli.memory_limits import check_memory
from inputopt.files import FileError, reading
from inputopt.nets.network_facts import UNKNOWN, NetworkFacts

MOST_ROUNDING = 0.01
"""Largest share of a column's standard deviation that float32 may round its numbers by."""


@dataclass(frozen=True)
class Table:
    """Rows of a table.

    Attributes:
        x: the numbers, float32 [B, n].
        y: class of each row, int64 [B]: the position of its label among the sorted labels; 0 without labels.
        columns: names of the columns of `x`; "1", "2", ... for a table without a header.
        labels: names of the classes; empty for a table without a column of classes.
        label: name of that column; empty without one.
        place: position of that column; None without one.
        rounded: names of the columns whose numbers differ by too little for float32.
    """

    x: Tensor
    y: Tensor
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    label: str = ""
    place: int | None = None
    rounded: tuple[str, ...] = ()


def read_table(path: str, label: str | None, facts: NetworkFacts = UNKNOWN) -> Table:
    """Read a .csv file with or without a header.

    Args:
        path: path of the file.
        label: name of the column of the classes; the last one by default, or that of `facts`.
        facts: those of the network that the table is for. If it was trained on a table, its columns are read in the
            same order, and the table may have no other beside that of the classes, which it may lack.

    Raises:
        FileError: the file is missing, has rows of different lengths, two columns of one name or a row without a class,
            or holds a value that is not a finite number.
        ValueError: there is no column `label`, or a known column is missing or another is there.
    """
    with reading(path, "a .csv table"), Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if rows and len(rows[0]) == 1:
        _check_separator(path, rows[0][0])
    known = facts.columns
    if not rows or len(rows[0]) < (2 if known is None else 1):
        raise FileError(f"{path} must have rows with at least two columns, numbers and a class.")
    check_memory(path, 100.0 * len(rows) * len(rows[0]), "a smaller table")
    layout = layout_of(path, rows, label) if known is None else known_layout(path, rows, known)
    x, names = _cells(path, rows, layout)
    single = x.float()
    columns = tuple(layout.columns[index] for index in layout.kept)
    rounded = tuple(columns[index] for index in _rounded(x, single))
    if layout.place is None:
        return Table(single, torch.zeros(len(x), dtype=torch.int64), columns, (), rounded=rounded)
    spelling = spellings(names, facts.class_names or ())
    labels = in_order(spelling.values())
    number_of = {name: index for index, name in enumerate(labels)}
    y = torch.tensor([number_of[spelling[name]] for name in names])
    return Table(single, y, columns, labels, layout.columns[layout.place], layout.place, rounded)


def _cells(path: str, rows: Rows, layout: Layout) -> tuple[Tensor, list[str]]:
    """The numbers, float64 [B, n], and the names of the classes, which are empty without a column of classes.

    Raises:
        FileError: a row has another number of columns, no class, or a value that is not a finite number.
    """
    x, names = [], []
    first = 2 if layout.has_header else 1
    for number, row in enumerate(rows[first - 1 :], start=first):
        if len(row) != len(layout.columns):
            raise FileError(f"Row {number} of {path} has {len(row)} columns, but the first has {len(layout.columns)}.")
        values = [row[index] for index in layout.kept]
        wrong = next((cell for cell in values if fault_of(cell)), None)
        if wrong is not None:
            _check_separator(path, wrong)
            header = "; if it is a header, give every column of numbers a name" if number == 1 else ""
            raise FileError(f"Row {number} of {path} has {fault_of(wrong)}{header}.")
        if layout.place is not None and not row[layout.place]:
            raise FileError(
                f"Row {number} of {path} has no class in column {layout.columns[layout.place]}; add it, or remove the "
                "row."
            )
        x.append([float(cell) for cell in values])
        names.append("" if layout.place is None else row[layout.place])
    if not x:
        raise FileError(f"{path} has a header but no rows.")
    return torch.tensor(x, dtype=torch.float64), names


def _rounded(x: Tensor, single: Tensor) -> list[int]:
    """Columns of x, float64 [B, n], whose differences are lost in `single`, the same numbers in float32."""
    rounding = (single - x).square().mean(0).sqrt()
    lost = (x.amin(0) < x.amax(0)) & (rounding > MOST_ROUNDING * x.std(0, correction=0))
    return [int(index) for index in lost.nonzero()[:, 0]]


def _check_separator(path: str, cell: str) -> None:
    """Raise a FileError if a cell that should be a number or a name holds the separator of another format."""
    named = {";": "semicolons", "\t": "tabs"}
    found = next((name for separator, name in named.items() if separator in cell), None)
    if found is not None:
        raise FileError(
            f"{path} separates its columns by {found}; separate them by commas, and write decimals with a point."
        )
