"""Gradient saliency (Simonyan et al., 2014): the gradient of a class logit by the input."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.objectives.logits import logit_of
from inputopt.search.problem import Problem


def logit_gradient(net: Frozen, x: Tensor, problem: Problem) -> Tensor:
    """The gradient of the label's logit at x [B, ...], of its shape."""
    variable = x.detach().requires_grad_()
    with torch.enable_grad():
        logit = logit_of(net(variable), problem.label)
    return net.gradient(logit, variable)


def mean_gradient(net: Frozen, points: Iterator[Tensor], problem: Problem, count: int) -> Tensor:
    """The mean of `logit_gradient` over `count` points, [B, ...] each."""
    total = torch.zeros_like(problem.x0)
    for point in points:
        total += logit_gradient(net, point, problem)
    return total / count
