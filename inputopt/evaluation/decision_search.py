"""HopSkipJump within a distance: the search of an evaluation where outputs are only classes or votes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.hop_skip_jump import LEAST_QUERIES, HopSkipJump
from inputopt.attacks.regions import region_of_radius
from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.logits import margin
from inputopt.search.result import Result, best_of
from inputopt.search.steps.bisection import BisectionStep


@dataclass(frozen=True)
class DecisionSearch(Attack):
    """Search for the nearest misclassified input by predicted classes alone, and keep it if it is within eps.

    HopSkipJump (Chen et al., 2020): other attacks need scores that change before the class does.

    Attributes:
        queries: maximum number of forwards per example.
    """

    norms: ClassVar[tuple[str, ...]] = HopSkipJump.norms
    elsewhere: ClassVar[str] = "Square"
    gradient_free: ClassVar[bool] = True

    queries: int = setting(5000, whole(LEAST_QUERIES))

    def _search(self, run: AttackRun) -> Result:
        eps = run.problem.region.eps
        attack = HopSkipJump(
            self.norm,
            queries=self.queries,
            levels=self.levels,
            eot_samples=self.eot_samples,
            transform=self.transform,
        )
        unlimited = region_of_radius(run.problem, torch.full_like(eps, torch.inf), run.norm, run.net)
        wide = replace(run, attack=attack, problem=replace(run.problem, region=unlimited))
        at_x0 = run.search(margin, BisectionStep(run.norm), run.problem.x0, 0)
        return best_of(at_x0, attack._search(wide), lambda new, old: new.success & (new.distance <= eps))
