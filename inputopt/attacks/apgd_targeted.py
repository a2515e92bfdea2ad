"""Targeted APGD (Croce and Hein, 2020): one target class after another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

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
    """Targeted APGD: APGD towards the classes with the highest logits, one after the other (Croce and Hein, 2020).

    An example succeeds as soon as any wrong class is predicted; if `target` is given, that is the only class tried.

    Attributes:
        steps: number of steps per class.
        targets: number of classes to try.
        loss: "dlr" or "margin".
        random_start: whether to start at a random point of the ball; if false, at the input.
        enlarged_radii: as for `APGD`.
    """

    norms: ClassVar[tuple[str, ...]] = ("l1", "l2", "linf")
    elsewhere: ClassVar[str] = "PGD"

    steps: int = setting(100, whole())
    targets: int = setting(9, whole())
    loss: Literal["dlr", "margin"] = setting("dlr", one_of("dlr", "margin"))
    random_start: bool = setting(True, flag)
    enlarged_radii: tuple[float, ...] | None = setting(None, optional(radii))

    def _search(self, run: AttackRun) -> Result:
        problem = run.problem
        if self.loss == "dlr":
            warn_if_few(run, 4)
        if problem.target is not None:
            return self._search_target(run, problem)
        run.meter.forward(problem.example)
        with torch.no_grad():
            logits = run.net(problem.x0)
        count = min(self.targets, logits.shape[1] - 1)
        classes = others_first(logits, problem.label, count)
        found = self._search_target(run, replace(problem, target=classes[:, 0]))
        for rank in range(1, count):
            active = ~found.success if self.stop_on_success else torch.ones_like(found.success)
            rows = active.nonzero()[:, 0]
            if not len(rows):
                break
            remaining = replace(take(problem, rows), target=classes[rows, rank])
            found = scatter(found, rows, self._search_target(run, remaining), smaller_margin)
        return found

    def _search_target(self, run: AttackRun, problem: Problem) -> Result:
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
