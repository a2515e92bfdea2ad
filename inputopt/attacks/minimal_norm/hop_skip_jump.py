"""HopSkipJump (Chen et al., 2020): a minimal-norm attack that uses predicted classes only."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from inputopt.attacks.attack import Model
from inputopt.attacks.config import setting, whole
from inputopt.attacks.decisions import Decide, scores_of
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, at_the_start, onto_boundary
from inputopt.attacks.minimal_norm.random_starts import random_starts
from inputopt.attacks.run import AttackRun
from inputopt.search import keyed_random
from inputopt.search.inputs import InputoptWarning, Inputs
from inputopt.search.loop import on_success
from inputopt.search.objectives.logits import margin
from inputopt.search.problem import Evaluation, Problem
from inputopt.search.projections import Project
from inputopt.search.result import Result, best_of, nearer, scatter
from inputopt.search.rows import per_example, take

STARTS = 25
"""Random images tried as starting points."""

JUMPS = 12
"""Lengths tried for a step along the estimated normal, each half of the one before."""

LEAST_QUERIES = 30
"""Fewest queries: starting points and a bisection."""

LEAST, MOST = 10, 10_000
"""Fewest and most directions that a normal is estimated from."""

BEYOND = 1e-3
"""Share of its distance by which the point found lies beyond the boundary."""

FIRST_RADIUS = 0.1
"""Radius of the first estimate, as a fraction of the bounds' width."""

ROWS = 512
"""Perturbed inputs evaluated in one forward."""

PRECISION = {"l2": 1.5, "linf": 2.0}
"""The bisection ends at the distance times d to the power of minus this, for d elements, as published."""

NO_START = (
    "For {} of {} examples no random image is of the target class, so they are not searched; give images of the "
    "target class as start."
)

STARTING, ESTIMATING = 1, 2
"""Purposes that key the random numbers."""


@dataclass(frozen=True)
class HalvingStep:
    """Halve the change from x0, until the loop finds the input misclassified."""

    uses_gradient: ClassVar[bool] = False

    def init(self, z: Tensor, problem: Problem) -> tuple[()]:
        return ()

    def update(
        self, z: Tensor, seen: Evaluation, state: tuple[()], problem: Problem, project: Project
    ) -> tuple[Tensor, tuple[()]]:
        return project((z + problem.x0) / 2, problem), state


