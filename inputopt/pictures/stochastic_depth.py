"""Stochastic depth (Huang et al., 2016): a network without random residual branches at each step of a search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inputopt.search import keyed_random
from inputopt.search.problem import Problem

KIND = 8 << 48
"""Added to the seed, so that the draws are independent of those of the transforms (`search.transforms`)."""


class StochasticDepth:
    """Chooses at each step the residual branches that are run.

    The last branch is dropped with probability `rate`, and earlier ones less often, in proportion to their number.
    The networks with some of the branches are an ensemble that costs one of them (ghost networks; Li et al., 2020).
    The choice depends on the seed and the step alone, so a picture is the same in any batch. It is stateful: it serves
    a single search, whose `transform` tells it the step.

    Args:
        rate: probability that the last branch is dropped, from 0 to below 1.
        seed: seed of the choices.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self._rate, self._seed, self._index = rate, seed + KIND, 0

    def transform(self, x: Tensor, problem: Problem, index: int) -> Tensor:
        """Note the step, and return `x` [B, ...] unchanged."""
        self._index = index
        return x

    def kept(self, branches: int) -> Sequence[bool]:
        """Whether each of so many branches is run at this step."""
        drawn = keyed_random.numbers((branches,), self._seed, torch.zeros(1, dtype=torch.int64), self._index)[0]
        return [value >= self._rate * (number + 1) / branches for number, value in enumerate(drawn.tolist())]
