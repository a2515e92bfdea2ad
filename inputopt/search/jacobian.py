"""Several classes' derivatives from one forward: how far each boundary seems to be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.norms import Norm
from inputopt.search.objectives import logit_of
from inputopt.search.problem import Problem, where_movable


def gaps(net: Frozen, x: Tensor, problem: Problem, classes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """How far the label is ahead of each of `classes` [B, n], and the derivative of that by x: n times ([B], [B, ...]).

    One forward, and a backward a class.
    """
    variable = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = net(variable)
        ahead = logit_of(logits, problem.label)[:, None] - logits.gather(1, classes)
    for number in range(classes.shape[1]):
        last = number + 1 == classes.shape[1]
        yield ahead[:, number].detach(), net.gradient(ahead[:, number], variable, keep=not last)


def linear_distances(net: Frozen, problem: Problem, classes: Tensor, norm: Norm) -> Tensor:
    """How far x0 is from each class's boundary, [B, n], if the network were linear: gap over the gradient's size.

    It tells which classes are near far better than the logits do, which do not know how steep the way is.
    """
    found = gaps(net, problem.x0, problem, classes)
    return torch.stack(
        [gap / norm.dual(where_movable(grad, problem)).clamp_min(torch.finfo(gap.dtype).tiny) for gap, grad in found],
        dim=1,
    )
