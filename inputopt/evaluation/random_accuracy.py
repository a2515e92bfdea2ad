"""Accuracy of random (stochastic) networks on fresh random draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import keyed
from inputopt.search.problem import Problem

DRAWS, MOST = 20, 2000
"""Fewest and most fresh draws of a random network."""

ERROR = 0.005
"""Standard error of a mean accuracy from which on no more draws are added."""

BATCH = 16
"""Number of inputs that share a draw: a network that draws once per forward, such as a random ensemble member, gives
correlated results within a batch."""

JUDGING, JUDGING_AGAIN, COMPARING = 5, 6, 8
"""Purpose keys of these draws, which no search uses."""


@dataclass(frozen=True)
class Shares:
    """Fractions of fresh draws in which inputs are classified correctly.

    Attributes:
        shares: the fraction for each input, [B].
        error: standard error of their mean due to the draws.
    """

    shares: Tensor
    error: float


def is_correct(logits: Tensor, label: Tensor) -> Tensor:
    """Whether the highest logit of [B, n] is finite and that of the label [B], bool [B]."""
    most = logits.amax(1)
    return ((most - most) == 0) & (logits.argmax(1) == label)


@torch.no_grad()
def share_correct(net: Frozen, problem: Problem, seed: int, purpose: int, most: int = MOST) -> Shares:
    """Evaluate inputs on fresh draws in batches of `BATCH`, each with its own draws.

    There are `DRAWS` of them, and `DRAWS` more until the error is at most `ERROR` or there are `most`.
    """
    parts = torch.split(torch.arange(len(problem.x0), device=problem.x0.device), BATCH)
    weights = torch.tensor([len(rows) for rows in parts], dtype=torch.float64) / len(problem.x0)
    correct = torch.zeros(0, len(problem.x0), dtype=problem.x0.dtype, device=problem.x0.device)
    while True:
        correct = torch.cat([correct, _on_draws(net, problem, parts, seed, purpose, len(correct))])
        part_means = torch.stack([correct[:, rows].double().mean(1) for rows in parts]).cpu()  # [parts, draws]
        error = float((weights.square() * part_means.var(1)).sum().div(len(correct)).sqrt())  # parts are independent
        if error <= ERROR or len(correct) >= most:
            return Shares(correct.mean(0), error)


def _on_draws(net: Frozen, problem: Problem, parts: Sequence[Tensor], seed: int, purpose: int, first: int) -> Tensor:
    """Whether inputs are classified correctly in `DRAWS` draws from number `first` on, 0 or 1, [DRAWS, B]."""
    correct = torch.zeros(DRAWS, len(problem.x0), dtype=problem.x0.dtype, device=problem.x0.device)
    for number, rows in enumerate(parts):
        draws = keyed(seed + number, purpose)
        for draw in range(DRAWS):
            with draws(first + draw):
                correct[draw, rows] = is_correct(net(problem.x0[rows]), problem.label[rows]).to(correct)
    return correct
