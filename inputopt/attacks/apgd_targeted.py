"""Targeted Auto-PGD (Croce and Hein, 2020): towards one class after another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch

from inputopt.attacks.apgd import apgd_step, warn_if_few
from inputopt.attacks.attack import Attack
from inputopt.attacks.config import flag, one_of, optional, radii, setting, whole
from inputopt.attacks.enlarged_radii import multiples_of, search_inwards
from inputopt.attacks.restarts import random_start
from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.dlr import dlr
from inputopt.search.objectives.logits import logit_difference, others_first
from inputopt.search.problem import Problem
from inputopt.search.result import Result, scatter, smaller_margin
from inputopt.search.rows import take


@dataclass(frozen=True)
class TargetedAPGD(Attack):
    """Auto-PGD towards the classes of the highest logits, one after the other (Croce and Hein, 2020).

    An example is fooled as soon as any other class wins; with `target` it is led to that class alone.

    Attributes:
        steps: how many for each class.
        targets: how many classes to try.
        loss: "dlr" or "margin".
        random_start: start from the input itself if false.
        enlarged_radii: as for `APGD`.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "PGD"

    steps: int = setting(100, whole())
    targets: int = setting(9, whole())
    loss: str = setting("dlr", one_of("dlr", "margin"))
    random_start: bool = setting(True, flag)
    enlarged_radii: tuple[float, ...] | None = setting(None, optional(radii))

    def _search(self, run: AttackRun) -> Result:
        problem = run.problem
        if self.loss == "dlr":
            warn_if_few(run, 4)
        if problem.target is not None:
            return self._towards(run, problem)
        run.meter.forward(problem.example)
        with torch.no_grad():
            logits = run.net(problem.x0)
        tried = min(self.targets, logits.shape[1] - 1)
        classes = others_first(logits, problem.label, tried)
        found = self._towards(run, replace(problem, target=classes[:, 0]))
        for number in range(1, tried):
            standing = ~found.success if self.stop_on_success else torch.ones_like(found.success)
            rows = standing.nonzero()[:, 0]
            if not len(rows):
                break
            part = replace(take(problem, rows), target=classes[rows, number])
            found = scatter(found, rows, self._towards(run, part), smaller_margin)
        return found

    def _towards(self, run: AttackRun, problem: Problem) -> Result:
        start = random_start(problem, run.norm, run.seed) if self.random_start else problem.x0
        return search_inwards(
            run,
            dlr if self.loss == "dlr" else logit_difference,
            problem,
            start,
            self.steps,
            multiples_of(self.enlarged_radii, run.norm),
            partial(apgd_step, run.norm),
            untargeted=run.problem.target is None,
            stop=self.stop_on_success,
        )
