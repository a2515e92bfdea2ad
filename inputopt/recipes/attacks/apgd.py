"""Auto-PGD: no step size to choose, and losses that do not fade."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt import checks
from inputopt.recipes.attacks.base import Attack, Setting
from inputopt.recipes.attacks.pgd import best_try, random_start, repeated
from inputopt.search.geometry import tight_bounds
from inputopt.search.norms import L0, L1, LINF, Norm, per_example
from inputopt.search.objectives import (
    Objective,
    attack_cross_entropy,
    best_other,
    dlr,
    label_over_target,
    margin,
)
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

    def _search(self, setting: Setting) -> Result:
        loss = LOSSES[checks.one_of("loss", self.loss, LOSSES)]
        checks.whole("steps", self.steps)
        tries = repeated(setting.problem, checks.whole("restarts", self.restarts))
        if self.loss == "dlr":
            warn_if_few(setting, tries, 3 if tries.target is None else 4)
        start = random_start(tries, setting.norm, setting.seed) if self.random_start else tries.x0
        wide = wide_balls(self.wide, setting.norm)
        return best_try(auto_pgd(setting, loss, tries, start, self.steps, wide, leave=False), self.restarts)


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
        if self.loss == "dlr":
            warn_if_few(setting, problem, 4)
        start = random_start(problem, setting.norm, setting.seed) if self.random_start else problem.x0
        if problem.target is not None:
            return auto_pgd(setting, loss, problem, start, self.steps, wide, leave=False)
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
            now = auto_pgd(setting, loss, part, start[going], self.steps, wide, leave=True)
            found = now if found is None else merged(found, going, now)
        assert found is not None
        return found


def auto_pgd(
    setting: Setting, loss: Objective, problem: Problem, start: Tensor, steps: int, wide: Sequence[float], leave: bool
) -> Result:
    """Auto-PGD from `start`; six tenths of the steps in balls `wide` times as large, one after the other.

    In a ball of its own size a search stops at the first hill; from further out it comes back into the ball with a
    better sense of where the boundary is. L1 always needs that (Croce and Hein, 2021); networks trained in another
    norm than they are attacked in, and those whose gradients fade near the data, need it in L2 and Linf as well.
    """
    if setting.norm is L0:
        raise ValueError("Auto-PGD is not defined in L0; use PGD, or another norm.")
    counts = [max(1, round(0.6 / len(wide) * steps)) for _ in wide]
    forwards, backwards = torch.zeros_like(problem.ids), torch.zeros_like(problem.ids)
    for width, count in zip(wide, counts, strict=True):
        outer = widened(problem, width, setting.norm, setting.net.bounds)
        found = setting.run(loss, auto_step(setting.norm, count), start, count, outer, leave=leave, stop=False)
        forwards, backwards, start = forwards + found.forwards, backwards + found.backwards, found.x
    count = max(1, steps - sum(counts))
    found = setting.run(loss, auto_step(setting.norm, count), start, count, problem, leave=leave)
    return replace(found, forwards=found.forwards + forwards, backwards=found.backwards + backwards)


def widened(problem: Problem, width: float, norm: Norm, bounds: tuple[float, float]) -> Problem:
    """The same problem in a larger ball; what may not move still may not."""
    assert problem.eps is not None
    eps = problem.eps * width
    if norm is not LINF:
        return replace(problem, eps=eps)
    low, high = tight_bounds(problem.x0, per_example(eps, problem.x0), *bounds)
    assert problem.low is not None
    assert problem.high is not None
    held = problem.low == problem.high
    return replace(problem, eps=eps, low=torch.where(held, problem.x0, low), high=torch.where(held, problem.x0, high))


def wide_balls(wide: Sequence[float] | None, norm: Norm) -> Sequence[float]:
    """The settings' wide balls, or the norm's own."""
    if wide is None:
        return (3.0, 2.0) if norm is L1 else ()
    return [checks.positive("each number of wide", width) for width in wide]


def auto_step(norm: Norm, steps: int) -> Step:
    """Auto-PGD's step rule in this norm."""
    return SparseAutoStep(steps) if norm is L1 else AutoStep(norm, steps)


def others_first(logits: Tensor, label: Tensor, count: int) -> Tensor:
    """The `count` classes but the label with the highest logits, highest first, [B, count]."""
    return logits.scatter(1, label[:, None], -torch.inf).topk(count, dim=1).indices


def merged(old: Result, rows: Tensor, new: Result) -> Result:
    """`old` with what `new` found for the examples `rows` (bool [B]) where that is better; all their counts."""
    place = rows.nonzero()[:, 0]
    better = new.success | (best_margin(new) < best_margin(take(old, rows)))
    chosen = place[better]
    values = {
        name: getattr(old, name).index_copy(0, chosen, getattr(new, name)[better])
        for name in ("x", "success", "distance", "prediction", "logits", "loss")
    }
    return Result(
        **values,
        forwards=old.forwards.index_add(0, place, new.forwards),
        backwards=old.backwards.index_add(0, place, new.backwards),
    )


def best_margin(found: Result) -> Tensor:
    """How far the class that wins is ahead: losses towards different classes do not compare, this does."""
    return logit_gap(found.logits)


def logit_gap(logits: Tensor) -> Tensor:
    """The highest logit over the second, [B]."""
    return logits.amax(1) - best_other(logits, logits.argmax(1))


def warn_if_few(setting: Setting, problem: Problem, classes: int) -> None:
    """Say it where DLR is not defined and the plain difference of logits stands in."""
    with torch.no_grad():
        count = setting.net(problem.x0[:1]).shape[1]
    if count < classes:
        warnings.warn(
            f"DLR needs {classes} classes and the model has {count}; the difference of logits is used instead.",
            stacklevel=5,
        )
