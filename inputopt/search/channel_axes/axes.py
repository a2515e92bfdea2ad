"""The roles of a tensor's axes (channels, positions) inside a network, and how operations change them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Axes:
    """Known roles of the axes of a tensor that depends on the input.

    Attributes:
        channels: the channel axis; empty if unknown, several axes if ambiguous.
        older: axes that were the channel axis before the last weights and still exist, such as token features where
            weights mix the tokens.
        added: maps a spatial or token axis to the number of its first and of its last entries that do not come from the
            input but were concatenated, such as class tokens.
    """

    channels: frozenset[int] = frozenset()
    older: frozenset[int] = frozenset()
    added: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def moved(self, to: Callable[[int], int | None]) -> Axes:
        """The axes after an operation that moves each axis to position `to(axis)`, or removes it (None)."""
        channels, older = (
            frozenset(new for axis in axes if (new := to(axis)) is not None) for axes in (self.channels, self.older)
        )
        added = {new: ends for axis, ends in self.added.items() if (new := to(axis)) is not None}
        return Axes(channels, older - channels, added)

    def weighted(self, axis: int) -> Axes:
        """The axes after weights created new channels on `axis` and left the other axes in place."""
        added = {position: ends for position, ends in self.added.items() if position != axis}
        return Axes(frozenset({axis}), (self.channels | self.older) - {axis}, added)

    def joined(self, other: Axes) -> Axes:
        """The axes of an elementwise combination of two tensors, such as a sum or product.

        If their channel axes differ, the axes that both have among `channels` and `older` are used: in a token-mixing
        block, the skip connection and the branch share the axis of the token features.
        """
        added = {**self.added, **other.added}
        for axis in self.added.keys() & other.added.keys():
            if self.added[axis] != other.added[axis]:
                del added[axis]
        left, right = self.channels | self.older, other.channels | other.older
        if not left or not right:
            known = self if left else other
            return Axes(known.channels, known.older, added)
        channels = self.channels & other.channels or left & right or self.channels | other.channels
        return Axes(channels, (left & right) - channels, added)

    def with_added(self, axis: int, ends: tuple[int, int]) -> Axes:
        """A copy in which `ends` = (first, last) entries of `axis` count as concatenated."""
        others = {position: both for position, both in self.added.items() if position != axis}
        return Axes(self.channels, self.older, {**others, axis: ends} if any(ends) else others)


UNKNOWN = Axes()


def all_joined(found: Iterable[Axes]) -> Axes:
    """The axes of an elementwise combination of any number of tensors."""
    return functools.reduce(Axes.joined, found, UNKNOWN)


@dataclass(frozen=True)
class Call:
    """One call of an operation.

    Attributes:
        named: maps argument names of the schema to the values given; omitted arguments are missing.
        known: returns the axes of a tensor; None for a tensor that does not depend on the input.
    """

    named: Mapping[str, Any]
    known: Callable[[Tensor], Axes | None]

    def axes(self, *names: str) -> Axes:
        """The axes of the first of these arguments that was given."""
        value = next((self.named[name] for name in names if name in self.named), None)
        return (self.known(value) if isinstance(value, Tensor) else None) or UNKNOWN

    def dim(self, name: str, like: Tensor, default: int = 0) -> int:
        """An argument that is an axis of `like`, as a non-negative index."""
        return int(self.named.get(name, default)) % max(1, like.ndim)

    def dependent(self) -> list[tuple[Tensor, Axes]]:
        """The tensor arguments that depend on the input, with their axes."""
        pairs = [(each, self.known(each)) for each in tensors(self.named.values())]
        return [(each, axes) for each, axes in pairs if axes is not None]


def tensors(values: Iterable[Any]) -> list[Tensor]:
    """All tensors among the values and in tuples or lists among them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found.extend(each for each in value if isinstance(each, Tensor))
    return found
