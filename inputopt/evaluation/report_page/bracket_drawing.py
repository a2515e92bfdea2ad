"""The bracket: a bar of all inputs, from those that are proven robust to those misclassified without an attack."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from inputopt.evaluation.confidence import Interval
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_page.svg_marks import element, joined
from inputopt.evaluation.report_text import percent

MARGIN, TOP, BAR, FOOT = 14.0, 26.0, 40.0, 26.0
SMALLEST_TEXT = 58.0
"""Width in pixels that a percentage inside a part of the bar needs."""


@dataclass(frozen=True)
class Part:
    """One part of the bar.

    Attributes:
        kind: CSS class of its colour.
        share: fraction of the inputs.
        meaning: what is known of these inputs.
    """

    kind: str
    share: float
    meaning: str


def parts_of(report: Report) -> list[Part]:
    """The parts of the bar, from the inputs that are safest; a part without inputs is left out."""
    certified = min(report.certified_accuracy or 0.0, report.robust_accuracy)
    open_meaning = "withstood every attack" + ("" if report.certified_accuracy is None else ", but not proven")
    parts = [
        Part("certified", certified, "proven: nothing within the distance changes the class"),
        Part("open", report.robust_accuracy - certified, open_meaning),
        Part("fooled", max(0.0, report.clean_accuracy - report.robust_accuracy), "fooled by an attack"),
        Part("wrong", 1 - max(report.clean_accuracy, report.robust_accuracy), "misclassified as they are"),
    ]
    return [part for part in parts if part.share > 1e-9]


def bracket_drawing(report: Report, width: float) -> Markup:
    """The bar as SVG of this width, with the intervals of its ends above it and an axis below."""
    across, height = width - 2 * MARGIN, TOP + BAR + FOOT
    drawn, left = [], 0.0
    for part in parts_of(report):
        place, wide = MARGIN + left * across, part.share * across
        drawn.append(element("rect", x=place, y=TOP, width=wide, height=BAR, class_=f"part {part.kind}"))
        if wide >= SMALLEST_TEXT:
            drawn.append(
                element(
                    "text",
                    percent(part.share),
                    x=place + wide / 2,
                    y=TOP + BAR / 2 + 5,
                    text_anchor="middle",
                    class_=f"inside in-{part.kind}",
                )
            )
        left += part.share
    ends = [(report.robust_accuracy, report.interval)]
    if report.certified_accuracy is not None and report.certified_interval is not None:
        ends.append((report.certified_accuracy, report.certified_interval))
    drawn += [_whisker(share, interval, across, number) for number, (share, interval) in enumerate(ends)]
    for tick in range(0, 101, 20 if width < 500 else 10):
        place = MARGIN + tick / 100 * across
        drawn.append(element("line", x1=place, x2=place, y1=TOP + BAR, y2=TOP + BAR + 5, class_="tick"))
        anchor = {0: "start", 100: "end"}.get(tick, "middle")
        at = {0: 2.0, 100: width - 2}.get(tick, place)
        drawn.append(element("text", f"{tick} %", x=at, y=height - 5, text_anchor=anchor, class_="axis"))
    words = "; ".join(f"{percent(part.share)} {part.meaning}" for part in parts_of(report))
    return element(
        "svg", joined(*drawn), viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=f"All inputs: {words}."
    )


def _whisker(share: float, interval: Interval, across: float, number: int) -> Markup:
    """An interval as a line above the bar with a mark at the share; the second one is drawn lower."""
    y = 8.0 + 10 * number
    low, at, high = (MARGIN + end * across for end in (interval[0], share, interval[1]))
    return joined(
        element("line", x1=low, x2=high, y1=y, y2=y, class_="whisker"),
        *(element("line", x1=end, x2=end, y1=y - 4, y2=y + 4, class_="whisker") for end in (low, high)),
        element("line", x1=at, x2=at, y1=y, y2=TOP + BAR, class_="end"),
        element("circle", cx=at, cy=y, r=4.0, class_="dot"),
    )
