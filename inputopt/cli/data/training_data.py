"""Examples that a network is trained and tested on: a table, images of a folder, an archive, or the digits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inputopt.cli.data.data_arguments import find_data, spread
from inputopt.cli.data.data_digest import digest_of
from inputopt.cli.data.table_data import Table, read_table
from inputopt.errors import MAX_NAMES
from inputopt.nets.frozen import Frozen
from inputopt.nets.mlp import MLP
from inputopt.nets.network_facts import TableColumns
from inputopt.zoo.digits import CLASS_NAMES, load_digits
from inputopt.zoo.training_recipes import accuracy

LEAST_STD = 1e-30
"""A column that varies by less is taken for constant: weights divided by its standard deviation would be infinite."""


@dataclass(frozen=True)
class Examples:
    """What a network is trained and tested on.

    Attributes:
        x: inputs [B, n] or [B, C, H, W].
        y: classes, int64 [B].
        labels: names of the classes.
        held: which examples are held out, bool [B].
        scaling: mean and standard deviation of the columns of a table, float64 [n], else None.
        digest: SHA-256 of the file or folder; None for the digits.
        columns: those of a table, else None.
    """

    x: Tensor
    y: Tensor
    labels: tuple[str, ...]
    held: Tensor
    scaling: tuple[Tensor, Tensor] | None = None
    digest: str | None = None
    columns: TableColumns | None = None

    def misclassified(self, net: MLP) -> dict[str, float]:
        """Share of the training examples, and of those held out, that the network misclassifies."""
        rows = {"training": ~self.held, "held_out": self.held}
        return {name: 1 - accuracy(net, self.x[row], self.y[row]) for name, row in rows.items()}

    def standardised(self) -> Tensor:
        """The inputs with columns of mean 0 and standard deviation 1, float32; images as they are."""
        if self.scaling is None:
            return self.x
        mean, std = self.scaling
        return ((self.x.double() - mean) / std).float()

    def counts(self) -> tuple[int, ...]:
        """Number of examples of each class."""
        return tuple(torch.bincount(self.y, minlength=len(self.labels)).tolist())

    def described(self) -> str:
        """The classes and the number of examples of each, in one line."""
        counts = [f"{name} ({count:,})" for name, count in zip(self.labels, self.counts(), strict=True)]
        more = f" and {len(counts) - MAX_NAMES:,} more" if len(counts) > MAX_NAMES else ""
        column = "" if self.columns is None else f" of column {self.columns.label}"
        return f"{len(counts):,} classes{column} (examples): {', '.join(counts[:MAX_NAMES])}{more}"


def training_examples(options: argparse.Namespace) -> Examples:
    """Read the examples of the options of `train`, and choose those that are held out.

    Raises:
        ValueError, FileError: they cannot be read, an option does not apply to them, or a class has no example that is
            not held out.
    """
    is_table = options.data.lower().endswith(".csv") and options.resize is None
    if options.label is not None and not is_table:
        raise ValueError("--label names a column of a .csv table; omit it.")
    if options.data == "digits" and options.resize is None:
        if "holdout" in options.given:
            raise ValueError("The digits have a fixed split, 4,000 for training and 1,000 held out; omit --holdout.")
        split = load_digits()
        held = torch.arange(len(split.x) + len(split.held_x)) >= len(split.x)
        return Examples(torch.cat([split.x, split.held_x]), torch.cat([split.y, split.held_y]), CLASS_NAMES, held)
    if is_table:
        table = _table(options.data, options.label)
        scaling, x, y, labels = _scaling(table.x), table.x, table.y, table.labels
        columns = TableColumns.of(table.columns, table.x, table.label, table.place or 0)
    else:
        scaling, columns = None, None
        x, y, labels = _images(options)
    chosen = spread(y.numpy(), max(1, round(options.holdout * len(y))), options.seed)
    is_held = torch.zeros(len(y), dtype=torch.bool).index_fill(0, torch.from_numpy(chosen), True)
    examples = Examples(x, y, labels, is_held, scaling, digest_of(options.data), columns)
    _check_classes(examples, options.data, is_table and options.label is None)
    return examples


def _table(path: str, label: str | None) -> Table:
    """A table to train on.

    Raises:
        ValueError, FileError: it cannot be read, has fewer than two classes, or a column whose numbers float32 does
            not tell apart.
    """
    table = read_table(path, label)
    if len(table.labels) < 2:
        which = "the" if label is None else "another"
        raise ValueError(
            f"Column {table.label} of {path} has fewer than two classes; name {which} column with --label."
        )
    if table.rounded:
        name = table.rounded[0]
        middle = float(table.x[:, table.columns.index(name)].double().mean())
        raise ValueError(
            f"The numbers in column {name} of {path} differ by too little to be told apart as 32-bit numbers; subtract "
            f"a constant from them, such as {middle:.6g}, or remove the column."
        )
    return table


def _scaling(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of columns x [B, n], float64 [n].

    A constant column has its size, at least 1, in place of the latter: the first layer of the saved network subtracts
    its weight / std x mean in float32, which must not round the other columns away.
    """
    wide = x.double()
    mean, std = wide.mean(0), wide.std(0)
    varies = (wide.amin(0) < wide.amax(0)) & (std > LEAST_STD)
    return mean, torch.where(varies, std, mean.abs().clamp(min=1.0))


