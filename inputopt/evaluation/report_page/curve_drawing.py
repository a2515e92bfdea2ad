"""Accuracy against distance as SVG: a step function with its 95 % band, and the evaluation's figures at its eps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from markupsafe import Markup
from torch import Tensor

from inputopt.evaluation.confidence import Interval, wilson
from inputopt.evaluation.curve_figure import curve_of
from inputopt.evaluation.report_page.svg_marks import element, joined, ticks
from inputopt.evaluation.report_text import eps_text, with_interval

LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 28.0, 48.0
SHARE_SHOWN = 0.98
"""Fraction of the finite distances that the axis covers; a few far ones would squeeze the others."""

APART = 12.0
"""Pixels between figures at the same distance, which may be equal."""

UNITS = {
    "linf": "largest change of any element (Linf)",
    "l2": "Euclidean length of the change (L2)",
    "l1": "sum of all changes (L1)",
    "l0": "number of changed elements (L0)",
}


@dataclass(frozen=True)
class CurvePoint:
    """An accuracy at a distance, with its 95 % interval."""

    distance: float
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class Axes:
    """The scales of a drawing: distance 0 to `limit` and accuracy 0 to 1 on a canvas of width x height."""

    width: float
    height: float
    limit: float

    def x(self, distance: float) -> float:
        """Horizontal place of a distance."""
        return LEFT + (self.width - LEFT - RIGHT) * min(distance, self.limit) / self.limit

    def y(self, share: float) -> float:
        """Vertical place of an accuracy."""
        return TOP + (self.height - TOP - BOTTOM) * (1 - share)


def axis_limit(distance: Tensor, eps: float | None) -> float:
    """The largest distance that is drawn: most of the finite ones, and some way beyond eps."""
    finite = distance[torch.isfinite(distance)].double()
    furthest = float(finite.quantile(SHARE_SHOWN)) if len(finite) else 0.0
    return 1.05 * max(furthest, 1.3 * (eps or 0.0)) or 1.0


def points_at(distance: Tensor, places: list[float]) -> list[CurvePoint]:
    """The accuracy at given distances, from the minimal distances [n] of n inputs."""
    shares = [float((distance > place).double().mean()) for place in places]
    return [CurvePoint(place, share, wilson(share, len(distance))) for place, share in zip(places, shares, strict=True)]


def curve_drawing(
    distance: Tensor, norm: str, eps: float | None, marks: list[tuple[str, CurvePoint]], width: float, height: float
) -> Markup:
    """The curve as SVG.

    Args:
        distance: minimal distances [n]: 0 for inputs misclassified as they are, infinite where no attack succeeded.
        norm: the norm of the distances.
        eps: distance of the evaluation, drawn as a vertical line; none if it is not one number.
        marks: (CSS class, point) of further figures, drawn as dots with their intervals.
        width, height: size of the drawing in pixels.
    """
    axes = Axes(width, height, axis_limit(distance, eps))
    steps, accuracies = curve_of(distance)
    ends = [wilson(float(share), len(distance)) for share in accuracies]
    drawn = [
        *_grid(axes, norm),
        element("path", d=_band(axes, steps, ends), class_="band"),
        element("path", d="M" + _steps(axes, steps, accuracies.tolist()), class_="curve"),
    ]
    if eps is not None:
        drawn.append(element("line", x1=axes.x(eps), x2=axes.x(eps), y1=TOP, y2=axes.y(0), class_="eps"))
        near_end = axes.x(eps) > width - 90
        place = axes.x(eps) + (-6 if near_end else 6)
        anchor = "end" if near_end else "start"
        drawn.append(
            element("text", f"eps {eps_text(eps)}", x=place, y=TOP + 11, text_anchor=anchor, class_="axis strong")
        )
    spread = [APART * (number - (len(marks) - 1) / 2) for number in range(len(marks))]
    drawn += [_mark(axes, kind, point, shift) for (kind, point), shift in zip(marks, spread, strict=True)]
    known = points_at(distance, ticks(axes.limit, 5))
    words = ", ".join(f"{with_interval(each.accuracy, each.interval)} at {each.distance:g}" for each in known)
    summary = f"Accuracy against distance in {norm}: {words}."
    return element("svg", joined(*drawn), viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=summary)


def _grid(axes: Axes, norm: str) -> list[Markup]:
    drawn = []
    for percentage in range(0, 101, 25):
        y = axes.y(percentage / 100)
        drawn.append(element("line", x1=LEFT, x2=axes.width - RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(element("text", f"{percentage} %", x=LEFT - 7, y=y + 4, text_anchor="end", class_="axis"))
    for tick in ticks(axes.limit, 8 if axes.width > 500 else 4):
        x, y = axes.x(tick), axes.y(0)
        drawn.append(element("line", x1=x, x2=x, y1=y, y2=y + 5, class_="tick"))
        drawn.append(element("text", f"{tick:g}", x=x, y=y + 19, text_anchor="middle", class_="axis"))
    middle = (LEFT + axes.width - RIGHT) / 2
    unit = UNITS.get(norm, f"distance ({norm})")
    drawn.append(element("text", unit, x=middle, y=axes.height - 8, text_anchor="middle", class_="axis strong"))
    drawn.append(element("text", "accuracy", x=2, y=12, class_="axis strong"))
    return drawn


def _steps(axes: Axes, steps: Tensor, shares: list[float]) -> str:
    """The places of a step function: flat from each distance to the next, and to the end of the axis."""
    xs = [axes.x(step) for step in [*steps.tolist(), axes.limit]]
    ys = [axes.y(share) for share in shares]
    return " ".join(f"{xs[i]:.1f},{y:.1f} {xs[i + 1]:.1f},{y:.1f}" for i, y in enumerate(ys))


def _band(axes: Axes, steps: Tensor, ends: list[Interval]) -> str:
    upper = _steps(axes, steps, [high for _, high in ends]).split(" ")
    lower = _steps(axes, steps, [low for low, _ in ends]).split(" ")
    return "M" + " ".join([*upper, *reversed(lower)]) + "Z"


def _mark(axes: Axes, kind: str, point: CurvePoint, shift: float) -> Markup:
    x, (low, high) = axes.x(point.distance) + shift, (axes.y(end) for end in point.interval)
    return joined(
        element("line", x1=x, x2=x, y1=low, y2=high, class_=f"mark-line {kind}"),
        *(element("line", x1=x - 5, x2=x + 5, y1=end, y2=end, class_=f"mark-line {kind}") for end in (low, high)),
        element("circle", cx=x, cy=axes.y(point.accuracy), r=5.0, class_=f"mark {kind}"),
    )
