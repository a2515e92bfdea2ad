"""Several classes' derivatives from one forward: how far each boundary seems to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.norms import Norm
from inputopt.search.objectives import logit_of, others_first
from inputopt.search.problem import Problem, where_movable


def gaps(
    net: Frozen, x: Tensor, problem: Problem, choose: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """How far the label is ahead of one class after another: (class [B], gap [B], its derivative by x [B, ...]).

    One forward, by whose logits `choose` says which classes [B, n], and a backward a class.
    """
    variable = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = net(variable)
        classes = choose(logits.detach())
        ahead = logit_of(logits, problem.label)[:, None] - logits.gather(1, classes)
    for number in range(classes.shape[1]):
        last = number + 1 == classes.shape[1]
        gap = ahead[:, number]
        yield classes[:, number], gap.detach(), net.gradient(gap, variable, keep=not last)


def linear_distances(net: Frozen, problem: Problem, count: int, norm: Norm) -> tuple[Tensor, Tensor]:
    """The `count` classes of the highest logits but the label, and how far x0 is from each one's boundary, [B, count].

    How far, that is, if the network were linear: gap over the gradient's size. It tells which classes are near far
    better than the logits do, which do not know how steep the way is.
    """
    classes, distances = [], []
    for number, gap, grad in gaps(net, problem.x0, problem, lambda logits: _others(logits, problem.label, count)):
        classes.append(number)
        distances.append(gap / norm.dual(where_movable(grad, problem)).clamp_min(torch.finfo(gap.dtype).tiny))
    return torch.stack(classes, dim=1), torch.stack(distances, dim=1)


def _others(logits: Tensor, label: Tensor, count: int) -> Tensor:
    return others_first(logits, label, min(count, logits.shape[1] - 1))
