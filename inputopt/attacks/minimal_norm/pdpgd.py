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
    """State of PDPGD and PDGD.

    Attributes:
        mean, square: Adam's running averages, shaped like z.
        weight: dual variable: log-odds of the margin against the norm, [B].
        shares: running mean of the margin's weight, between 0 and 1, [B].
        index: index of the step.
    """

    mean: Tensor
    square: Tensor
    weight: Tensor
    shares: Tensor
    index: int


@dataclass(frozen=True)
class PDPGDStep:
    """Step rule of PDPGD; perturbations are in units of the bounds' width.

    An Adam step on softplus(margin) is followed by a proximal step of the norm, weighted by the odds of the two terms.
    The dual step moves the odds towards the norm while the example succeeds, and towards the margin while it fails.

    Attributes:
        norm: the norm to minimise.
        steps: total number of steps; both learning rates decay over them.
        rate: Adam's initial learning rate; it decays to a hundredth.
        dual_rate: initial learning rate of the log-odds; it decays to a tenth.
        inner: maximum number of iterations of a proximal step.
    """

    norm: Norm
    steps: int
    rate: float = 0.1
    dual_rate: float = 0.1
    inner: int = 5
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> PDGDState:
        return initial_state(z)

    def update(
        self, z: Tensor, seen: Evaluation, state: PDGDState, problem: Problem, project: Project
    ) -> tuple[Tensor, PDGDState]:
        progress, unit = state.index / self.steps, problem.region.unit
        grad = per_example(unit * seen.loss.sigmoid(), z) * seen.gradient  # of softplus(margin)
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        rate = self.rate * 0.01**progress
        metric = (square / (1 - 0.999 ** (state.index + 1))).sqrt() + 1e-8
        largest = metric.flatten(1).amax(1)
        weight = rate / largest * (1 - state.shares) / state.shares
        target = project(z - rate * unit * step, problem)
        new_z = self._proximal(target, metric / per_example(largest, z), weight, problem, project)
        odds, shares = dual_step(state, seen, self.dual_rate * (1 - 0.9 * progress))
        return new_z, PDGDState(mean, square, odds, shares, state.index + 1)

    def _proximal(self, target: Tensor, metric: Tensor, weight: Tensor, problem: Problem, project: Project) -> Tensor:
        """Proximal step in Adam's metric, by iterating the Euclidean one (Yun et al., 2021)."""
        z, unit = target, problem.region.unit
        active = torch.ones_like(weight, dtype=torch.bool)
        for _ in range(self.inner):
            change = self.norm.proximal((z - metric * (z - target) - problem.x0) / unit, weight)
            new = torch.where(per_example(active, z), project(problem.x0 + unit * change, problem), z)
            active = active & (L2.size(new - z) > 1e-2 * L2.size(new - problem.x0))
            z = new
            if known_none(active):
                break
        return z


@dataclass(frozen=True)
class PDGDStep:
    """Step rule of PDGD: Adam on the weighted sum of norm and softplus(margin), with the dual step of `PDPGDStep`.

    Attributes:
        steps, rate, dual_rate: as for `PDPGDStep`.
    """

    steps: int
    rate: float = 0.1
    dual_rate: float = 0.1
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> PDGDState:
        return initial_state(z)

    def update(
        self, z: Tensor, seen: Evaluation, state: PDGDState, problem: Problem, project: Project
    ) -> tuple[Tensor, PDGDState]:
        progress, unit = state.index / self.steps, problem.region.unit
        margin_grad = per_example(unit * state.shares * seen.loss.sigmoid(), z) * seen.gradient
        grad = per_example(1 - state.shares, z) * L2.outward(z - problem.x0) + margin_grad
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        odds, shares = dual_step(state, seen, self.dual_rate * (1 - 0.9 * progress))
        new_z = project(z - self.rate * unit * 0.01**progress * step, problem)
        return new_z, PDGDState(mean, square, odds, shares, state.index + 1)


def initial_state(z: Tensor) -> PDGDState:
    """Initial state: odds of 100 for the margin."""
    weight = torch.full(z.shape[:1], 4.6, dtype=z.dtype, device=z.device)
    return PDGDState(torch.zeros_like(z), torch.zeros_like(z), weight, weight.sigmoid(), 0)


def dual_step(state: PDGDState, seen: Evaluation, rate: float) -> tuple[Tensor, Tensor]:
    """Dual step: the log-odds after a success or a failure, and the running mean of the margin's weight, [B] each."""
    odds = (state.weight + torch.where(seen.success, -rate, rate)).clamp(-13.8, 13.8)
    return odds, 0.9 * state.shares + 0.1 * odds.sigmoid()


@dataclass(frozen=True)
class PDPGD(MinimalNormAttack):
    """Primal-dual proximal gradient descent (Matyasko and Chau, 2021), in every norm.

    Its last steps still alternate between the two sides of the boundary, so it ends with a walk along the boundary from
    the nearest success (except in L0) and a bisection between the input and the nearest success after the walk.

    Attributes:
        steps: number of steps, without those of the walk and the bisection.
        walk: number of steps of the walk.
        halvings: number of steps of the bisection, one forward each.
    """

    steps: int = setting(500, whole())
    walk: int = setting(10, whole())
    halvings: int = setting(10, whole())

    def _search(self, run: AttackRun) -> Result:
        found = run.search_nearest(margin, PDPGDStep(run.norm, self.steps), run.starting_points, self.steps)
        if run.norm.convex:
            walked = run.search_nearest(margin, BoundaryWalkStep(run.norm), found.x, self.walk)
            found = best_of(found, walked, nearer)
        return onto_boundary(run, failures_at_infinity(found), self.halvings)


@dataclass(frozen=True)
class PDGD(MinimalNormAttack):
    """Primal-dual gradient descent (Matyasko and Chau, 2021), in L2.

    Attributes:
        steps: number of steps.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    elsewhere: ClassVar[str] = "PDPGD"

    steps: int = setting(500, whole())

    def _search(self, run: AttackRun) -> Result:
        return run.search_nearest(margin, PDGDStep(self.steps), run.starting_points, self.steps)
