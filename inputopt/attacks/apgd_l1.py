"""The step rule of Auto-PGD in L1 (Croce and Hein, 2021): along as many numbers as the best point found changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inputopt.search.norms import L1
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.rows import chosen, per_example


@dataclass(frozen=True)
class APGDL1State:
    """The state of L1 Auto-PGD: the best point so far, how many pixels a step changes, how long it is, and counters."""

    best: Tensor
    best_grad: Tensor
    best_loss: Tensor
    pixels: Tensor
    sparsity: Tensor
    size: Tensor
    index: int


@dataclass(frozen=True)
class APGDL1Step:
    """The step rule of L1 Auto-PGD (Croce and Hein, 2021).

    A step changes the `pixels` numbers of largest gradient by equal amounts. Every few steps that number becomes two
    thirds of those that the best point changes; where it hardly fell, the step shrinks by 1.5, else it is eps again.

    Attributes:
        steps: how many there will be: it sets the checkpoints.
    """

    steps: int
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> APGDL1State:
        eps, count = problem.region.eps, z[0].numel()
        changed = (z != problem.x0).flatten(1).sum(1).to(z.dtype)
        share = torch.full_like(eps, 0.2 * count)
        pixels = torch.where(changed > 0, torch.minimum(changed / 1.5, share), share).clamp_min(1)
        infinite = torch.full_like(eps, torch.inf)
        return APGDL1State(z, torch.zeros_like(z), infinite, pixels, changed.clamp_min(1), eps, 0)

    def update(
        self, z: Tensor, seen: Evaluation, state: APGDL1State, problem: Problem, project: Project
    ) -> tuple[Tensor, APGDL1State]:
        eps, region = problem.region.eps, problem.region
        better = seen.loss < state.best_loss
        best = chosen(better, z, state.best)
        best_grad = chosen(better, seen.gradient, state.best_grad)
        best_loss = torch.where(better, seen.loss, state.best_loss)
        grad, pixels, sparsity, size = seen.gradient, state.pixels, state.sparsity, state.size
        if state.index and state.index % max(1, round(0.04 * self.steps)) == 0:
            changed = (best != problem.x0).flatten(1).sum(1).to(z.dtype).clamp_min(1)
            settled = changed >= 0.95 * sparsity
            size = torch.where(settled, (size / 1.5).clamp_min(eps / 10), eps)
            pixels, sparsity = (changed / 1.5).clamp_min(1), changed
            z, grad = chosen(settled, best, z), chosen(settled, best_grad, grad)
        direction = largest(L1.feasible(grad, z, region.low, region.high), pixels)
        ahead = project(z - per_example(size, z) * direction, problem)
        return ahead, APGDL1State(best, best_grad, best_loss, pixels, sparsity, size, state.index + 1)


def largest(grad: Tensor, pixels: Tensor) -> Tensor:
    """The signs of the `pixels` [B] numbers of largest size, at L1 length 1."""
    size = grad.flatten(1).abs()
    rank = (pixels.long().clamp(1, size.shape[1]) - 1)[:, None]
    least = size.sort(dim=1, descending=True).values.gather(1, rank)
    signs = torch.where(size >= least, grad.flatten(1).sign(), 0)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).reshape(grad.shape)
