"""Where the boundary would be if the network were linear: a hyperplane, and the least change that reaches it."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.search.norms.norm import Norm
from inputopt.search.problem import Problem
from inputopt.search.rows import per_example


def to_hyperplane(norm: Norm, z: Tensor, ahead: Tensor, grad: Tensor, problem: Problem) -> Tensor:
    """The least change of z, in the box, to the plane where `ahead` [B] + <grad, change> is 0, from either side."""
    side = per_example(ahead.sign(), grad)
    return norm.least_change(-side * grad, ahead.abs(), *problem.region.room(z))


def value_at_x0(x: Tensor, z: Tensor, loss: Tensor, grad: Tensor) -> Tensor:
    """What the loss would be at x if it went on from z as its derivative says, [B]."""
    return loss + torch.linalg.vecdot(grad.flatten(1), (x - z).flatten(1))
