"""Layout of layer outputs (channel axis, spatial or token axes) and the input scale that objectives need."""

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
"""The user's channel axis: one for all layers, a mapping from layer to axis, or None to detect it."""


@dataclass(frozen=True)
class Layout:
    """Layout of a layer's output [B, ...].

    Attributes:
        layer: name of the layer.
        shape: shape of its output for one example, [1, ...].
        axis: the channel axis, 1 or more; all others except the batch axis are places (spatial or token positions).
        before, after: number of first and last places that do not come from the input but were concatenated, such as
            class tokens; known only for layers with one axis of places.
    """

    layer: str
    shape: tuple[int, ...]
    axis: int
    before: int = 0
    after: int = 0

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[self.axis]

    @property
    def places(self) -> tuple[int, ...]:
        """Lengths of the axes of places: (H, W), (N,) or ()."""
        return self.shape[1 : self.axis] + self.shape[self.axis + 1 :]

    def __str__(self) -> str:
        shape = ", ".join(["B", *map(str, self.shape[1:])])
        added = self.before + self.after
        more = f", {added} of them not from the input (class tokens)" if added else ""
        places = math.prod(self.places)
        number = f"{places} position{'s' if places != 1 else ''}"
        return f"{self.channels} channels on axis {self.axis} of [{shape}], {number}{more}"


@dataclass(frozen=True)
class NetworkGeometry:
    """Layer layouts and input scale of a network, for inputs of one shape.

    Attributes:
        layouts: layout of each layer that the objective uses; None if it cannot be determined.
        shapes: output shape of each of these layers for one example, [1, ...].
        width: unit of length for each input element, broadcasts with [B, ...].
        used: the layouts requested so far; filled by `layout`.
    """

    layouts: Mapping[str, Layout | None]
    shapes: Mapping[str, tuple[int, ...]]
    width: Tensor | float
    used: list[Layout] = field(default_factory=list)

    def layout(self, layer: str, axis: Axis = None) -> Layout:
        """Layout of a layer, with the user's `axis` if given.

        Raises:
            ValueError: the channel axis cannot be determined and is not given, or there is no such axis.
        """
        found, shape, stated = self.layouts[layer], self.shapes[layer], axis_of(layer, axis)
        if stated is not None:
            place = nonnegative_axis(layer, stated, len(shape))
            found = found if found is not None and found.axis == place else Layout(layer, shape, place)
        if found is None:
            raise ValueError(unknown_axis(layer, shape))
        if found not in self.used:
            self.used.append(found)
        return found


def network_geometry(net: Frozen, x: Tensor, layers: Sequence[str]) -> NetworkGeometry:
    """Determine the layouts of the named layers in one forward on an input `x` [1, ...].

    Raises:
        ValueError: a layer is unknown, or its output does not have one row per input.
    """
    seen: dict[str, Tensor] = {}
    found: dict[str, Layout | None] = {}
    if layers:
        x = x.detach().clone()  # a new tensor, so that only what is computed from it is tracked
        with torch.no_grad(), Follower(x) as follower:
            seen = net.features(x, list(layers))
        found = {layer: _layout(layer, each, follower) for layer, each in seen.items()}
    return NetworkGeometry(found, {layer: tuple(each.shape) for layer, each in seen.items()}, lengths(net, x))


def _layout(layer: str, seen: Tensor, follower: Follower) -> Layout | None:
    shape = tuple(seen.shape)
    if seen.ndim < 2 or len(seen) != 1:
        raise ValueError(
            f"The output of layer {layer!r} for one input has shape {list(shape)} instead of [1, ...]: its first axis "
            "combines the batch with something else, such as windows; choose another layer."
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
    """The user's axis for one layer; None if not given.

    Raises:
        TypeError: `axis` is neither an integer nor a mapping from layers to integers.
    """
    value: Any = axis.get(layer) if isinstance(axis, Mapping) else axis
    return None if value is None else checks.whole("axis", value, least=-MOST_AXES)


MOST_AXES = 64
"""More axes than a torch tensor can have."""


def nonnegative_axis(layer: str, axis: int, ndim: int) -> int:
    """A possibly negative axis of a tensor with `ndim` axes as a non-negative index.

    Raises:
        ValueError: there is no such axis, or it is the batch axis.
    """
    place = axis + ndim if axis < 0 else axis
    if not 0 < place < ndim:
        raise ValueError(f"axis must be 1 to {ndim - 1} (or negative) in {layer}, not {axis}: axis 0 is the batch.")
    return place


def unknown_axis(layer: str, shape: Sequence[int]) -> str:
    """Error message that asks the user for the channel axis of a layer."""
    sizes = ", ".join(["B", *map(str, shape[1:])])
    return (
        f"The channel axis of the output of {layer!r}, [{sizes}], cannot be determined; give it with axis=, such as "
        "axis=1 for [B, C, H, W] or axis=-1 for tokens [B, N, C]."
    )


def channels_second(seen: Tensor, layer: str, axis: int | None) -> Tensor:
    """A layer's output with its channels moved to axis 1, [B, C, ...].

    Raises:
        ValueError: the axis is None and the output is not [B, C], or there is no such axis.
    """
    if axis is None and seen.ndim != 2:
        raise ValueError(unknown_axis(layer, seen.shape))
    place = 1 if axis is None else nonnegative_axis(layer, axis, seen.ndim)
    return seen if place == 1 else seen.movedim(place, 1)


@functools.lru_cache(maxsize=64)
def grid_of(places: int, height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns of the grid in which that many places cover an image of height x width with equal squares.

    The squares may leave out an edge of the image or extend beyond it. None if not exactly one such grid exists.

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
    """Whether one square size gives this many rows and columns, with both counts rounded down or both rounded up."""
    down = max(height / (rows + 1), width / (columns + 1)) < min(height / rows, width / columns)
    up = max(height / rows, width / columns) < min(_max_side(height, rows), _max_side(width, columns))
    return down or up


def _max_side(length: int, count: int) -> float:
    return length / (count - 1) if count > 1 else math.inf
