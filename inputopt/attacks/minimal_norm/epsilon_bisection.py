"""Bisection on eps, which turns an attack at a fixed distance into a minimal-norm attack."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, at_the_start
from inputopt.attacks.pgd import PGD
from inputopt.attacks.regions import region_of_radius
from inputopt.attacks.run import AttackRun
from inputopt.search.norms import Norm, NormName
from inputopt.search.oracles.linearised import boundary_distances, distance_in_box
from inputopt.search.result import Result, failures_at_infinity, nearer, scatter
from inputopt.search.rows import take

MIN_EPS = 1e-6
"""Minimum initial eps, as a fraction of the bounds' width."""

MAX_EPS = 1e6
"""Maximum eps, likewise: where the gradient is zero, the linearised boundary is infinitely far away."""


def _fixed_distance(what: str, value: Any) -> Attack:
    if not isinstance(value, Attack):
        raise TypeError(f"{what} must be an attack at a fixed distance, not {type(value).__name__}.")
    return value


@dataclass(frozen=True)
class EpsilonBisection(MinimalNormAttack):
    """Any attack at a fixed distance, with a bisection on eps for each example.

    The first eps is the estimated distance to the boundary; it is doubled until the attack succeeds.

    Attributes:
        attack: attack run at each eps; its eps, levels, mask, eot_samples and transform are replaced by those here.
        rounds: number of values of eps tried.
    """

    norm: NormName = field(init=False, default="l2")
    attack: Attack = setting(PGD("l2"), _fixed_distance)
    rounds: int = setting(10, whole())

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "norm", self.attack.norm)

    @property
    def rows_per_example(self) -> int:
        return self.attack.rows_per_example

    def _search(self, run: AttackRun) -> Result:
        attack = replace(
            self.attack, levels=self.levels, mask=None, eot_samples=self.eot_samples, transform=self.transform
        )
        found = at_the_start(run)
        estimate, low = _estimated_distance(run), torch.zeros_like(found.distance)
        for _ in range(self.rounds):
            eps = _next_eps(run.norm, low, found, estimate, run.problem.region.unit)
            rows = ((found.distance > 0) & (eps > low)).nonzero()[:, 0]
            if not len(rows):
                break
            problem = take(run.problem, rows)
            problem = replace(problem, region=region_of_radius(problem, eps[rows], run.norm, run.net))
            new = failures_at_infinity(attack._search(replace(run, attack=attack, problem=problem)))
            low = low.index_put((rows,), torch.where(new.success, low[rows], eps[rows]))
            found = scatter(found, rows, new, nearer)
        return found


def _estimated_distance(run: AttackRun) -> Tensor:
    """Distance to the linearised boundary of the runner-up class, or of the target, [B]."""
    distance = distance_in_box(run.norm, run.problem)
    _, distances = boundary_distances(run.net, run.problem, 1, distance, run.meter, run.scores)
    return distances[:, 0]


def _next_eps(norm: Norm, low: Tensor, found: Result, estimate: Tensor, unit: float) -> Tensor:
    """The next eps of each example, [B]; not above `low` where nothing is left to try."""
    if norm.counts:
        eps = torch.where(found.success, (low + found.distance) / 2, torch.where(low > 0, 2 * low, estimate))
        return eps.clamp(max=MAX_EPS).floor().clamp_min(1)
    first = estimate.clamp(MIN_EPS * unit, MAX_EPS * unit)
    return torch.where(found.success, (low + found.distance) / 2, torch.where(low > 0, 2 * low, first))
