"""Distances to several classes' decision boundaries by a linear approximation, from one forward."""

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
from inputopt.search.objectives.probability_scores import Scores, unchanged_scores
from inputopt.search.oracles.oracle import Vjp, active_examples, evaluation, finite_gradient, of_rows
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.query_counter import QueryCounter
from inputopt.search.rows import chosen, per_example
from inputopt.search.transforms import Transform, unchanged

Distance = Callable[[Tensor, Tensor], Tensor]
"""(logit gap [B], its gradient [B, ...]) -> estimated distance to the boundary [B]."""


def boundary_distances(
    net: Frozen,
    problem: Problem,
    count: int,
    distance: Distance,
    meter: QueryCounter,
    scores: Scores = unchanged_scores,
) -> tuple[Tensor, Tensor]:
    """Estimate the distances from x0 to the boundaries of the `count` classes with the highest logits except the label.

    Costs one forward and one backward per class; with a target, only the target class is used. Linearised distances
    find the nearest classes far better than logits, which ignore gradient norms (Moosavi-Dezfooli et al., 2016).
    `scores` maps the model's outputs to the scores whose gaps are linearised.

    Returns:
        Classes, int64 [B, count], and distances [B, count]; infinite where the network's output is not finite.
    """
    classes, distances = [], []
    for number, gap, grad in _gaps(net, problem, count, meter, scores):
        classes.append(number)
        distances.append(distance(gap, grad).nan_to_num(torch.inf, torch.inf))
    return torch.stack(classes, dim=1), torch.stack(distances, dim=1)


def linear_distance(norm: Norm) -> Distance:
    """Logit gap divided by the dual norm of its gradient; ignores the box."""
    return lambda gap, grad: gap / norm.dual(grad).clamp_min(torch.finfo(gap.dtype).tiny)


def distance_in_box(norm: Norm, problem: Problem) -> Distance:
    """Norm of the smallest change from x0 to the linearised boundary within the box."""
    return lambda gap, grad: norm.size(to_hyperplane(norm, problem.x0, gap.clamp(min=0), grad, problem))


def _gaps(
    net: Frozen, problem: Problem, count: int, meter: QueryCounter, scores: Scores
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (class [B], gap [B], gradient [B, ...]) at x0 for each class; gap is label logit minus class logit."""
    variable = problem.x0.detach().requires_grad_()
    meter.forward(problem.example)
    with torch.enable_grad():
        logits = scores(net(variable))
        if problem.target is None:
            classes = others_first(logits.detach(), problem.label, min(count, logits.shape[1] - 1))
        else:
            classes = problem.target[:, None]
        gaps = logit_of(logits, problem.label)[:, None] - logits.gather(1, classes)
    for number in range(classes.shape[1]):
        gap = gaps[:, number]
        meter.backward(problem.example)
        grad = net.gradient(gap, variable, keep=number + 1 < classes.shape[1])
        grad = finite_gradient(grad, problem.example, meter)
        yield classes[:, number], gap.detach(), problem.region.masked(grad)


@dataclass(frozen=True)
class NearestBoundary:
    """An oracle for steps towards the nearest linearised decision boundary of several classes.

    The loss is the margin. The gradient is that of the logit gap to the class with the nearest linearised boundary,
    scaled so that this boundary is the hyperplane loss + <grad, c> = 0 for a change c.

    Attributes:
        net: the network.
        goal: success criterion of an example.
        norm: norm that distances are measured in.
        classes: number of classes with the highest logits to compare, one backward each; 1 with a target.
        transform, canvas, eot_samples, draws, meter: as for `Autograd`.
        scores: maps the model's outputs to the scores whose gaps are linearised.
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
    scores: Scores = unchanged_scores

    def __call__(self, z: Tensor, problem: Problem, index: int) -> tuple[Evaluation, Vjp]:
        variable = z.detach().requires_grad_()
        with torch.enable_grad():
            x = self.canvas(variable, problem)
            outputs = self._averaged(x, problem, index)
        self.meter.forward(problem.example, self.eot_samples)
        x = z if x is variable else x.detach()
        with torch.enable_grad():
            scores = self.scores(outputs)
        loss = margin(scores.detach(), x, problem)
        seen = evaluation(x, outputs.detach(), loss, self.goal, problem, self.meter)

        def vjp(active: Tensor | None) -> Tensor:
            self.meter.backward(active_examples(problem, active), self.classes * self.eot_samples)
            return of_rows(self._hyperplane(scores, variable, seen.loss, problem), active)

        return seen, vjp

    def _averaged(self, x: Tensor, problem: Problem, index: int) -> Tensor:
        logits = []
        for sample in range(self.eot_samples):
            draw = index * self.eot_samples + sample
            with self.draws(draw):
                logits.append(self.net(self.transform(x, problem, draw)))
        return logits[0] if len(logits) == 1 else torch.stack(logits).mean(0)

    def _hyperplane(self, scores: Tensor, variable: Tensor, loss: Tensor, problem: Problem) -> Tensor:
        tiny = torch.finfo(loss.dtype).tiny
        grad_nearest, nearest = torch.zeros_like(variable), torch.full_like(loss, torch.inf)
        with torch.enable_grad():
            gaps = self._gaps(scores, variable, problem)
        for number in range(self.classes):
            gap = gaps[:, number].detach()
            grad = self.net.gradient(gaps[:, number], variable, self.eot_samples, keep=number + 1 < self.classes)
            grad = finite_gradient(grad, problem.example, self.meter)
            distance = gap.abs() / self.norm.dual(grad).clamp_min(tiny)
            on_boundary = (gap == 0) | (loss == 0)
            scale = torch.where(on_boundary, 1, loss / gap.masked_fill(on_boundary, 1)).nan_to_num(0, 0, 0)
            grad_nearest = chosen(distance < nearest, grad * per_example(scale, grad), grad_nearest)
            nearest = torch.where(distance < nearest, distance, nearest)
        return grad_nearest

    def _gaps(self, scores: Tensor, variable: Tensor, problem: Problem) -> Tensor:
        """Label score minus each class score; with a target, best other score minus target score, [B, classes]."""
        if problem.target is not None:
            return margin(scores, variable, problem)[:, None].expand(-1, self.classes)
        classes = others_first(scores.detach(), problem.label, self.classes)
        return logit_of(scores, problem.label)[:, None] - scores.gather(1, classes)
