"""Integrated gradients (Sundararajan et al., 2017)."""

from __future__ import annotations

from torch import Tensor

from inputopt.attribution.logit_gradient import mean_gradient
from inputopt.nets.frozen import Frozen
from inputopt.search.problem import Problem


def integrated_gradients(net: Frozen, problem: Problem, base: Tensor, samples: int) -> Tensor:
    """Mean gradient on the straight line from `base` to x0, times their difference, [B, ...].

    The attributions of an input sum to the difference of its logit between x0 and `base`, but for the error of the
    midpoint rule, which is of order 1 / samples^2.
    """
    change = problem.x0 - base
    points = (base + change * ((index + 0.5) / samples) for index in range(samples))
    return mean_gradient(net, points, problem, samples) * change
