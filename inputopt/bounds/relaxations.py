"""Activations with their ranges and linear relaxations on an interval: lines that stay below and above the function.

For ReLU the relaxation is that of CROWN (Zhang et al., 2018). For the smooth activations a line of any slope is made
sound by its offset: the extremes of f(z) - slope z are read from a grid on the interval, whose error is at most
|f''| h^2 / 8 between points at distance h. Slopes of both kinds can therefore be optimised (Xu et al., 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

POINTS = 33
"""Points of the grid in the middle part of the interval."""

MIDDLE = 10.0
"""Beyond this distance from 0 the activations are straight up to `Elementwise.tail`."""

ULPS = 32 * 2.0**-52
"""Relative rounding error allowed for evaluating an activation and a line, in float64."""


@dataclass(frozen=True)
class Line:
    """The line slope * z + offset, [B, ...] each."""

    slope: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Elementwise:
    """An activation, a function of one number.

    Attributes:
        name: its name.
        function: f(z) on tensors.
        curvature: upper bound of |f''|; 0 for ReLU, which has its own relaxation.
        tail: upper bound of |f''| at distances from 0 beyond `MIDDLE`.
        lowest: (z, f(z)) of its minimum, for a function that first falls and then rises; None if it only rises.
        derivative: upper bound of |f'|.
        error: how far torch's function may be from f, beside rounding.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    curvature: float = 0.0
    tail: float = 0.0
    lowest: tuple[float, float] | None = None
    derivative: float = 1.0
    error: float = 0.0

    @property
    def is_relu(self) -> bool:
        """Whether it is max(z, 0)."""
        return self.curvature == 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self.function(inputs[0])

    def range(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest value on [low, high], widened by the rounding of smooth functions."""
        at_low, at_high = self.function(low), self.function(high)
        if self.is_relu:
            return at_low, at_high
        least, most = at_low, at_high
        if self.lowest is not None:
            place, value = self.lowest
            least = torch.where(high < place, at_high, torch.where(low > place, at_low, value))
            most = torch.maximum(at_low, at_high)
        slack = self.error + ULPS * (1 + torch.maximum(least.abs(), most.abs()))
        return least - slack, most + slack

    def magnitude(self, size: Tensor) -> Tensor:
        """Upper bound of |slope z| + |offset| of every line made here, for |z| <= size."""
        if self.is_relu:
            return 2 * size
        return 3 * self.derivative * size + 2 + self.tail / 8 * size.square()


def relu() -> Elementwise:
    """max(z, 0)."""
    return Elementwise("relu", torch.relu)


SIGMOID = Elementwise("sigmoid", torch.sigmoid, 0.0963, 4.6e-5, None, 0.2501)
TANH = Elementwise("tanh", torch.tanh, 0.7699, 1e-8)
SILU = Elementwise("silu", functional.silu, 0.5001, 4e-4, (-1.2784645427610738, -0.27846454276107385), 1.1)
GELU = Elementwise("gelu", functional.gelu, 0.7979, 1e-8, (-0.7517916243860462, -0.16997120747990369), 1.1290)
TANH_GELU = Elementwise(
    "gelu",
    lambda z: functional.gelu(z, approximate="tanh"),
    0.7979,
    1e-6,
    (-0.7524614220710162, -0.17004075057125412),
    1.1292,
)
ELU = Elementwise("elu", functional.elu, 1.0, 4.6e-5)
SOFTPLUS = Elementwise(
    "softplus", lambda z: functional.softplus(z, threshold=50), 0.2501, 4.6e-5, error=2.1e-9
)  # torch's default is the identity above 20, which is 2.06e-9 below


def relu_lines(low: Tensor, high: Tensor, slope: Tensor | None = None) -> tuple[Line, Line]:
    """Lines below and above max(z, 0) on [low, high]; outward rounded.

    Args:
        low, high: the interval [B, ...].
        slope: slope in [0, 1] of the lower line where the sign of z is open; the adaptive slope of CROWN if not given.
    """
    active, open_sign = low >= 0, (low < 0) & (high > 0)
    above = torch.where(open_sign, high / (high - low).clamp_min(torch.finfo(low.dtype).tiny), active.to(low.dtype))
    shift = torch.where(open_sign, torch.maximum(-above * low, high - above * high) * (1 + ULPS), 0.0)
    chosen = (above > 0.5).to(low.dtype) if slope is None else slope
    below = torch.where(open_sign, chosen, active.to(low.dtype))
    return Line(below, torch.zeros_like(below)), Line(above, shift)


def smooth_lines(
    kind: Elementwise, low: Tensor, high: Tensor, slopes: tuple[Tensor, Tensor] | None = None
) -> tuple[Line, Line]:
    """Lines below and above a smooth activation on [low, high].

    Args:
        kind: the activation.
        low, high: the interval [B, ...].
        slopes: slopes of the lower and the upper line, of any value; the best of a few candidates if not given.
    """
    grid, gap = _grid(kind, low, high)
    values = kind.function(grid)
    if slopes is None:
        slopes = _first_slopes(kind, grid, values, gap)
    slack = kind.error + ULPS * (1 + values.abs().amax(-1))
    below, above = (_offsets(grid, values, slope, gap)[side] for side, slope in enumerate(slopes))
    size = torch.maximum(low.abs(), high.abs())
    return (
        Line(slopes[0], below - slack - ULPS * slopes[0].abs() * size),
        Line(slopes[1], above + slack + ULPS * slopes[1].abs() * size),
    )


def _grid(kind: Elementwise, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Points of [low, high] in order, [..., P], and the error between neighbouring ones, [..., P - 1]."""
    start, end = low.clamp(-MIDDLE, MIDDLE), high.clamp(-MIDDLE, MIDDLE)
    share = torch.linspace(0, 1, POINTS, dtype=low.dtype, device=low.device)
    inside = start[..., None] + (end - start)[..., None] * share
    grid = torch.cat([low[..., None], inside, high[..., None]], -1)
    width = grid.diff(dim=-1).abs() * (1 + ULPS)
    curvature = grid.new_full((POINTS + 1,), kind.curvature)
    curvature[0] = curvature[-1] = kind.tail
    return grid, width.square() * (curvature / 8)


def _offsets(grid: Tensor, values: Tensor, slope: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """The offsets with which a line of `slope` is below, and above, the function."""
    rest = values - slope[..., None] * grid
    below = torch.minimum(rest[..., 1:], rest[..., :-1]) - gap
    above = torch.maximum(rest[..., 1:], rest[..., :-1]) + gap
    return below.amin(-1), above.amax(-1)


def _first_slopes(kind: Elementwise, grid: Tensor, values: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Of a few slopes those whose lines have the least area between them and the function."""
    width = grid[..., -1] - grid[..., 0]
    chord = torch.where(width > 1e-9, (values[..., -1] - values[..., 0]) / width.clamp_min(1e-9), 0.0)
    places = [0, (POINTS + 1) // 4, (POINTS + 1) // 2, 3 * (POINTS + 1) // 4, POINTS + 1]
    slopes = [chord, torch.zeros_like(chord), torch.ones_like(chord)]
    slopes += [_derivative(kind, grid[..., place]) for place in places]
    middle = (grid[..., -1] + grid[..., 0]) / 2
    best = [chord, chord]
    value = [torch.full_like(chord, -math.inf), torch.full_like(chord, math.inf)]
    for slope in (each.clamp(-kind.derivative, kind.derivative) for each in slopes):
        below, above = _offsets(grid, values, slope, gap)
        for side, (offset, sign) in enumerate(((below, 1), (above, -1))):
            at_middle = slope * middle + offset
            better = sign * at_middle > sign * value[side]
            best[side] = torch.where(better, slope, best[side])
            value[side] = torch.where(better, at_middle, value[side])
    return best[0], best[1]


def _derivative(kind: Elementwise, place: Tensor) -> Tensor:
    """A difference quotient; a slope need not be exact, because its offset makes the line sound."""
    return (kind.function(place + 1e-6) - kind.function(place - 1e-6)) / 2e-6