def _images(options: argparse.Namespace) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Inputs, classes and class names of an .npz file, or of a folder, whose classes are numbered in sorted order.

    Raises:
        ValueError, FileError: they cannot be read, are not in [0, 1], have fewer than two classes, or the numbers of
            an archive's classes have gaps.
    """
    data = find_data(options.data, np.iinfo(np.int64).max, options.seed, options.resize)
    present = sorted(set(data.y.tolist()))
    names = tuple(data.class_names[label] for label in present if label in data.class_names)
    if not names and present != list(range(len(present))):
        raise ValueError(
            f"y in {options.data} has {len(present)} different classes from {present[0]} to {present[-1]}; number them "
            f"from 0 to {len(present) - 1}."
        )
    names = names or tuple(map(str, present))
    if len(names) < 2:
        raise ValueError(f"{options.data} has fewer than two classes; add another.")
    data, x = data.read(Frozen(lambda x: x.new_zeros(len(x), len(names)), class_names=names), bounded=False)
    least, most = (float(end) for end in x.aminmax())
    if least < 0 or most > 1:
        levels = " (levels from 0 to 255 may be uint8, which are scaled)" if least >= 0 and 16 < most <= 255 else ""
        raise ValueError(
            f"The inputs of {options.data} range from {least:g} to {most:g}, but train takes values from 0 to 1; scale "
            f"them{levels}."
        )
    return x, data.y, names


def _check_classes(examples: Examples, name: str, may_name_column: bool) -> None:
    """Raise a ValueError that says what to do if a class has no example that is not held out."""
    trained = torch.bincount(examples.y[~examples.held], minlength=len(examples.labels))
    missing = [label for label, count in zip(examples.labels, trained.tolist(), strict=True) if not count]
    if not missing:
        return
    if may_name_column and examples.columns is not None and 2 * len(examples.labels) > len(examples.y):
        raise ValueError(
            f"Column {examples.columns.label} of {name}, the last, has {len(examples.labels):,} classes in "
            f"{len(examples.y):,} rows, too few rows to hold some out of every class; name the column of the classes "
            "with --label, or add rows."
        )
    raise ValueError(
        f"{name} has too few examples of {_listed(missing)}: all were held out; add others, remove "
        f"{'it' if len(missing) == 1 else 'them'}, or choose another --holdout or --seed."
    )


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MAX_NAMES:,} more" if len(labels) > MAX_NAMES else ""
    kind = "class" if len(labels) == 1 else "classes"
    return f"{kind} {', '.join(map(repr, labels[:MAX_NAMES]))}{more}"