@dataclass(frozen=True)
class HopSkipJump(MinimalNormAttack):
    """HopSkipJump (Chen et al., 2020), in L2 and Linf, for models that return only a class.

    Each round moves to the boundary by bisection towards the input, estimates the boundary's normal there from the
    predicted classes of random inputs nearby, and steps along it. It starts at `start`, or at random images that are
    misclassified; a target class must be given a start unless random images are classified as it.

    Attributes:
        queries: maximum number of forwards per example.
        directions: directions that the first normal is estimated from; the n-th from sqrt(n) times as many.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")
    elsewhere: ClassVar[str] = "SparseRS"
    gradient_free: ClassVar[bool] = True

    queries: int = setting(1000, whole(LEAST_QUERIES))
    directions: int = setting(100, whole(LEAST))

    def __call__(self, model: Model | Decide, x: Inputs, y: Any = None, *args: Any, **kwargs: Any) -> Result:
        """As every minimal-norm attack; `model` may also return the predicted class of each input, int64 [B]."""
        return super().__call__(scores_of(model, x, y), x, y, *args, **kwargs)

    def _search(self, run: AttackRun) -> Result:
        found = at_the_start(run)
        missing = (~found.success).nonzero()[:, 0]
        if len(missing):
            part = _rows_of(run, missing)
            first = random_starts(part, min(STARTS, self.queries // 2), keyed_random.word(run.seed, STARTING))
            found = scatter(found, missing, first, nearer)
            lost = int((~first.success).sum())
            if lost and run.problem.target is not None:
                warnings.warn(NO_START.format(lost, len(found.x)), InputoptWarning, stacklevel=2)
        rows = (found.success & (found.distance > 0)).nonzero()[:, 0]
        if not len(rows):
            return found
        part = _rows_of(run, rows)
        walked = beyond_boundary(part, self._walked(part, take(found, rows), self.queries - STARTS - 3))
        return scatter(found, rows, walked, lambda new, old: new.success)

    def _walked(self, run: AttackRun, found: Result, queries: int) -> Result:
        """Walk along the boundary from misclassified inputs; every round is charged the most that it can cost."""
        size = run.problem.x0[0].numel()
        halvings = min(math.ceil(PRECISION[run.norm.name] * math.log2(size)) + 1, queries // 3)
        best = near = onto_boundary(run, found, halvings)
        for number, samples in enumerate(self._samples(queries - halvings - 1, halvings), start=1):
            radius = near.distance / size
            if number == 1:
                radius = torch.full_like(radius, FIRST_RADIUS * run.problem.region.unit)
            normal = estimated_normal(run, near.x, self._visible(run, radius), samples, number)
            jumped = _jump(run, near, run.norm.steepest(normal), near.distance / math.sqrt(number))
            near = onto_boundary(run, jumped, halvings)
            best = best_of(best, near, nearer)
        return best

    def _samples(self, queries: int, halvings: int) -> Iterator[int]:
        """Number of directions of each round that the remaining queries suffice for."""
        for number in itertools.count(1):
            queries -= JUMPS + halvings + 2
            samples = min(int(self.directions * math.sqrt(number)), MOST, queries)
            if samples < LEAST:
                return
            yield samples
            queries -= samples

    def _visible(self, run: AttackRun, radius: Tensor) -> Tensor:
        """The radius, large enough to change inputs that are rounded to levels."""
        if self.levels is None:
            return radius
        return radius.clamp_min(math.sqrt(run.problem.x0[0].numel()) * run.problem.region.unit / (self.levels - 1))


def _jump(run: AttackRun, near: Result, direction: Tensor, length: Tensor) -> Result:
    """Step from points on the boundary along a direction, halved until the input is misclassified.

    Where no length succeeds, the point on the boundary is kept.
    """
    around = replace(run.problem, x0=near.x)
    ends = near.x + per_example(length, near.x) * direction
    jumped = run.search_nearest(margin, HalvingStep(), ends, JUMPS, around, stop=on_success)
    jumped = replace(jumped, distance=run.norm.size(jumped.x - run.problem.x0))
    return best_of(near, jumped, lambda new, old: new.success)


def beyond_boundary(run: AttackRun, found: Result) -> Result:
    """The points moved on by a thousandth of their distance, where that is misclassified too.

    On the boundary itself the class depends on rounding, and so on the batch that a point is evaluated in.
    """
    ends = run.problem.x0 + (1 + BEYOND) * (found.x - run.problem.x0)
    moved = run.search_nearest(margin, HalvingStep(), ends, 0)
    return best_of(found, moved, lambda new, old: old.success & new.success)


def _rows_of(run: AttackRun, rows: Tensor) -> AttackRun:
    """The run on some of its examples, without the starting points, which are evaluated already."""
    return replace(run, problem=take(run.problem, rows), positions=run.positions[rows], start=None)


@torch.no_grad()
def estimated_normal(run: AttackRun, points: Tensor, radius: Tensor, samples: int, number: int) -> Tensor:
    """Direction in which points on the boundary become misclassified, [B, ...], from predicted classes alone.

    The mean over random directions of the direction times +1 where the perturbed point meets the goal and -1 where it
    does not, after subtracting the mean of these signs (Chen et al., 2020, equation 16).

    Args:
        run: the attack's run.
        points: points on the boundary, [B, ...].
        radius: L2 distance of the perturbed points, [B].
        samples: number of directions.
        number: number of the estimate, which keys the directions.
    """
    problem, goal = run.problem, run.goal_of(run.problem)
    seed, together = keyed_random.word(run.seed, ESTIMATING, number), max(1, ROWS // len(points))
    directions, signed = torch.zeros_like(points), torch.zeros_like(points)
    signs = torch.zeros_like(radius)
    for first in range(0, samples, together):
        draws = range(first, min(samples, first + together))
        rows = torch.arange(len(points), device=points.device).repeat(len(draws))
        noise = torch.cat([_direction(run, points, seed, draw) for draw in draws])
        part, near = take(problem, rows), points[rows]
        moved = (near + per_example(radius[rows], near) * noise).clamp(part.region.low, part.region.high)
        x = run.canvas(moved, part)
        run.meter.forward(problem.example, len(draws))
        outputs = run.net(x if run.attack.transform is None else run.attack.transform(x, part, first))
        sign = torch.where(goal(outputs, part), 1.0, -1.0).to(radius)
        change = (moved - near) / per_example(radius[rows], near)
        shape = (len(draws), *points.shape)
        directions += change.reshape(shape).sum(0)
        signed += (per_example(sign, change) * change).reshape(shape).sum(0)
        signs += sign.reshape(len(draws), -1).sum(0)
    mean = per_example(signs / samples, points)
    return torch.where(mean.abs() == 1, signed, signed - mean * directions) / samples


def _direction(run: AttackRun, points: Tensor, seed: int, draw: int) -> Tensor:
    """Random directions of L2 length 1, [B, ...]: normal in L2, uniform in Linf."""
    draw_from = keyed_random.centred if run.norm.is_box else keyed_random.normal
    drawn = run.problem.region.masked(draw_from(points.shape[1:], seed, run.problem.ids, draw).to(points))
    length = torch.linalg.vector_norm(drawn.flatten(1), dim=1).clamp_min(torch.finfo(points.dtype).tiny)
    return drawn / per_example(length, points)
