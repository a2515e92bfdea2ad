"""Accuracy of random (stochastic) networks on fresh random draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import keyed
from inputopt.search.problem import Problem

DRAWS = 20
"""Number of fresh draws of a random network."""

BATCH = 16
"""Number of inputs that share a draw: a network that draws once per forward, such as a random ensemble member, gives
correlated results within a batch."""

JUDGING, JUDGING_AGAIN = 5, 6
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
def share_correct(net: Frozen, problem: Problem, seed: int, purpose: int) -> Shares:
    """Evaluate inputs on `DRAWS` fresh draws in batches of `BATCH`, each with its own draws."""
    parts = torch.split(torch.arange(len(problem.x0), device=problem.x0.device), BATCH)
    correct = torch.zeros(DRAWS, len(problem.x0), dtype=problem.x0.dtype, device=problem.x0.device)
    for number, rows in enumerate(parts):
        draws = keyed(seed + number, purpose)
        for draw in range(DRAWS):
            with draws(draw):
                correct[draw, rows] = is_correct(net(problem.x0[rows]), problem.label[rows]).to(correct)
    part_means = torch.stack([correct[:, rows].mean(1) for rows in parts])  # [parts, DRAWS]; parts are independent
    weights = torch.tensor([len(rows) for rows in parts], dtype=correct.dtype, device=correct.device) / len(problem.x0)
    error = (weights.square() * part_means.var(1)).sum().div(DRAWS).sqrt()
    return Shares(correct.mean(0), float(error))
