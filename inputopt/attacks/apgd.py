"""Auto-PGD: no step size to choose, and losses that do not fade."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial

import torch

from inputopt import checks
from inputopt.attacks.base import Attack
from inputopt.attacks.pgd import random_start
from inputopt.attacks.setting import Setting
from inputopt.attacks.tries import best_try, merged, repeated
from inputopt.attacks.wide import from_wide, wide_balls
from inputopt.search.norms import L0, L1, Norm
from inputopt.search.objectives import attack_cross_entropy, dlr, label_over_target, margin, others_first
from inputopt.search.problem import Problem, Result, take
from inputopt.search.steps.apgd import AutoStep
from inputopt.search.steps.sparse import SparseAutoStep
from inputopt.search.steps.step import Step

LOSSES = {"cross_entropy": attack_cross_entropy, "dlr": dlr, "margin": margin}


@dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD (Croce and Hein, 2020), in L1 with its sparse steps and shrinking ball (Croce and Hein, 2021).

    Attributes:
        steps: how many.
        loss: "cross_entropy", "dlr" or "margin".
        restarts: random starts, all in one batch.
        random_start: start from the input itself if false.
        wide: search in balls so many times as large first; (3, 2) in L1 and none elsewhere if not given.
    """

    steps: int = 100
    loss: str = "cross_entropy"
    restarts: int = 1
    random_start: bool = True
    wide: tuple[float, ...] | None = None

    @property
    def tries(self) -> int:
        return self.restarts

    def _search(self, setting: Setting) -> Result:
        loss = LOSSES[checks.one_of("loss", self.loss, LOSSES)]
        checks.whole("steps", self.steps)
        tries = repeated(setting.problem, checks.whole("restarts", self.restarts))
        if self.loss == "dlr":
            warn_if_few(setting, tries, 3 if tries.target is None else 4)
        start = random_start(tries, setting.norm, setting.seed) if self.random_start else tries.x0
        wide, step = wide_balls(self.wide, setting.norm), partial(auto_step, setting.norm)
        return best_try(from_wide(setting, loss, tries, start, self.steps, wide, step, leave=False), self.restarts)


@dataclass(frozen=True)
class TargetedAPGD(Attack):
    """Auto-PGD towards one class after another, the most promising first (Croce and Hein, 2020).

    It leaves the label as soon as any other class wins; with `target` it is led to that class alone.

    Attributes:
        steps: how many for each class.
        targets: how many classes to try.
        loss: "dlr" or "margin".
        random_start: start from the input itself if false.
        wide: as for `APGD`.
    """

    steps: int = 100
    targets: int = 9
    loss: str = "dlr"
    random_start: bool = True
    wide: tuple[float, ...] | None = None

    def _search(self, setting: Setting) -> Result:
        checks.one_of("loss", self.loss, ("dlr", "margin"))
        loss = dlr if self.loss == "dlr" else label_over_target
        problem, wide = setting.problem, wide_balls(self.wide, setting.norm)
        step = partial(auto_step, setting.norm)
        if self.loss == "dlr":
            warn_if_few(setting, problem, 4)
        start = random_start(problem, setting.norm, setting.seed) if self.random_start else problem.x0
        if problem.target is not None:
            return from_wide(setting, loss, problem, start, self.steps, wide, step, leave=False)
        with torch.no_grad():
            logits = setting.net(problem.x0)
        tried = min(checks.whole("targets", self.targets), logits.shape[1] - 1)
        classes = others_first(logits, problem.label, tried)
        found: Result | None = None
        for number in range(tried):
            going = torch.ones_like(problem.ids, dtype=torch.bool) if found is None else ~found.success
            if not bool(going.any()):
                break
            part = replace(take(problem, going), target=classes[going, number])
            now = from_wide(setting, loss, part, start[going], self.steps, wide, step, leave=True)
            found = now if found is None else merged(found, going, now)
        assert found is not None
        return replace(found, forwards=found.forwards + 1)  # the look at the logits


def auto_step(norm: Norm, steps: int) -> Step:
    """Auto-PGD's step rule in this norm.

    Raises:
        ValueError: L0, where it is not defined.
    """
    if norm is L0:
        raise ValueError("Auto-PGD is not defined in L0; use PGD, or another norm.")
    return SparseAutoStep(steps) if norm is L1 else AutoStep(norm, steps)


def warn_if_few(setting: Setting, problem: Problem, classes: int) -> None:
    """Say it where DLR is not defined and the plain difference of logits stands in."""
    with torch.no_grad():
        count = setting.net(problem.x0[:1]).shape[1]
    if count < classes:
        warnings.warn(
            f"DLR needs {classes} classes and the model has {count}; the difference of logits is used instead.",
            stacklevel=5,
        )
