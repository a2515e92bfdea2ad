"""Sparse-RS (Croce, Andriushchenko, Singh, Flammarion and Hein, 2022): gradient-free random search in L0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.attack import Attack
from inputopt.attacks.config import setting, whole
from inputopt.attacks.config import share as share_of
from inputopt.attacks.run import AttackRun
from inputopt.search import keyed_random
from inputopt.search.norms import NormName
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result
from inputopt.search.rows import chosen

DIVISORS = ((0, 2), (50, 4), (200, 5), (500, 6), (1000, 8), (2000, 10), (4000, 12), (6000, 15), (8000, 20))
"""(step of 10,000 from which on, divisor of the first share of replaced elements), as published."""


@dataclass(frozen=True)
class SparseState:
    """State of the search.

    Attributes:
        best, loss: the best point so far [B, ...] and its loss [B].
        changed, best_changed: which elements are changed at the current and at the best point, bool [B, elements].
        index: index of the step.
    """

    best: Tensor
    loss: Tensor
    changed: Tensor
    best_changed: Tensor
    index: int


@dataclass(frozen=True)
class SparseRSStep:
    """Replace some of the changed elements by others, each set to its lowest or highest allowed value at random.

    Attributes:
        steps: total number of steps; sets the schedule.
        share: share of the changed elements that the first step replaces.
        seed: random seed.
    """

    steps: int
    share: float
    seed: int
    uses_gradient: ClassVar[bool] = False

    def start(self, problem: Problem) -> Tensor:
        """A random set of floor(eps) elements at random bounds, [B, ...]."""
        keys, upper = self._drawn(problem, 0)
        new = smallest(keys.masked_fill(~movable(problem), torch.inf), problem.region.eps.floor())
        return written(problem.x0, problem, new, upper)

    def init(self, z: Tensor, problem: Problem) -> SparseState:
        keys, _ = self._drawn(problem, 0)
        changed = smallest(keys.masked_fill(~movable(problem), torch.inf), problem.region.eps.floor())
        infinite = torch.full(z.shape[:1], torch.inf, dtype=z.dtype, device=z.device)
        return SparseState(z, infinite, changed, changed, 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: SparseState, problem: Problem, project: Project
    ) -> tuple[Tensor, SparseState]:
        better = seen.loss < state.loss
        best, loss = chosen(better, z, state.best), torch.where(better, seen.loss, state.loss)
        changed = torch.where(better[:, None], state.changed, state.best_changed)
        count = problem.region.eps.floor()
        replaced = (self._share_at(state.index + 1) * count).floor().clamp_min(1).minimum(count)
        keys, upper = self._drawn(problem, state.index + 1)
        old = smallest(keys.masked_fill(~changed, torch.inf), replaced)
        new = smallest(keys.masked_fill(changed | ~movable(problem), torch.inf), replaced)
        restored = torch.where(old.reshape(z.shape), problem.x0, best)
        moved = written(restored, problem, new, upper)
        return project(moved, problem), SparseState(best, loss, (changed & ~old) | new, changed, state.index + 1)

    def _drawn(self, problem: Problem, index: int) -> tuple[Tensor, Tensor]:
        """Random keys that order the elements [B, elements], and whether each moves to its upper bound."""
        keys = keyed_random.uniform((problem.x0[0].numel(),), self.seed, problem.ids, index)
        return keys, (keys * 2**16).floor() % 2 == 0  # lower bits of the number, independent of its order

    def _share_at(self, index: int) -> float:
        """Share of the changed elements that step `index` replaces."""
        place = index * 10_000 // self.steps
        return self.share / max([1, *(divisor for first, divisor in DIVISORS if place > first)])


def movable(problem: Problem) -> Tensor:
    """Which elements may change, bool [B, elements] or [1, elements]."""
    if problem.region.mask is None:
        return torch.ones(1, problem.x0[0].numel(), dtype=torch.bool, device=problem.x0.device)
    return problem.region.mask.expand(problem.x0.shape).flatten(1)


def smallest(keys: Tensor, count: Tensor) -> Tensor:
    """The `count` [B] elements of [B, n] with the smallest finite keys, bool [B, n]."""
    most = min(int(count.max()), keys.shape[1])
    if most == 0:
        return torch.zeros_like(keys, dtype=torch.bool)
    found = keys.topk(most, dim=1, largest=False)
    valid = (torch.arange(most, device=keys.device) < count[:, None]) & found.values.isfinite()
    return torch.zeros_like(keys, dtype=torch.bool).scatter(1, found.indices, valid)


def written(x: Tensor, problem: Problem, where: Tensor, upper: Tensor) -> Tensor:
    """A copy of x with its elements `where` [B, elements] at their upper or lower bounds.

    An element without a bound moves by the unit instead.
    """
    region, x0 = problem.region, problem.x0
    high = torch.where(region.high.isfinite(), region.high, x0 + region.unit)
    low = torch.where(region.low.isfinite(), region.low, x0 - region.unit)
    corners = torch.where(upper.reshape(x.shape), high, low)
    return torch.where(where.reshape(x.shape), corners, x)


@dataclass(frozen=True)
class SparseRS(Attack):
    """Sparse-RS: random search over sets of changed elements (Croce et al., 2022), in L0.

    floor(eps) elements are set to their lowest or highest allowed values. Each step replaces a decreasing share of
    them by other elements, and is kept where it lowers the margin. It uses outputs only, so gradient masking is no
    defence against it. The paper counts pixels, whose channels change together; here elements are counted, as
    everywhere in L0.

    Attributes:
        steps: number of sets to try.
        share: share of the changed elements that the first step replaces.
    """

    norms: ClassVar[tuple[str, ...]] = ("l0",)
    elsewhere: ClassVar[str] = "Square"
    gradient_free: ClassVar[bool] = True

    norm: NormName = "l0"
    steps: int = setting(5000, whole())
    share: float = setting(0.3, share_of)

    def _search(self, run: AttackRun) -> Result:
        step = SparseRSStep(self.steps, self.share, run.seed)
        return run.search(margin, step, step.start(run.problem), self.steps, stop=self.stop_on_success)
