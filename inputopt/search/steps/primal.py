"""Primal-dual proximal descent: the change shrinks by its norm's own proximal step, weighed against the margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.geometry import Project
from inputopt.search.norms import L0, L1, L2, Norm, per_example
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.steps.directions import adam


@dataclass(frozen=True)
class Weighed:
    """Adam's averages; the log-odds of margin against norm and the mean share of the margin, [B]; the step's number."""

    mean: Tensor
    square: Tensor
    weight: Tensor
    shares: Tensor
    index: int


@dataclass(frozen=True)
class PrimalDualStep:
    """PDPGD (Matyasko and Chau, 2021), in every norm.

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

    def init(self, z: Tensor, problem: Problem) -> Weighed:
        return begun(z)

    def update(
        self, z: Tensor, seen: Evaluation, state: Weighed, problem: Problem, project: Project
    ) -> tuple[Tensor, Weighed]:
        assert seen.grad is not None
        done = state.index / self.steps
        grad = per_example(seen.loss.sigmoid(), z) * seen.grad  # of softplus(margin)
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        rate = self.rate * 0.01**done
        metric = (square / (1 - 0.999 ** (state.index + 1))).sqrt() + 1e-8
        largest = metric.flatten(1).amax(1)
        weight = rate / largest * (1 - state.shares) / state.shares
        aim = project(z - rate * step, problem)
        ahead = self._shrunk(aim, metric / per_example(largest, z), weight, problem, project)
        odds, shares = turned(state, seen, self.dual_rate * (1 - 0.9 * done))
        return ahead, Weighed(mean, square, odds, shares, state.index + 1)

    def _shrunk(self, aim: Tensor, metric: Tensor, weight: Tensor, problem: Problem, project: Project) -> Tensor:
        """The proximal step in Adam's metric, by iterations of the plain one (Yun et al., 2021)."""
        z = aim
        moves = torch.ones_like(weight, dtype=torch.bool)
        for _ in range(self.inner):
            change = proximal(self.norm, z - metric * (z - aim) - problem.x0, weight)
            new = torch.where(per_example(moves, z), project(problem.x0 + change, problem), z)
            moves = moves & (L2.size(new - z) > 1e-2 * L2.size(new - problem.x0))
            z = new
            if not bool(moves.any()):
                break
        return z


@dataclass(frozen=True)
class PrimalDualGradientStep:
    """PDGD (Matyasko and Chau, 2021), in L2: as `PrimalDualStep`, with the derivative of the size in Adam's place.

    Attributes:
        steps, rate, dual_rate: as for `PrimalDualStep`.
    """

    steps: int
    rate: float = 0.1
    dual_rate: float = 0.1
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> Weighed:
        return begun(z)

    def update(
        self, z: Tensor, seen: Evaluation, state: Weighed, problem: Problem, project: Project
    ) -> tuple[Tensor, Weighed]:
        assert seen.grad is not None
        done, change = state.index / self.steps, z - problem.x0
        outwards = change / per_example(L2.size(change).clamp_min(1e-12), z)
        wrong = per_example(state.shares * seen.loss.sigmoid(), z) * seen.grad
        grad = per_example(1 - state.shares, z) * outwards + wrong
        mean, square, step = adam(grad, state.mean, state.square, state.index)
        odds, shares = turned(state, seen, self.dual_rate * (1 - 0.9 * done))
        ahead = project(z - self.rate * 0.01**done * step, problem)
        return ahead, Weighed(mean, square, odds, shares, state.index + 1)


def begun(z: Tensor) -> Weighed:
    """The margin first, at odds of 100."""
    weight = torch.full(z.shape[:1], 4.6, dtype=z.dtype, device=z.device)
    return Weighed(torch.zeros_like(z), torch.zeros_like(z), weight, weight.sigmoid(), 0)


def turned(state: Weighed, seen: Evaluation, rate: float) -> tuple[Tensor, Tensor]:
    """The log-odds after a success or a failure, and the running mean of the margin's share, [B] each."""
    odds = (state.weight + torch.where(seen.success, -rate, rate)).clamp(-13.8, 13.8)
    return odds, 0.9 * state.shares + 0.1 * odds.sigmoid()


def proximal(norm: Norm, change: Tensor, weight: Tensor) -> Tensor:
    """The change c that minimises |c - change|^2 / 2 + weight |c|, [B, ...]; in L0 with |c|^(2/3) summed in its place.

    The count itself has a derivative nowhere that would tell it which small changes to give up (as the authors find).
    """
    by = per_example(weight, change)
    if norm is L0:
        return two_thirds(change, by)
    if norm is L1:
        return change.sign() * (change.abs() - by).clamp_min(0)
    if norm is L2:
        return change * (1 - by / per_example(L2.size(change), change).clamp_min(1e-12)).clamp_min(0)
    wide = torch.full_like(change, torch.inf)
    return change - L1.project(change, weight, -wide, wide)  # Moreau: what the dual ball does not hold


def two_thirds(change: Tensor, weight: Tensor) -> Tensor:
    """The c that minimises (c - change)^2 / 2 + weight |c|^(2/3), number by number (Cao et al., 2013)."""
    size = change.abs()
    inside = (size**4 / 256 - 8 * weight**3 / 729).clamp(min=0).sqrt()
    half = size.square() / 16
    root = 2 * ((half + inside) ** (1 / 3) + (half - inside).clamp(min=0) ** (1 / 3))
    tiny = torch.finfo(change.dtype).tiny
    rest = (2 * size / root.clamp_min(tiny).sqrt() - root).clamp(min=0)
    shrunk = torch.minimum((root.sqrt() + rest.sqrt()) ** 3 / 8, size)
    better = (shrunk - size).square() / 2 + weight * shrunk ** (2 / 3) < size.square() / 2
    return torch.where(better, change.sign() * shrunk, 0)
