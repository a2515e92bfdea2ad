"""What is known about the axes of a tensor in the middle of a network, and how that changes from tensor to tensor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Axes:
    """What is known about the axes of a tensor that depends on the input.

    Attributes:
        channels: the axis that holds the channels; none where that is unknown, several where it is ambiguous.
        older: axes that held channels before the last weights and are still there, such as the features of tokens while
            weights mix the tokens.
        added: for an axis of places, how many of its first and how many of its last entries were concatenated to what
            came from the input, such as class tokens.
    """

    channels: frozenset[int] = frozenset()
    older: frozenset[int] = frozenset()
    added: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def moved(self, to: Callable[[int], int | None]) -> Axes:
        """The axes after an operation that takes each to another position, or loses it (None)."""
        channels, older = (
            frozenset(new for axis in axes if (new := to(axis)) is not None) for axes in (self.channels, self.older)
        )
        added = {new: ends for axis, ends in self.added.items() if (new := to(axis)) is not None}
        return Axes(channels, older - channels, added)

    def weighted(self, axis: int) -> Axes:
        """The axes after weights made new channels on `axis`, and left the other axes where they were."""
        added = {place: ends for place, ends in self.added.items() if place != axis}
        return Axes(frozenset({axis}), (self.channels | self.older) - {axis}, added)

    def joined(self, other: Axes) -> Axes:
        """The axes of a sum, a product or the like of two tensors.

        Where the two disagree about the channels, an axis that either of them had before decides: in a block that mixes
        tokens, the skip connection and the branch have the features of the tokens in common.
        """
        added = {**self.added, **other.added}
        for axis in self.added.keys() & other.added.keys():
            if self.added[axis] != other.added[axis]:
                del added[axis]
        mine, theirs = self.channels | self.older, other.channels | other.older
        if not mine or not theirs:
            known = self if mine else other
            return Axes(known.channels, known.older, added)
        channels = self.channels & other.channels or mine & theirs or self.channels | other.channels
        return Axes(channels, (mine & theirs) - channels, added)

    def with_added(self, axis: int, ends: tuple[int, int]) -> Axes:
        """As it is, but with so many entries added at the two ends of an axis."""
        others = {place: both for place, both in self.added.items() if place != axis}
        return Axes(self.channels, self.older, {**others, axis: ends} if any(ends) else others)


UNKNOWN = Axes()


def all_joined(found: Iterable[Axes]) -> Axes:
    """Of any number of tensors."""
    return functools.reduce(Axes.joined, found, UNKNOWN)


@dataclass(frozen=True)
class Call:
    """One call of an operation.

    Attributes:
        named: its arguments by the names in its schema; those left out are missing.
        known: the axes of a tensor, None for one that does not depend on the input.
    """

    named: Mapping[str, Any]
    known: Callable[[Tensor], Axes | None]

    def axes(self, *names: str) -> Axes:
        """The axes of the first of these arguments that there is."""
        value = next((self.named[name] for name in names if name in self.named), None)
        return (self.known(value) if isinstance(value, Tensor) else None) or UNKNOWN

    def dim(self, name: str, like: Tensor, default: int = 0) -> int:
        """An argument that says an axis of `like`, counted from the front."""
        return int(self.named.get(name, default)) % max(1, like.ndim)

    def dependent(self) -> list[tuple[Tensor, Axes]]:
        """The arguments that depend on the input."""
        pairs = [(each, self.known(each)) for each in tensors(self.named.values())]
        return [(each, axes) for each, axes in pairs if axes is not None]


def tensors(values: Iterable[Any]) -> list[Tensor]:
    """All tensors among values and in lists of them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found.extend(each for each in value if isinstance(each, Tensor))
    return found
