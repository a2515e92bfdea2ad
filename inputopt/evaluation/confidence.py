"""Confidence intervals of accuracies: Wilson's score interval (1927), extended to random networks."""

from __future__ import annotations

import math

from inputopt.wilson_interval import Interval as Interval
from inputopt.wilson_interval import Z
from inputopt.wilson_interval import wilson as wilson


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
