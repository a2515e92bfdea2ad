"""Cells of a table: which are numbers, and one spelling for each class that is a number."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import torch

LARGEST = torch.finfo(torch.float32).max
EXACT = 2**53
"""Whole numbers below are written without an exponent."""


def is_number(text: str) -> bool:
    """Whether a cell is a finite number; digits grouped by underscores are not.

    >>> [is_number(text) for text in ("1e3", "nan", "1_000", "")]
    [True, False, False, False]
    """
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


def fault_of(cell: str) -> str:
    """What is wrong with a cell that an input is read from, and what to do; empty if nothing is."""
    if not is_number(cell):
        return f"{cell!r} where a finite number is expected; remove or encode it"
    if abs(float(cell)) > LARGEST:
        return f"{cell!r}, which is beyond the range of 32-bit numbers; scale its column"
    return ""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes, each once: numbers by value, then the others by the alphabet."""
    return tuple(sorted(set(names), key=lambda name: (not is_number(name), _value(name), name)))


def spellings(names: Iterable[str], known: Sequence[str] = ()) -> Mapping[str, str]:
    """One spelling for each name of a class: if all are numbers, equal numbers have the same.

    Args:
        names: the names as they are written in the table.
        known: names of the network's classes, whose spelling is preferred.

    >>> spellings(["0", "0.0", "1.0"])
    {'0': '0', '0.0': '0', '1.0': '1'}
    >>> spellings(["0", "0.0", "no"])
    {'0': '0', '0.0': '0.0', 'no': 'no'}
    """
    different = sorted(set(names))
    if not all(map(is_number, different)):
        return {name: name for name in different}
    groups: dict[Decimal, list[str]] = defaultdict(list)
    for name in different:
        groups[Decimal(name)].append(name)
    of_network = {Decimal(name): name for name in reversed(known) if is_number(name)}
    return {
        name: name if name in known else of_network.get(value) or _spelling(value, group)
        for value, group in groups.items()
        for name in group
    }


def _spelling(value: Decimal, written: Sequence[str]) -> str:
    digits = [text for text in written if text.isdecimal()]
    if not digits and abs(value) < EXACT and value == int(value):
        return str(int(value))
    return min(digits or written, key=lambda text: (len(text), text))


def _value(name: str) -> Decimal:
    return Decimal(name) if is_number(name) else Decimal(0)
