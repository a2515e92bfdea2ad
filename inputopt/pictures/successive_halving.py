"""Successive halving of restarts: after each round only the better half of a picture's restarts continues."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.search.problem import Evaluation, Problem
from inputopt.search.result import Result

MEMORY = 0.9
"""Decay of the running mean of a restart's loss, which smooths the noise of random transforms."""

DECIDED = 0.5
"""Fraction of the steps after which one restart per picture remains."""


class SuccessiveHalving:
    """A stop rule that finishes the worse half of each picture's restarts at the end of each round.

    It is stateful and serves a single search. `problem.label` holds the pictures' indices and `problem.ids` the
    restarts', both from 0.
    """

    def __init__(self, pictures: int, starts: int, steps: int) -> None:
        rounds = (starts - 1).bit_length()
        length = DECIDED * steps / max(1, rounds)
        self._left = {round(length * number): max(1, starts >> number) for number in range(1, rounds + 1)}
        self._loss = torch.full((pictures, starts), torch.nan, dtype=torch.float64)
        self._index = 0

    def __call__(self, seen: Evaluation, problem: Problem) -> Tensor:
        index = problem.label.cpu(), problem.ids.cpu()
        loss, before = seen.loss.detach().double().cpu(), self._loss[index]
        self._loss[index] = torch.where(before.isnan(), loss, MEMORY * before + (1 - MEMORY) * loss)
        left = self._left.get(self._index)
        self._index += 1
        if left is None:
            return torch.zeros_like(seen.success)
        active = torch.full_like(self._loss, torch.inf)
        active[index] = self._loss[index]
        rank = torch.argsort(active, dim=1, stable=True).argsort(dim=1)
        return (rank[index] >= left).to(seen.success.device)


def best_restarts(found: Result, label: Tensor) -> Tensor:
    """For each picture the row of its best restart, int64 [pictures].

    That is the one with the lowest loss among those that ran for the most steps.
    """
    loss = found.loss.masked_fill(found.forwards < found.forwards.max(), torch.inf)
    rows = [(label == picture).nonzero()[:, 0] for picture in range(int(label.max()) + 1)]
    return torch.stack([restarts[loss[restarts].argmin()] for restarts in rows])
