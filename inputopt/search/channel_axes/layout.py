"""What an objective must know of a network before a search: where its layers keep channels, and its inputs' range."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.search.bounds import lengths
from inputopt.search.channel_axes.follower import Follower

Axis = int | Mapping[str, int] | None
"""The axis of channels as a user states it: one for every layer, one a layer, or None to have it found."""


@dataclass(frozen=True)
class Layout:
    """How a layer's output [B, ...] is laid out.

    Attributes:
        layer: its name.
        shape: of its output for one example, with a leading 1 for the batch.
        axis: the one that holds the channels, 1 or more; all others but the first are places.
        before, after: how many of the first and last places are not the input's but were concatenated to it, such as
            class tokens; known only of layers with one axis of places.
    """

    layer: str
    shape: tuple[int, ...]
    axis: int
    before: int = 0
    after: int = 0

    @property
    def channels(self) -> int:
        """How many there are."""
        return self.shape[self.axis]

    @property
    def places(self) -> tuple[int, ...]:
        """The lengths of the axes of places, (H, W) or (N,) or ()."""
        return self.shape[1 : self.axis] + self.shape[self.axis + 1 :]

    def __str__(self) -> str:
        shape = ", ".join(["B", *map(str, self.shape[1:])])
        added = self.before + self.after
        more = f", {added} of them not the input's (class tokens)" if added else ""
        places = math.prod(self.places)
        number = f"{places} place{'s' if places != 1 else ''}"
        return f"{self.channels} channels on axis {self.axis} of [{shape}], {number}{more}"


@dataclass(frozen=True)
class NetworkGeometry:
    """A network as an objective sees it, for inputs of one shape.

    Attributes:
        layouts: of the layers that the objective looks at; None where it cannot be told.
        shapes: of what they put out for one example, [1, ...].
        width: the length that each number of an input is measured in, broadcasts with [B, ...].
        used: the layouts that were asked for so far; filled by `layout`.
    """

    layouts: Mapping[str, Layout | None]
    shapes: Mapping[str, tuple[int, ...]]
    width: Tensor | float
    used: list[Layout] = field(default_factory=list)

    def layout(self, layer: str, axis: Axis = None) -> Layout:
        """How a layer is laid out; `axis` where the user says it.

        Raises:
            ValueError: it cannot be told and is not said, or there is no such axis.
        """
        found, shape, stated = self.layouts[layer], self.shapes[layer], axis_of(layer, axis)
        if stated is not None:
            place = counted(layer, stated, len(shape))
            found = found if found is not None and found.axis == place else Layout(layer, shape, place)
        if found is None:
            raise ValueError(unknown_axis(layer, shape))
        if found not in self.used:
            self.used.append(found)
        return found


def network_geometry(net: Frozen, x: Tensor, layers: Sequence[str]) -> NetworkGeometry:
    """Look at how a network lays out what the named layers put out for an input `x` [1, ...], in one forward.

    Raises:
        ValueError: an unknown layer, or one that does not put out one row for an input.
    """
    seen: dict[str, Tensor] = {}
    found: dict[str, Layout | None] = {}
    if layers:
        x = x.detach().clone()  # a tensor of its own: only what is computed from it is followed
        with torch.no_grad(), Follower(x) as follower:
            seen = net.features(x, list(layers))
        found = {layer: _layout(layer, each, follower) for layer, each in seen.items()}
    return NetworkGeometry(found, {layer: tuple(each.shape) for layer, each in seen.items()}, lengths(net, x))


def _layout(layer: str, seen: Tensor, follower: Follower) -> Layout | None:
    shape = tuple(seen.shape)
    if seen.ndim < 2 or len(seen) != 1:
        raise ValueError(
            f"Layer {layer!r} puts out {list(shape)} for one input, and not one row [1, ...] an input: its first axis "
            "holds windows or something else with the batch; choose another layer."
        )
    axes = follower.axes(seen)
    known = axes.channels if seen.ndim > 2 else {1}
    if len(known) != 1:
        return None
    (axis,) = known
    layout = Layout(layer, shape, axis)
    if len(layout.places) != 1:
        return layout
    before, after = axes.added.get(3 - axis, (0, 0))
    return replace(layout, before=before, after=after)


def axis_of(layer: str, axis: Axis) -> int | None:
    """What a user says of one layer's axis.

    Raises:
        TypeError: neither a whole number, nor a dict with one for each layer.
    """
    said: Any = axis.get(layer) if isinstance(axis, Mapping) else axis
    return None if said is None else checks.whole("axis", said, least=-MOST_AXES)


MOST_AXES = 64
"""More axes than torch has."""


def counted(layer: str, axis: int, ndim: int) -> int:
    """An axis of `ndim`, counted from the front.

    Raises:
        ValueError: there is no such axis, or it is that of the batch.
    """
    place = axis + ndim if axis < 0 else axis
    if not 0 < place < ndim:
        raise ValueError(
            f"axis must be one of 1 to {ndim - 1} (or negative) in {layer}, and not {axis}: 0 is the batch."
        )
    return place


def unknown_axis(layer: str, shape: Sequence[int]) -> str:
    """The sentence that asks for an axis."""
    sizes = ", ".join(["B", *map(str, shape[1:])])
    return (
        f"Which axis of what {layer!r} puts out, [{sizes}], holds its channels cannot be told; say it with axis=, such "
        "as axis=1 for [B, C, H, W] or axis=-1 for tokens [B, N, C]."
    )


def channels_second(seen: Tensor, layer: str, axis: int | None) -> Tensor:
    """A layer's output with its channels moved to axis 1, [B, C, ...].

    Raises:
        ValueError: the axis is not known, and there is more than one that it could be.
    """
    if axis is None and seen.ndim != 2:
        raise ValueError(unknown_axis(layer, seen.shape))
    place = 1 if axis is None else counted(layer, axis, seen.ndim)
    return seen if place == 1 else seen.movedim(place, 1)


@functools.lru_cache(maxsize=64)
def grid_of(places: int, height: int, width: int) -> tuple[int, int] | None:
    """The rows and columns in which that many places cover an image of height x width with squares of one size.

    The squares may leave an edge of the image out, or reach over it. None where no grid does so.

    >>> grid_of(196, 224, 224), grid_of(144, 144, 256), grid_of(197, 224, 224)
    ((14, 14), (9, 16), None)
    """
    found = [
        (rows, places // rows)
        for rows in range(1, places + 1)
        if places % rows == 0 and _covers(rows, places // rows, height, width)
    ]
    return found[0] if len(found) == 1 else None


def _covers(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether squares of one side are so many down and across, rounded down on both sides or up on both."""
    down = max(height / (rows + 1), width / (columns + 1)) < min(height / rows, width / columns)
    up = max(height / rows, width / columns) < min(_less_one(height, rows), _less_one(width, columns))
    return down or up


def _less_one(length: int, count: int) -> float:
    return length / (count - 1) if count > 1 else math.inf
