"""Linear approximation of the decision boundary: a hyperplane, and the smallest change that reaches it."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.search.norms.norm import Norm
from inputopt.search.problem import Problem
from inputopt.search.rows import per_example


def to_hyperplane(norm: Norm, z: Tensor, ahead: Tensor, grad: Tensor, problem: Problem) -> Tensor:
    """Smallest change of z within the box such that `ahead` [B] + <grad, change> = 0; `ahead` may have either sign."""
    ahead_sign = per_example(ahead.sign(), grad)
    return norm.least_change(-ahead_sign * grad, ahead.abs(), *problem.region.room(z))


def value_at_x0(x: Tensor, z: Tensor, loss: Tensor, grad: Tensor) -> Tensor:
    """First-order estimate of the loss at x from its value and gradient at z, [B]."""
    return loss + torch.linalg.vecdot(grad.flatten(1), (x - z).flatten(1))
