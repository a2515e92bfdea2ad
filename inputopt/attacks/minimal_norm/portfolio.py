"""The portfolio: a minimal-norm attack in any norm, with a budget of queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.attacks.config import setting, whole
from inputopt.attacks.minimal_norm.closing_ball import ClosingBallStep
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack, at_the_start, onto_boundary
from inputopt.attacks.run import AttackRun
from inputopt.search.objectives.logits import logit_difference, margin
from inputopt.search.oracles.linearised import boundary_distances, distance_in_box
from inputopt.search.result import Result, best_of, best_restart, failures_at_infinity, nearer
from inputopt.search.rows import take

CLASSES = 9
"""Number of candidate classes, by highest logit."""

HALVINGS = 5
"""Bisection steps on the last 2 % of the way to the nearest success, after each leg."""

MIN_QUERIES = 5
"""Queries of the initial evaluation with one class: at x0 and at a starting point, and a backward for the class."""

NOT_REACHED = 1e30
"""Rank of a class that has not been reached yet: above every distance at which a class was reached."""


@dataclass(frozen=True)
class Phase:
    """One part of the search.

    Attributes:
        targets: number of target classes, the nearest so far.
        steps: number of steps per class.
        wide: factor by which the balls are enlarged at first.
        noise: initial norm of the noise, relative to the gradient's.
    """

    targets: int
    steps: int
    wide: float
    noise: float


OPENING = (Phase(4, 35, 8.0, 2.0), Phase(2, 45, 3.0, 0.5))
"""First legs: cover most of the distance to the likeliest classes in few queries."""

ROUND = (Phase(9, 20, 8.0, 2.0), Phase(3, 36, 3.0, 0.5))
"""Legs that are then repeated: many short searches with new noise end at more points than few long ones, and no class
is dropped.
"""

SIZE = {"l1": 0.5}
"""Initial step size, relative to the ball's radius; 2 in other norms."""

NOISE = {"linf": 0.3}
"""Multiplier of the noise; 1 in other norms. In Linf every element changes, so less noise is enough."""


def phases() -> Iterator[Phase]:
    """The legs in order, the same for every budget: a larger budget continues where a smaller one ends."""
    return itertools.chain(OPENING, itertools.cycle(ROUND))


@dataclass(frozen=True)
class Candidates:
    """Candidate classes, the nearest distance at which each was reached, [B, K], and the points there, [B, K, ...]."""

    classes: Tensor
    distance: Tensor
    points: Tensor


@dataclass(frozen=True)
class MinimalNorm(MinimalNormAttack):
    """Search towards the nearest classes in shrinking balls, in legs that each end with a bisection to the boundary.

    In each leg the target classes are rows of one batch, as in `MultiTargeted`; the classes reached at the smallest
    distances get more steps. Within a leg the ball shrinks towards the nearest success (`ClosingBallStep`). Its first
    steps are large and its gradients noisy, so that each search escapes other local minima and ends at another point.

    Every budget is a prefix of the same search, except that the last leg is shortened to the remaining queries: after
    any number of queries the result is the best so far.

    Attributes:
        queries: maximum number of forwards plus backwards per example.
    """

    queries: int = setting(2000, whole(MIN_QUERIES))

    @property
    def rows_per_example(self) -> int:
        return CLASSES

    def _search(self, run: AttackRun) -> Result:
        found = at_the_start(run)
        candidates = _initial_candidates(run, min(CLASSES, self.queries - MIN_QUERIES + 1))
        drawn = 0
        for leg in phases():
            remaining = self.queries - _queries_used(run) - HALVINGS - 1
            targets = min(leg.targets, candidates.classes.shape[1])
            steps = min(leg.steps, (remaining // targets - 1) // 2)
            if steps < 1:
                break
            new, candidates = _search_leg(run, replace(leg, targets=targets, steps=steps), drawn, candidates)
            found = onto_boundary(run, best_of(found, new, nearer), HALVINGS, low=0.98)
            drawn += steps
        return found


def _queries_used(run: AttackRun) -> int:
    """Largest number of queries that any example has used so far."""
    forwards, backwards = run.meter.totals(run.problem.example)
    return int((forwards + backwards).max())


def _initial_candidates(run: AttackRun, count: int) -> Candidates:
    """Candidate classes, ranked by the distance to their linearised boundary, nearest first."""
    problem = run.problem
    in_box = distance_in_box(run.norm, problem)
    classes, distance = boundary_distances(run.net, problem, count, in_box, run.meter, run.scores)
    order = distance.argsort(1)
    points = problem.x0[:, None].expand(-1, classes.shape[1], *problem.x0.shape[1:])
    ranks = NOT_REACHED * (1 + distance.gather(1, order).clamp(max=1e6))
    return Candidates(classes.gather(1, order), ranks, points)


def _search_leg(run: AttackRun, leg: Phase, drawn: int, candidates: Candidates) -> tuple[Result, Candidates]:
    """Run a leg after `drawn` noise draws: the nearest result of each example, and the updated candidates."""
    problem, count, name = run.problem, leg.targets, run.norm.name
    columns = candidates.distance.topk(count, dim=1, largest=False).indices.T.reshape(-1)
    rows = torch.arange(len(problem.ids), device=columns.device).repeat(count)
    targeted = replace(take(problem, rows), target=candidates.classes[rows, columns])
    step = ClosingBallStep(
        run.norm,
        leg.steps,
        SIZE.get(name, 2.0),
        wide=leg.wide,
        noise=NOISE.get(name, 1.0) * leg.noise,
        seed=run.seed,
        drawn=drawn,
    )
    untargeted = problem.target is None
    loss = logit_difference if untargeted else margin
    start = candidates.points[rows, columns]
    new = failures_at_infinity(run.search_nearest(loss, step, start, leg.steps, targeted, untargeted=untargeted))
    closer = (new.distance < candidates.distance[rows, columns]).nonzero()[:, 0]
    entries = rows[closer], columns[closer]
    distance = candidates.distance.index_put(entries, new.distance[closer])
    points = candidates.points.index_put(entries, new.x[closer])
    return best_restart(new, count, nearer), Candidates(candidates.classes, distance, points)
