"""The 95 % interval of an accuracy (Wilson, 1927), and accuracies with it as text."""

from __future__ import annotations

import math

Z = 1.959964
"""Standard errors on either side of a 95 % interval."""

Interval = tuple[float, float]
"""Lower and upper end of a 95 % confidence interval."""


def wilson(share: float, count: int) -> Interval:
    """The 95 % Wilson score interval of a proportion `share` observed in `count` examples (Wilson, 1927).

    For proportions of draws averaged over examples it is conservative.

    >>> [round(end, 3) for end in wilson(0.9, 100)]
    [0.826, 0.945]
    """
    centre = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def percent(share: float) -> str:
    """A fraction as a percentage with one decimal.

    >>> percent(0.125)
    '12.5 %'
    """
    return f"{100 * share:.1f} %"


def with_interval(share: float, interval: Interval) -> str:
    """A fraction as a percentage with its 95 % interval.

    >>> with_interval(0.5, (0.4, 0.6))
    '50.0 % (95 % interval: 40.0 % to 60.0 %)'
    """
    return f"{percent(share)} (95 % interval: {percent(interval[0])} to {percent(interval[1])})"


def accuracy_text(share: float, count: int) -> str:
    """An accuracy on `count` examples as a percentage with its 95 % Wilson interval.

    >>> accuracy_text(0.9, 100)
    '90.0 % (95 % interval: 82.6 % to 94.5 %)'
    """
    return with_interval(share, wilson(share, count))
