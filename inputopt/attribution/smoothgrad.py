"""SmoothGrad (Smilkov et al., 2017): the mean gradient under Gaussian noise."""

from __future__ import annotations

from torch import Tensor

from inputopt.attribution.logit_gradient import mean_gradient
from inputopt.nets.frozen import Frozen
from inputopt.search import keyed_random
from inputopt.search.bounds import lengths
from inputopt.search.problem import Problem


def smoothgrad(net: Frozen, problem: Problem, samples: int, deviation: float, seed: int) -> Tensor:
    """Mean gradient over `samples` noisy copies of x0, [B, ...].

    Args:
        net: the network.
        problem: inputs and classes; noise is keyed by its ids.
        samples: number of noisy copies.
        deviation: standard deviation of the noise, as a share of the bounds' width.
        seed: seed of the noise.
    """
    x, width = problem.x0, deviation * lengths(net, problem.x0)
    noisy = (x + width * keyed_random.normal(x.shape[1:], seed, problem.ids, draw).to(x) for draw in range(samples))
    return mean_gradient(net, noisy, problem, samples)
