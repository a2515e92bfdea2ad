"""Step rule of APGD in L1 (Croce and Hein, 2021), with sparse steps of adaptive sparsity."""

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
    """State of L1 APGD.

    Attributes:
        best, best_grad, best_loss: the point with the lowest loss so far, its gradient and its loss.
        pixels: number of elements that a step changes [B].
        sparsity: number of elements perturbed at the best point of the last checkpoint [B].
        size: step size [B].
        index: index of the step.
    """

    best: Tensor
    best_grad: Tensor
    best_loss: Tensor
    pixels: Tensor
    sparsity: Tensor
    size: Tensor
    index: int


@dataclass(frozen=True)
class APGDL1Step:
    """Step rule of L1 APGD (Croce and Hein, 2021).

    A step changes the `pixels` elements of largest gradient by equal amounts. At each checkpoint `pixels` becomes two
    thirds of the number of elements perturbed at the best point. Where that number fell by at most 5 %, the step size
    is divided by 1.5 (down to eps / 10) and the search returns to the best point; else the step size is reset to eps.

    Attributes:
        steps: total number of steps; sets the checkpoints.
    """

    steps: int
    uses_gradient: ClassVar[bool] = True

    def init(self, z: Tensor, problem: Problem) -> APGDL1State:
        eps, count = problem.region.eps, z[0].numel()
        changed = (z != problem.x0).flatten(1).sum(1).to(z.dtype)
        initial = torch.full_like(eps, 0.2 * count)
        pixels = torch.where(changed > 0, torch.minimum(changed / 1.5, initial), initial).clamp_min(1)
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
            stalled = changed >= 0.95 * sparsity
            size = torch.where(stalled, (size / 1.5).clamp_min(eps / 10), eps)
            pixels, sparsity = (changed / 1.5).clamp_min(1), changed
            z, grad = chosen(stalled, best, z), chosen(stalled, best_grad, grad)
        direction = largest(L1.feasible(grad, z, region.low, region.high), pixels)
        new = project(z - per_example(size, z) * direction, problem)
        return new, APGDL1State(best, best_grad, best_loss, pixels, sparsity, size, state.index + 1)


def largest(grad: Tensor, pixels: Tensor) -> Tensor:
    """Signs of the `pixels` [B] elements of largest absolute value, scaled to L1 norm 1; 0 elsewhere."""
    size = grad.flatten(1).abs()
    rank = (pixels.long().clamp(1, size.shape[1]) - 1)[:, None]
    threshold = size.sort(dim=1, descending=True).values.gather(1, rank)
    signs = torch.where(size >= threshold, grad.flatten(1).sign(), 0)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).reshape(grad.shape)
