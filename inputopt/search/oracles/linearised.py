"""Several classes' derivatives from one forward: how far each boundary would be if the network were linear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.canvases.canvas import Canvas, pixels
from inputopt.search.goals import Goal
from inputopt.search.hyperplanes import to_hyperplane
from inputopt.search.network_draws import Draws, unseeded
from inputopt.search.norms import Norm
from inputopt.search.objectives.logits import logit_of, margin, others_first
from inputopt.search.oracles.oracle import Vjp, active_examples, finite_gradient, judged, of_rows
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.rows import chosen, per_example
from inputopt.search.transforms import Transform, unchanged

Distance = Callable[[Tensor, Tensor], Tensor]
"""(gap [B], its derivative [B, ...]) -> how far the boundary seems to be, [B]."""


def boundary_distances(
    net: Frozen, problem: Problem, count: int, distance: Distance, meter: QueryCounter
) -> tuple[Tensor, Tensor]:
    """The classes of the `count` highest logits at x0, but the label, and how far the boundary to each seems to be.

    One forward, and a backward a class; with a target it alone is looked at. It tells which classes are near far better
    than the logits do, which do not know how steep the way is (Moosavi-Dezfooli et al., 2016).

    Returns:
        classes int64 [B, count] and distances [B, count]; infinite where the network gives no answer.
    """
    classes, distances = [], []
    for number, gap, grad in _gaps(net, problem, count, meter):
        classes.append(number)
        distances.append(distance(gap, grad).nan_to_num(torch.inf, torch.inf))
    return torch.stack(classes, dim=1), torch.stack(distances, dim=1)


def linear_distance(norm: Norm) -> Distance:
    """The gap over the gradient's size, which does not know of the box."""
    return lambda gap, grad: gap / norm.dual(grad).clamp_min(torch.finfo(gap.dtype).tiny)


def distance_in_box(norm: Norm, problem: Problem) -> Distance:
    """The size of the least change from x0 to the boundary inside the box: what stands at its bound goes no further."""
    return lambda gap, grad: norm.size(to_hyperplane(norm, problem.x0, gap.clamp(min=0), grad, problem))


def _gaps(net: Frozen, problem: Problem, count: int, meter: QueryCounter) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """How far the label is ahead at x0 of one class after another: (class [B], gap [B], its derivative [B, ...])."""
    variable = problem.x0.detach().requires_grad_()
    meter.forward(problem.example)
    with torch.enable_grad():
        logits = net(variable)
        if problem.target is None:
            classes = others_first(logits.detach(), problem.label, min(count, logits.shape[1] - 1))
        else:
            classes = problem.target[:, None]
        ahead = logit_of(logits, problem.label)[:, None] - logits.gather(1, classes)
    for number in range(classes.shape[1]):
        gap = ahead[:, number]
        meter.backward(problem.example)
        grad = net.gradient(gap, variable, keep=number + 1 < classes.shape[1])
        grad = finite_gradient(grad, problem.example, meter)
        yield classes[:, number], gap.detach(), problem.region.masked(grad)


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
        transform, canvas, eot_samples, draws, meter: as for `Autograd`.
    """

    net: Frozen
    goal: Goal
    norm: Norm
    classes: int
    transform: Transform = unchanged
    canvas: Canvas = pixels
    eot_samples: int = 1
    draws: Draws = unseeded
    meter: QueryCounter = field(default_factory=QueryCounter)

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        variable = z.detach().requires_grad_()
        with torch.enable_grad():
            x = self.canvas(variable, problem)
            outputs = self._averaged(x, problem, index)
        self.meter.forward(problem.example, self.eot_samples)
        said = outputs.detach()
        x = z if x is variable else x.detach()
        seen = judged(x, said, margin(said, x, problem), self.goal, problem, self.meter)

        def vjp(active: Tensor | None) -> Tensor:
            self.meter.backward(active_examples(problem, active), self.classes * self.eot_samples)
            return of_rows(self._plane(outputs, variable, seen.loss, problem), active)

        return seen, vjp

    def _averaged(self, x: Tensor, problem: Problem, index: int) -> Tensor:
        every = []
        for sample in range(self.eot_samples):
            draw = index * self.eot_samples + sample
            with self.draws(draw):
                every.append(self.net(self.transform(x, problem, draw)))
        return every[0] if len(every) == 1 else torch.stack(every).mean(0)

    def _plane(self, outputs: Tensor, variable: Tensor, loss: Tensor, problem: Problem) -> Tensor:
        tiny = torch.finfo(loss.dtype).tiny
        plane, least = torch.zeros_like(variable), torch.full_like(loss, torch.inf)
        with torch.enable_grad():
            ahead = self._gaps(outputs, variable, problem)
        for number in range(self.classes):
            gap = ahead[:, number].detach()
            grad = self.net.gradient(ahead[:, number], variable, self.eot_samples, keep=number + 1 < self.classes)
            grad = finite_gradient(grad, problem.example, self.meter)
            distance = gap.abs() / self.norm.dual(grad).clamp_min(tiny)
            on_it = (gap == 0) | (loss == 0)
            scale = torch.where(on_it, 1, loss / gap.masked_fill(on_it, 1)).nan_to_num(0, 0, 0)
            plane = chosen(distance < least, grad * per_example(scale, grad), plane)
            least = torch.where(distance < least, distance, least)
        return plane

    def _gaps(self, outputs: Tensor, variable: Tensor, problem: Problem) -> Tensor:
        """How far the label is ahead of each class, or the best other class ahead of the target, [B, classes]."""
        if problem.target is not None:
            return margin(outputs, variable, problem)[:, None].expand(-1, self.classes)
        classes = others_first(outputs.detach(), problem.label, self.classes)
        return logit_of(outputs, problem.label)[:, None] - outputs.gather(1, classes)
