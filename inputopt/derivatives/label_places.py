"""Places for the labels of edges in a drawing of a network, so that they cover neither each other nor other text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CHARACTER = 6.3
"""Width of a character of the drawing's text, in its units."""

LABEL = (54.0, 28.0)
"""Width and height of the label of an edge."""

SHARES = [0.16 + 0.02 * number for number in range(35)]
"""Places on an edge, as shares of its length."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in the units of the drawing."""

    left: float
    top: float
    right: float
    bottom: float

    def shared_area(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


def centred(x: float, y: float, width: float, height: float) -> Box:
    """The box of that size round a point."""
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def caption(x: float, baseline: float, text: str) -> Box:
    """The box of a line of text that is centred at x."""
    return centred(x, baseline - 4, CHARACTER * len(text), 13)


def label_place(start: tuple[float, float], end: tuple[float, float], preferred: float, taken: Iterable[Box]) -> Box:
    """The box of an edge's label: the free place nearest to a share of the edge, or else the one that covers least.

    Args:
        start, end: the ends of the edge.
        preferred: the share of the edge where the label is best.
        taken: boxes that it must not cover.
    """
    boxes = list(taken)

    def at(share: float) -> Box:
        x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
        return centred(x, y, *LABEL)

    def covered(share: float) -> float:
        return sum(at(share).shared_area(box) for box in boxes)

    return at(min(SHARES, key=lambda share: (covered(share), abs(share - preferred))))
