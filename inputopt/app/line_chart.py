"""Line charts as SVG, in the colours of the page: no plotting library runs in the browser, and dark mode is free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 460, 266
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 50, 42
FLOOR = 1e-12
"""Smaller values are drawn here, because the axes are logarithmic."""


def line_chart(title: str, index: Sequence[int], lines: Mapping[str, Sequence[float]]) -> str:
    """Draw values over the number of updates, both axes logarithmic.

    Args:
        title: title of the chart.
        index: number of updates at each point, [S].
        lines: values by their name, each [S].
    """
    last = {name: values[-1] for name, values in lines.items() if len(values)}
    summary = "; ".join(f"{name} {value:.3g} after {index[-1]} updates" for name, value in last.items())
    parts = [
        f'<figure class="io-chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}: {escape(summary or "no values yet")}">',
        f'<text x="{LEFT}" y="16" class="io-title">{escape(title)}</text>',
    ]
    if last:
        parts += _axes_and_lines(index, lines)
    return "".join([*parts, "</svg></figure>"])


def _axes_and_lines(index: Sequence[int], lines: Mapping[str, Sequence[float]]) -> list[str]:
    logs = {name: [math.log10(_positive(value)) for value in values] for name, values in lines.items()}
    every = [value for values in logs.values() for value in values]
    low, high = math.floor(min(every)), math.ceil(max(every))
    high = high if high > low else low + 1
    most = max(1.0, math.log10(1 + index[-1]))
    across, down = (WIDTH - LEFT - RIGHT) / most, (HEIGHT - TOP - BOTTOM) / (high - low)
    parts = []
    for power in range(low, high + 1, max(1, (high - low) // 4)):
        y = HEIGHT - BOTTOM - (power - low) * down
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="io-grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_power(power)}</text>')
    for power in range(int(most) + 1):
        x = LEFT + power * across
        anchor = "end" if x > WIDTH - RIGHT - 20 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 24}" text-anchor="{anchor}">{10**power:,}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">updates + 1 (logarithmic)</text>')
    for number, (name, values) in enumerate(logs.items()):
        points = [
            (LEFT + math.log10(1 + at) * across, HEIGHT - BOTTOM - (value - low) * down)
            for at, value in zip(index, values, strict=True)
        ]
        parts.append(_line(points, number))
        x = LEFT + number * (WIDTH - LEFT - RIGHT) / max(3, len(logs))
        parts.append(f'<text x="{x:.0f}" y="37" class="io-line{number % 6}">{_mark(number)} {escape(name)}</text>')
    return parts


def _line(points: Sequence[tuple[float, float]], number: int) -> str:
    """One line, or a dot while there is only one point; dashes tell the lines apart without colour."""
    kind = f"io-line{number % 6}"
    if not any(a != b for a, b in pairwise(points)):
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3.5" class="{kind}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" class="{kind}"/>'


def _mark(number: int) -> str:
    return ("—", "- -", "···", "-·-", "— —", "·-·")[number % 6]


def _positive(value: float) -> float:
    return value if value > FLOOR and math.isfinite(value) else FLOOR


def _power(power: int) -> str:
    """A power of ten: plainly where that is short.

    >>> _power(-2), _power(3), _power(-6)
    ('0.01', '1000', '1e-6')
    """
    return f"{10.0**power:g}" if -3 < power < 4 else f"1e{power}"
