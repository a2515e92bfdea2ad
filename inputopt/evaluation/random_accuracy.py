"""How often inputs are classified rightly by a network that answers at random."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.network_draws import keyed
from inputopt.search.problem import Problem

DRAWS = 20
"""Fresh draws of a random network."""

TOGETHER = 16
"""Inputs that share a draw: a network that draws once a call, such as a random member of an ensemble, decides about
all of them at once."""

JUDGING, JUDGING_AGAIN = 5, 6
"""The purposes that these draws are keyed by: no search has seen them."""


@dataclass(frozen=True)
class Shares:
    """Shares of fresh draws in which inputs are classified rightly.

    Attributes:
        shares: of each input, [B].
        error: the standard error of their mean that comes from the draws.
    """

    shares: Tensor
    error: float


def right(logits: Tensor, label: Tensor) -> Tensor:
    """Whether logits [B, n] are finite and highest for the label [B], bool [B]."""
    most = logits.amax(1)
    return ((most - most) == 0) & (logits.argmax(1) == label)


@torch.no_grad()
def share_right(net: Frozen, problem: Problem, seed: int, purpose: int) -> Shares:
    """Judge inputs on fresh draws, few of them together."""
    parts = torch.split(torch.arange(len(problem.x0), device=problem.x0.device), TOGETHER)
    held = torch.zeros(DRAWS, len(problem.x0), dtype=problem.x0.dtype, device=problem.x0.device)
    for number, rows in enumerate(parts):
        draws = keyed(seed + number, purpose)
        for draw in range(DRAWS):
            with draws(draw):
                held[draw, rows] = right(net(problem.x0[rows]), problem.label[rows]).to(held)
    part_means = torch.stack([held[:, rows].mean(1) for rows in parts])  # each its own draws, [parts, DRAWS]
    weights = torch.tensor([len(rows) for rows in parts], dtype=held.dtype, device=held.device) / len(problem.x0)
    error = (weights.square() * part_means.var(1)).sum().div(DRAWS).sqrt()
    return Shares(held.mean(0), float(error))
