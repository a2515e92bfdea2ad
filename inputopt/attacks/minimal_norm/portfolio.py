"""The portfolio: the nearest input that fools the network, in any norm, for a budget of queries."""

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
"""How many classes are looked at, those of the highest logits."""

HALVINGS = 5
"""Of the last 2 % of the way to the nearest success, after each leg."""

LEAST = 5
"""Queries that the first look takes with one class: at x0 and at a start, and for the class a backward."""

FAR = 1e30
"""A rank behind every distance at which a class was reached."""


@dataclass(frozen=True)
class Leg:
    """A part of the search.

    Attributes:
        targets: how many classes are searched for, the nearest so far.
        steps: how many for each.
        wide: how many times as large balls are at first.
        noise: how long the first noise is, in parts of the gradient.
    """

    targets: int
    steps: int
    wide: float
    noise: float


OPENING = (Leg(4, 35, 8.0, 2.0), Leg(2, 45, 3.0, 0.5))
"""Most of the way to the likeliest classes, in few queries."""

ROUND = (Leg(9, 20, 8.0, 2.0), Leg(3, 36, 3.0, 0.5))
"""Again and again: short ways with ever new noise end in more places than long ones, and no class is given up."""

SIZE = {"l1": 0.5}
"""The first step, in parts of the ball; 2 in other norms."""

NOISE = {"linf": 0.3}
"""What noise is multiplied by; 1 in other norms. In Linf every number moves, and less of it is enough."""


def legs() -> Iterator[Leg]:
    """The same for every budget: a larger one goes on where a smaller one ends."""
    return itertools.chain(OPENING, itertools.cycle(ROUND))


@dataclass(frozen=True)
class Candidates:
    """What is known of each class that is tried: its number and how near it came, [B, K], and where, [B, K, ...]."""

    classes: Tensor
    distance: Tensor
    points: Tensor


@dataclass(frozen=True)
class MinimalNorm(MinimalNormAttack):
    """Search for the nearest classes in closing balls, leg after leg, and bisect onto the boundary.

    In each leg the classes are rows of one batch, as in `MultiTargeted`: which are worth more steps is told by how near
    they came. Within a leg the ball closes in on the nearest success (`ClosingBallStep`). Its first steps are large and
    its gradients noisy: they get past hills that searches with small steps end behind, each elsewhere.

    Every budget is the beginning of the same search, but that the last leg is cut to what is left: stopped after any
    number of queries, it gives the best so far.

    Attributes:
        queries: how many forwards and backwards each example may take, together.
    """

    queries: int = setting(2000, whole(LEAST))

    @property
    def rows(self) -> int:
        return CLASSES

    def _search(self, run: AttackRun) -> Result:
        found = at_the_start(run)
        known = _first_candidates(run, min(CLASSES, self.queries - LEAST + 1))
        drawn = 0
        for leg in legs():
            left = self.queries - _spent(run) - HALVINGS - 1
            targets = min(leg.targets, known.classes.shape[1])
            steps = min(leg.steps, (left // targets - 1) // 2)
            if steps < 1:
                break
            now, known = _search_leg(run, replace(leg, targets=targets, steps=steps), drawn, known)
            found = onto_boundary(run, best_of(found, now, nearer), HALVINGS, low=0.98)
            drawn += steps
        return found


def _spent(run: AttackRun) -> int:
    """The most queries that any example has taken so far."""
    forwards, backwards = run.meter.totals(run.problem.example)
    return int((forwards + backwards).max())


def _first_candidates(run: AttackRun, count: int) -> Candidates:
    """The classes that are tried, the nearest first, with how near they seem."""
    problem = run.problem
    classes, distance = boundary_distances(run.net, problem, count, distance_in_box(run.norm, problem), run.meter)
    order = distance.argsort(1)
    points = problem.x0[:, None].expand(-1, classes.shape[1], *problem.x0.shape[1:])
    ranks = FAR * (1 + distance.gather(1, order).clamp(max=1e6))
    return Candidates(classes.gather(1, order), ranks, points)


def _search_leg(run: AttackRun, leg: Leg, drawn: int, known: Candidates) -> tuple[Result, Candidates]:
    """A leg, after so many draws: the nearest of each example's rows, and what is then known of the classes."""
    problem, count, name = run.problem, leg.targets, run.norm.name
    places = known.distance.topk(count, dim=1, largest=False).indices.T.reshape(-1)
    rows = torch.arange(len(problem.ids), device=places.device).repeat(count)
    candidates = replace(take(problem, rows), target=known.classes[rows, places])
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
    start = known.points[rows, places]
    now = failures_at_infinity(run.search_nearest(loss, step, start, leg.steps, candidates, untargeted=untargeted))
    closer = (now.distance < known.distance[rows, places]).nonzero()[:, 0]
    where = rows[closer], places[closer]
    distance = known.distance.index_put(where, now.distance[closer])
    points = known.points.index_put(where, now.x[closer])
    return best_restart(now, count, nearer), Candidates(known.classes, distance, points)
