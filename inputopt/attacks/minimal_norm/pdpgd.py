"""PDPGD and PDGD: primal-dual proximal gradient descent (Matyasko and Chau, 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.boundary_walk import BoundaryWalkStep
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, onto_boundary
from inputopt.attacks.run import AttackRun
from inputopt.search.host_sync import known_none
from inputopt.search.norms import L2, Norm
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, best_of, failures_at_infinity, nearer
from inputopt.search.rows import per_example
from inputopt.search.steps.directions import adam


@dataclass(frozen=True)
class PDGDState:
    """Adam's averages; the log-odds of margin against norm and the mean share of the margin, [B]; the step's number."""

    mean: Tensor
    square: Tensor
    weight: Tensor
    shares: Tensor
    index: int


@dataclass(frozen=True)
class PDPGDStep:
    """The step rule of PDPGD; changes count in parts of the bounds' width.

    Descends softplus(margin) by Adam, then makes the proximal step of the norm, weighed by the odds between the two:
    they turn to the norm while the example succeeds, and to the margin while it fails.

    Attributes:
        norm: to be minimised.
        steps: how many there will be: both rates fall over them.
        rate: Adam's, at first; it falls to a hundredth.
        dual_rate: of the log-odds, at first; it falls to a tenth.
        inner: how many iterations a proximal step may take.
    """

    norm: Norm
    steps: int
    rate: float = 0.1
    dual_rate: float = 0.1
    inner: int = 5
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> PDGDState:
        return begun(z)

    def update(
        self, z: Tensor, seen: Evaluation, state: PDGDState, problem: Problem, project: Project
    ) -> tuple[Tensor, PDGDState]:
        done, unit = state.index / self.steps, problem.region.unit
        grad = per_example(unit * seen.loss.sigmoid(), z) * seen.gradient  # of softplus(margin)
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        rate = self.rate * 0.01**done
        metric = (square / (1 - 0.999 ** (state.index + 1))).sqrt() + 1e-8
        largest = metric.flatten(1).amax(1)
        weight = rate / largest * (1 - state.shares) / state.shares
        aim = project(z - rate * unit * step, problem)
        ahead = self._shrunk(aim, metric / per_example(largest, z), weight, problem, project)
        odds, shares = turned(state, seen, self.dual_rate * (1 - 0.9 * done))
        return ahead, PDGDState(mean, square, odds, shares, state.index + 1)

    def _shrunk(self, aim: Tensor, metric: Tensor, weight: Tensor, problem: Problem, project: Project) -> Tensor:
        """The proximal step in Adam's metric, by iterations of the plain one (Yun et al., 2021)."""
        z, unit = aim, problem.region.unit
        moves = torch.ones_like(weight, dtype=torch.bool)
        for _ in range(self.inner):
            change = self.norm.proximal((z - metric * (z - aim) - problem.x0) / unit, weight)
            new = torch.where(per_example(moves, z), project(problem.x0 + unit * change, problem), z)
            moves = moves & (L2.size(new - z) > 1e-2 * L2.size(new - problem.x0))
            z = new
            if known_none(moves):
                break
        return z


@dataclass(frozen=True)
class PDGDStep:
    """The step rule of PDGD: as `PDPGDStep`, with the derivative of the size in Adam's place.

    Attributes:
        steps, rate, dual_rate: as for `PDPGDStep`.
    """

    steps: int
    rate: float = 0.1
    dual_rate: float = 0.1
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> PDGDState:
        return begun(z)

    def update(
        self, z: Tensor, seen: Evaluation, state: PDGDState, problem: Problem, project: Project
    ) -> tuple[Tensor, PDGDState]:
        done, unit = state.index / self.steps, problem.region.unit
        wrong = per_example(unit * state.shares * seen.loss.sigmoid(), z) * seen.gradient
        grad = per_example(1 - state.shares, z) * L2.outward(z - problem.x0) + wrong
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        odds, shares = turned(state, seen, self.dual_rate * (1 - 0.9 * done))
        ahead = project(z - self.rate * unit * 0.01**done * step, problem)
        return ahead, PDGDState(mean, square, odds, shares, state.index + 1)


def begun(z: Tensor) -> PDGDState:
    """The margin first, at odds of 100."""
    weight = torch.full(z.shape[:1], 4.6, dtype=z.dtype, device=z.device)
    return PDGDState(torch.zeros_like(z), torch.zeros_like(z), weight, weight.sigmoid(), 0)


def turned(state: PDGDState, seen: Evaluation, rate: float) -> tuple[Tensor, Tensor]:
    """The log-odds after a success or a failure, and the running mean of the margin's share, [B] each."""
    odds = (state.weight + torch.where(seen.success, -rate, rate)).clamp(-13.8, 13.8)
    return odds, 0.9 * state.shares + 0.1 * odds.sigmoid()


@dataclass(frozen=True)
class PDPGD(MinimalNormAttack):
    """Primal-dual proximal gradient descent (Matyasko and Chau, 2021), in every norm.

    Its last steps still cross the boundary to and fro, so it ends with a walk along the boundary from the nearest
    success (but in L0), and a bisection between the input and what is then the nearest.

    Attributes:
        steps: how many, the walk's and the bisection's not counted.
        walk: steps of the walk.
        halvings: steps of the bisection, a forward each.
    """

    steps: int = setting(500, whole())
    walk: int = setting(10, whole())
    halvings: int = setting(10, whole())

    def _search(self, run: AttackRun) -> Result:
        found = run.search_nearest(margin, PDPGDStep(run.norm, self.steps), run.begin, self.steps)
        if run.norm.convex:
            walked = run.search_nearest(margin, BoundaryWalkStep(run.norm), found.x, self.walk)
            found = best_of(found, walked, nearer)
        return onto_boundary(run, failures_at_infinity(found), self.halvings)


@dataclass(frozen=True)
class PDGD(MinimalNormAttack):
    """Primal-dual gradient descent (Matyasko and Chau, 2021), in L2.

    Attributes:
        steps: how many.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "PDPGD"

    steps: int = setting(500, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(margin, PDGDStep(self.steps), run.begin, self.steps)
