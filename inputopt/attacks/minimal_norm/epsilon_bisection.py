"""A bisection on eps, which makes an attack at a fixed distance look for the nearest input."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from inputopt.attacks.attack import Attack, resized
from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, at_the_start
from inputopt.attacks.pgd import PGD
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm
from inputopt.search.oracles.linearised import boundary_distances, distance_in_box
from inputopt.search.result import Result, failures_at_infinity, nearer, scatter
from inputopt.search.rows import take

LEAST = 1e-6
"""The least first ball, in parts of the bounds' width."""

MOST = 1e6
"""The largest ball, likewise: where there is no gradient the boundary seems to be infinitely far."""


def _fixed_distance(what: str, value: Any) -> Attack:
    if not isinstance(value, Attack):
        raise TypeError(f"{what} must be an attack at a fixed distance, not {type(value).__name__}.")
    return value


@dataclass(frozen=True)
class EpsilonBisection(MinimalNormAttack):
    """Any attack at a fixed distance, in smaller and smaller balls: a bisection on eps for each example.

    The first ball is as large as the distance to the boundary seems; until one is large enough each is twice the last.

    Attributes:
        attack: what searches each ball; its eps, levels, mask, eot_samples and transform give way to those here.
        rounds: how many balls are searched.
    """

    norm: str = field(init=False, default="l2")
    attack: Attack = setting(PGD("l2"), _fixed_distance)
    rounds: int = setting(10, whole())

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "norm", self.attack.norm)

    @property
    def rows(self) -> int:
        return self.attack.rows

    def _search(self, run: AttackRun) -> Result:
        attack = replace(
            self.attack, levels=self.levels, mask=None, eot_samples=self.eot_samples, transform=self.transform
        )
        found = at_the_start(run)
        ahead, low = _seeming_distance(run), torch.zeros_like(found.distance)
        for _ in range(self.rounds):
            eps = _next_ball(run.norm, low, found, ahead, run.problem.region.unit)
            rows = ((found.distance > 0) & (eps > low)).nonzero()[:, 0]
            if not len(rows):
                break
            problem = take(run.problem, rows)
            problem = replace(problem, region=resized(problem, eps[rows], run.norm, run.net))
            now = failures_at_infinity(attack._search(replace(run, attack=attack, problem=problem)))
            low = low.index_put((rows,), torch.where(now.success, low[rows], eps[rows]))
            found = scatter(found, rows, now, nearer)
        return found


def _seeming_distance(run: AttackRun) -> Tensor:
    """How far away the boundary to the runner-up, or to the target, would be if the network were linear, [B]."""
    distance = distance_in_box(run.norm, run.problem)
    _, distances = boundary_distances(run.net, run.problem, 1, distance, run.meter)
    return distances[:, 0]


def _next_ball(norm: Norm, low: Tensor, found: Result, ahead: Tensor, unit: float) -> Tensor:
    """The next eps of each example, [B]; not above `low` where there is nothing left to try."""
    if norm.counts:
        eps = torch.where(found.success, (low + found.distance) / 2, torch.where(low > 0, 2 * low, ahead))
        return eps.clamp(max=MOST).floor().clamp_min(1)
    first = ahead.clamp(LEAST * unit, MOST * unit)
    return torch.where(found.success, (low + found.distance) / 2, torch.where(low > 0, 2 * low, first))
