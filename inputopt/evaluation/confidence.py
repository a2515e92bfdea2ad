"""Confidence intervals of accuracies: Wilson's score interval (1927), and its extension to random networks."""

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


def over_draws(accuracy: float, count: int, error: float) -> Interval:
    """The 95 % interval of a mean over examples and random draws.

    Args:
        accuracy: mean over examples of the fraction of draws in which they are classified correctly.
        count: number of examples.
        error: standard error of the mean due to the draws; 0 for a deterministic network, which gives `wilson`.
    """
    low, high = wilson(accuracy, count)
    below, above = math.hypot(accuracy - low, Z * error), math.hypot(high - accuracy, Z * error)
    return max(0.0, accuracy - below), min(1.0, accuracy + above)
