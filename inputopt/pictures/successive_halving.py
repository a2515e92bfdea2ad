"""Several starts for each picture, of which round by round the better half goes on."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.search.problem import Evaluation, Problem
from inputopt.search.result import Result

MEMORY = 0.9
"""How much of the running mean of a start's losses is kept at each look: looks through a shake differ by chance."""

DECIDED = 0.5
"""The share of the steps after which one start is left."""


class SuccessiveHalving:
    """A stop rule: of the starts of each picture the worse half is done at the end of each round.

    It follows one search, from its first step on: `problem.label` are the pictures and `problem.ids` the starts, both
    counted from 0.
    """

    def __init__(self, pictures: int, starts: int, steps: int) -> None:
        rounds = (starts - 1).bit_length()
        length = DECIDED * steps / max(1, rounds)
        self._left = {round(length * number): max(1, starts >> number) for number in range(1, rounds + 1)}
        self._loss = torch.full((pictures, starts), torch.nan, dtype=torch.float64)
        self._index = 0

    def __call__(self, seen: Evaluation, problem: Problem) -> Tensor:
        place = problem.label.cpu(), problem.ids.cpu()
        loss, before = seen.loss.detach().double().cpu(), self._loss[place]
        self._loss[place] = torch.where(before.isnan(), loss, MEMORY * before + (1 - MEMORY) * loss)
        left = self._left.get(self._index)
        self._index += 1
        if left is None:
            return torch.zeros_like(seen.success)
        still = torch.full_like(self._loss, torch.inf)
        still[place] = self._loss[place]
        rank = torch.argsort(still, dim=1, stable=True).argsort(dim=1)
        return (rank[place] >= left).to(seen.success.device)


def best_restarts(found: Result, label: Tensor) -> Tensor:
    """The row of each picture whose search went furthest, int64 [pictures]; of several the one of the lowest loss."""
    loss = found.loss.masked_fill(found.forwards < found.forwards.max(), torch.inf)
    rows = [(label == picture).nonzero()[:, 0] for picture in range(int(label.max()) + 1)]
    return torch.stack([own[loss[own].argmin()] for own in rows])
