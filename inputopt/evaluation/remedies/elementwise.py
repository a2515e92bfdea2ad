"""Preprocessing that acts on each element alone, tabulated: the search moves what it returns instead of the input.

A fine sine or a coarse code of each pixel shatters the gradient, and what it returns may lie outside of the interval
of its arguments. The search then moves in the interval of the values it can return, and every point is decoded: the
input within the ball that the preprocessing maps nearest to it (the attack on reparametrised inputs of Tramer et al.,
2020, with a table in place of a derivation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.nets.gradient_rules.gradient_repair import ENTRIES, GradientRepair, aligned, prepared, watched
from inputopt.search.problem import Problem

POSITIONS = 2**16
"""Arguments that the preprocessing is tabulated at, evenly spaced over the bounds."""

CANDIDATES = 24
"""Arguments among which the one with the nearest value is chosen, for each element."""

SAME, NOT_AFFINE = 1e-3, 1e-3
"""Largest difference of two values of one argument, and least deviation from a line, relative to the values' spread."""


@dataclass(frozen=True)
class Elementwise:
    """A canvas: z [B, ...] between the region's bounds -> the inputs whose preprocessed values are nearest to z's.

    z is first mapped from the interval of the inputs to that of the values they can have. Its gradient is
    straight-through: the network's should be that behind the preprocessing.

    Attributes:
        values: for each channel the values at `POSITIONS` evenly spaced arguments, [C, POSITIONS].
        lowest, highest: minima and maxima of `values` over windows of 1, 2, 4, ... positions, [levels, C, POSITIONS].
        low, width: the first argument, and the distance to the last; they broadcast with inputs [B, ...].
        slope, offset, largest: the line through the values, and their largest distance from it, [C].
    """

    values: Tensor
    lowest: Tensor
    highest: Tensor
    low: Tensor
    width: Tensor
    slope: Tensor
    offset: Tensor
    largest: Tensor

    def __call__(self, z: Tensor, problem: Problem) -> Tensor:
        low, high = (each.expand_as(problem.x0) for each in (problem.region.low, problem.region.high))
        share = ((z - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        x = self._decoded(share.detach(), low, high, problem.x0)
        return z + (x - z).detach() if z.requires_grad else x

    def _decoded(self, share: Tensor, low: Tensor, high: Tensor, x0: Tensor) -> Tensor:
        """The inputs between `low` and `high` whose values are nearest to this share of the interval of values."""
        first, last = self._position(low).ceil().long(), self._position(high).floor().long()
        free = first <= last  # else no position lies within the bounds
        first, last = torch.where(free, first, 0), torch.where(free, last, 0)
        smallest, largest = self._extremes(first, last)
        wanted = smallest + share * (largest - smallest)
        start, end = self._window(wanted, first, last)
        places = torch.linspace(0, 1, CANDIDATES, dtype=torch.float64, device=x0.device)
        tried = start[..., None] + ((end - start)[..., None] * places).int()
        errors = (self._at(self.values, tried) - wanted[..., None]).abs()
        best = tried.gather(-1, errors.argmin(-1, keepdim=True))[..., 0]
        found = self.low + best / (POSITIONS - 1) * self.width
        return torch.where(free, torch.minimum(torch.maximum(found.to(x0), low), high), x0)

    def _window(self, wanted: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The positions between `first` and `last` whose values can be the wanted ones, by their distance from a line.

        All of them where the values do not rise.
        """
        slope, offset, largest = (_by_channel(each, wanted.ndim) for each in (self.slope, self.offset, self.largest))
        rising = slope > 0
        slope = torch.where(rising, slope, torch.ones_like(slope))
        start = torch.where(rising, ((wanted - offset - largest) / slope).ceil(), first).clamp(0, POSITIONS - 1).long()
        end = torch.where(rising, ((wanted - offset + largest) / slope).floor(), last).clamp(0, POSITIONS - 1).long()
        start, end = torch.minimum(torch.maximum(start, first), last), torch.maximum(torch.minimum(end, last), first)
        return torch.minimum(start, end), torch.maximum(start, end)

    def _position(self, x: Tensor) -> Tensor:
        return (x.double() - self.low) / self.width * (POSITIONS - 1)

    def _extremes(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and largest value at positions `first` to `last`, both included: of two windows that overlap."""
        level = torch.log2((last - first + 1).double()).floor().long()
        second = last - 2**level + 1
        smallest = torch.minimum(*(self._at(self.lowest, at, level) for at in (first, second)))
        return smallest, torch.maximum(*(self._at(self.highest, at, level) for at in (first, second)))

    def _at(self, table: Tensor, position: Tensor, level: Tensor | None = None) -> Tensor:
        """Entries of a table [C, POSITIONS] or [levels, C, POSITIONS] at positions [B, C, ...]."""
        channels = len(self.values)
        channel = _by_channel(torch.arange(channels, device=table.device), position.ndim)
        row = channel if level is None else level * channels + channel
        return table.reshape(-1)[row * POSITIONS + position]


def elementwise(net: Frozen, x: Tensor) -> Elementwise | None:
    """Tabulate the preprocessing of a network; None if it does not act on each element alone, or is affine.

    Args:
        net: the network; its bounds must be finite.
        x: inputs [B, ...], for their shape.
    """
    low, high = (each.double() for each in net.box(x))
    width = high - low
    if not bool(width.isfinite().all()):
        return None
    channels = x.shape[1] if x.ndim == 4 else 1
    values, again = (_tabulated(net, x, low, width, channels, turned) for turned in (False, True))
    if values is None or again is None:
        return None
    spread = values.std(1).clamp_min(1e-12)
    if float(((values - again).abs().amax(1) / spread).max()) > SAME:
        return None
    at = torch.arange(POSITIONS, dtype=values.dtype, device=values.device)
    at = at - at.mean()
    slope = (values * at).sum(1) / at.square().sum()
    line = values.mean(1, keepdim=True) + slope[:, None] * at
    largest = (values - line).abs().amax(1)
    if float((largest / spread).max()) < NOT_AFFINE:
        return None
    lowest, highest = _over_windows(values, torch.minimum), _over_windows(values, torch.maximum)
    return Elementwise(values, lowest, highest, low, width, slope, line[:, 0], largest)


@torch.no_grad()
def _tabulated(net: Frozen, x: Tensor, low: Tensor, width: Tensor, channels: int, turned: bool) -> Tensor | None:
    """What the first operation with weights is given for each argument, [C, POSITIONS]; None if it differs in shape.

    `turned`: with the arguments at other places, among others.
    """
    places = x[0].numel() // channels
    images = -(-POSITIONS // places)
    order = torch.arange(images * places, device=x.device).clamp(max=POSITIONS - 1)
    if turned:
        order = order.flip(0)
    share = (order.double() / (POSITIONS - 1)).reshape(images, places)
    shares = share[:, None].expand(images, channels, places).reshape(images, *x.shape[1:])
    kept: list[Tensor] = []
    for part in torch.split(low + shares * width, max(2, len(x))):
        given = prepared(net.runner, part.to(x.dtype))
        entered = _entry(net, given)
        if entered is None:
            return None
        kept.append(entered.double().reshape(len(part), channels, places))
    values = torch.cat(kept).transpose(0, 1).reshape(channels, -1)
    table = torch.empty(channels, POSITIONS, dtype=values.dtype, device=values.device)
    return table.index_copy(1, order, values)


def _entry(net: Frozen, given: Tensor) -> Tensor | None:
    """The first argument of an operation with weights, in the input's shape; None if it has another size."""
    found: list[Tensor] = []

    def visit(number: int, tensor: Tensor) -> Tensor:
        found.append(tensor.detach())
        return tensor

    try:
        with torch.enable_grad():
            watched(net.runner, given.detach().requires_grad_(), GradientRepair(input_tap=ENTRIES), visit)
    except Exception:  # models may refuse tensors that carry a gradient, in any way
        return None
    if not found or found[0].numel() != given.numel():
        return None
    first = found[0]
    if first.shape == given.shape or aligned(given, first).shape == given.shape:
        return first.reshape(given.shape)
    if given.ndim == 4 and first.shape == given.permute(0, 2, 3, 1).shape:
        return first.permute(0, 3, 1, 2)
    return first.reshape(given.shape)


def _over_windows(values: Tensor, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Extremes of [C, POSITIONS] over windows of 1, 2, 4, ... positions from each on, [levels, C, POSITIONS]."""
    levels = [values]
    while 2 ** len(levels) <= POSITIONS:
        before, half = levels[-1], 2 ** (len(levels) - 1)
        moved = torch.cat([before[:, half:], before[:, -1:].expand(-1, half)], 1)
        levels.append(extreme(before, moved))
    return torch.stack(levels)


def _by_channel(values: Tensor, ndim: int) -> Tensor:
    """One number per channel [C], to broadcast with [B, C, ...]; a single one with any shape."""
    return values.reshape(-1, *(1,) * (ndim - 2)) if len(values) > 1 else values.reshape(())
