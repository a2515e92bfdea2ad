"""Several classes' derivatives from one forward: how far each boundary seems to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.canvas import Canvas, pixels
from inputopt.search.goals import Goal
from inputopt.search.norms import Norm, chosen, per_example
from inputopt.search.objectives import logit_of, margin, others_first
from inputopt.search.oracle import Pull
from inputopt.search.planes import to_plane
from inputopt.search.problem import Evaluation, Problem, where_movable


def gaps(net: Frozen, problem: Problem, count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """How far the label is ahead at x0 of one class after another: (class [B], gap [B], its derivative [B, ...]).

    The classes are the `count` of the highest logits but the label, or only the target where there is one: one forward,
    and a backward a class. What may not move has no derivative.
    """
    variable = problem.x0.detach().requires_grad_()
    with torch.enable_grad():
        logits = net(variable)
        if problem.target is None:
            classes = others_first(logits.detach(), problem.label, min(count, logits.shape[1] - 1))
        else:
            classes = problem.target[:, None]
        ahead = logit_of(logits, problem.label)[:, None] - logits.gather(1, classes)
    for number in range(classes.shape[1]):
        last = number + 1 == classes.shape[1]
        gap = ahead[:, number]
        yield classes[:, number], gap.detach(), where_movable(net.gradient(gap, variable, keep=not last), problem)


def linear_distances(net: Frozen, problem: Problem, count: int, norm: Norm) -> tuple[Tensor, Tensor]:
    """The classes of `gaps`, and how far x0 is from the boundary to each if the network were linear; both [B, count].

    Gap over the gradient's size: it tells which classes are near far better than the logits do, which do not know how
    steep the way is.
    """
    classes, distances = [], []
    for number, gap, grad in gaps(net, problem, count):
        classes.append(number)
        distances.append(gap / norm.dual(grad).clamp_min(torch.finfo(gap.dtype).tiny))
    return torch.stack(classes, dim=1), torch.stack(distances, dim=1)


def plane_distances(net: Frozen, problem: Problem, count: int, norm: Norm) -> tuple[Tensor, Tensor]:
    """As `linear_distances`, and the box counts: what stands at its bound can go no further."""
    classes, distances = [], []
    for number, gap, grad in gaps(net, problem, count):
        classes.append(number)
        distances.append(norm.size(to_plane(norm, problem.x0, gap.clamp(min=0), grad, problem)))
    return torch.stack(classes, dim=1), torch.stack(distances, dim=1)


@dataclass(frozen=True)
class NearestBoundary:
    """An oracle for steps towards the boundary that seems nearest, whichever class is behind it.

    The loss is the margin. Its derivative is that of the gap to the class whose boundary would be nearest if the
    network were linear, scaled so that the margin and it describe that boundary's plane: where loss + <grad, c> is 0.

    Attributes:
        net: the network.
        goal: when an example is done.
        norm: what "nearest" is measured in.
        classes: how many are looked at, those of the highest logits; a backward each. With a target it is one.
        canvas: what turns z into inputs.
        samples: how often to run each example and take the mean.
    """

    net: Frozen
    goal: Goal
    norm: Norm
    classes: int
    canvas: Canvas = pixels
    samples: int = 1

    @property
    def backwards(self) -> int:
        """A derivative takes one of each class."""
        return self.classes

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Pull]:
        variable = z.detach().requires_grad_()
        with torch.enable_grad():
            x = self.canvas(variable, problem)
            outputs = self.net(x.repeat(self.samples, *[1] * (x.ndim - 1)))
            outputs = outputs.reshape(self.samples, len(z), -1).mean(0)
        said = outputs.detach()
        loss = margin(said, x, problem)
        seen = Evaluation(x.detach(), said, loss, self.goal(said, problem))
        return seen, lambda going: self._plane(outputs, variable, loss, problem, going)

    def _plane(self, outputs: Tensor, variable: Tensor, loss: Tensor, problem: Problem, going: Tensor) -> Tensor:
        tiny = torch.finfo(loss.dtype).tiny
        plane, least = torch.zeros_like(variable), torch.full_like(loss, torch.inf)
        with torch.enable_grad():
            ahead = self._gaps(outputs, variable, problem)
        for number in range(self.classes):
            gap = ahead[:, number].detach()
            last = number + 1 == self.classes
            grad = self.net.gradient(ahead[going, number], variable, self.samples, keep=not last)
            distance = gap.abs() / self.norm.dual(grad).clamp_min(tiny)
            on_it = (gap == 0) | (loss == 0)
            scale = torch.where(on_it, 1, loss / gap.masked_fill(on_it, 1))
            plane = chosen(distance < least, grad * per_example(scale, grad), plane)
            least = torch.minimum(distance, least)
        return plane

    def _gaps(self, outputs: Tensor, variable: Tensor, problem: Problem) -> Tensor:
        """How far the label is ahead of each class, or the best other class ahead of the target, [B, classes]."""
        if problem.target is not None:
            return margin(outputs, variable, problem)[:, None].expand(-1, self.classes)
        classes = others_first(outputs.detach(), problem.label, self.classes)
        return logit_of(outputs, problem.label)[:, None] - outputs.gather(1, classes)
