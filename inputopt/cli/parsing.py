"""Parsers of the values of options; every value is checked when it is parsed, and errors are one sentence."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from inputopt.errors import one_of

Value = TypeVar("Value")
Read = Callable[[str], Value]
"""Parses the text of an option; raises `argparse.ArgumentTypeError` with text that continues the option's name."""


MOST_INDICES = 10_000
"""Largest length of a range of channel numbers."""


def whole(least: int = 1, most: int | None = None) -> Read[int]:
    """Parser for a whole number from `least` to `most`."""
    limits = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise _must(f"be a whole number {limits}", text)
        return value

    return read


def class_or_name(text: str) -> str:
    """Parse a class, a name or a number, which is looked up where the network is known (`typed_classes`)."""
    if not text.strip():
        raise _must("be a class, by name or by number", text)
    return text


def seed(text: str) -> int:
    """Parse a seed: a whole number of any size."""
    try:
        return int(text)
    except ValueError:
        raise _must("be a whole number", text) from None


def number(least: float | None = None, most: float | None = None, *, above: float | None = None) -> Read[float]:
    """Parser for a finite number: at least `least` or above `above`, and at most `most`."""
    bounds = {"at least": least, "above": above, "at most": most}
    limits = " and ".join(f"{words} {value:g}" for words, value in bounds.items() if value is not None)

    def read(text: str) -> float:
        value = _float(text)
        low = (least is None or value >= least) and (above is None or value > above)
        if not (math.isfinite(value) and low and (most is None or value <= most)):
            raise _must(f"be a finite number {limits}".rstrip(), text)
        return value

    return read


def probability(text: str) -> float:
    """Parse a number between 0 and 1, both excluded."""
    value = _float(text)
    if not 0 < value < 1:
        raise _must("be a probability between 0 and 1", text)
    return value


def numbers(text: str) -> list[float]:
    """Parse finite numbers separated by commas.

    >>> numbers("0.05,0.1")
    [0.05, 0.1]
    """
    values = [_float(part) for part in text.split(",")]
    if not all(map(math.isfinite, values)):
        raise _must("be finite numbers separated by commas", text)
    return values


def positives(text: str) -> list[float]:
    """Parse numbers above 0 separated by commas."""
    values = [_float(part) for part in text.split(",")]
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise _must("be numbers above 0 separated by commas", text)
    return values


def bounds(text: str) -> tuple[list[float], list[float]]:
    """Parse the lowest and highest value: LOW,HIGH, or one of each per channel as LOW,LOW,LOW:HIGH,HIGH,HIGH.

    >>> bounds("-1,1"), bounds("0,0,0:1,1,255")
    (([-1.0], [1.0]), ([0.0, 0.0, 0.0], [1.0, 1.0, 255.0]))
    """
    low, colon, high = text.partition(":")
    lows, highs = ([_float(part) for part in side.split(",")] for side in (low, high or "nan"))
    if not colon and len(lows) == 2:
        lows, highs = [lows[0]], [lows[1]]
    if len(lows) != len(highs) or not all(a < b for a, b in zip(lows, highs, strict=True)):
        raise _must("be LOW,HIGH with LOW below HIGH, or one of each per channel as LOW,LOW,LOW:HIGH,HIGH,HIGH", text)
    return lows, highs


def sizes(least: int = 1, count: int | None = None, what: str = "whole numbers separated by commas") -> Read[list[int]]:
    """Parser for whole numbers separated by commas, `count` of them if given.

    >>> sizes()("2,3,1")
    [2, 3, 1]
    """

    def read(text: str) -> list[int]:
        try:
            values = [int(part) for part in text.split(",")]
        except ValueError:
            values = [least - 1]
        if min(values) < least or len(values) != (count or len(values)):
            raise _must(f"be {what}, each at least {least}", text)
        return values

    return read


def indices(text: str) -> list[int]:
    """Parse different whole numbers of at least 0 separated by commas, and ranges of them, both ends included.

    >>> indices("7,0-3")
    [7, 0, 1, 2, 3]
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MOST_INDICES:
            raise _must("be whole numbers of at least 0, or ranges such as 0-11, separated by commas", text)
        found += range(first, last + 1)
    return different(lambda _: found)(text)


def side_or_shape(text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by x.

    >>> side_or_shape("3x224x160")
    (3, 224, 160)
    """
    try:
        given = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        given = (0,)
    if min(given) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers of at least 1 separated by x, not {text[:60]!r}.")
    return given


def different(read: Read[list[Value]]) -> Read[list[Value]]:
    """Parser that reads like `read` and refuses duplicates."""

    def each(text: str) -> list[Value]:
        values = read(text)
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise argparse.ArgumentTypeError(f"has {twice} twice; give each only once.")
        return values

    return each


def names(text: str) -> list[str]:
    """Parse names separated by commas; empty and duplicate names are refused.

    >>> names("conv1, conv2")
    ['conv1', 'conv2']
    """
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise _must("be names separated by commas", text)
    return different(lambda _: values)(text)


def choice(what: str, allowed: Iterable[str]) -> Read[str]:
    """Parser for one of several words; the error for an unknown word suggests the nearest one."""
    known = list(allowed)

    def read(text: str) -> str:
        try:
            return one_of(what, text, known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _float(text: str) -> float:
    """A number or a fraction, such as 8/255; NaN for other text.

    >>> _float("8/255") == 8 / 255
    True
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _must(what: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"must {what}, not {text[:60]!r}.")
