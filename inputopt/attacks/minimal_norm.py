"""The portfolio: the nearest input that fools the network, in any norm, for a budget of queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt import checks
from inputopt.attacks.nearest import Nearest, looked_at, nearer, nearest_try, onto_boundary
from inputopt.attacks.pgd import direction
from inputopt.attacks.setting import Setting
from inputopt.search.jacobian import plane_distances
from inputopt.search.norms import L0, L1, L2, LINF
from inputopt.search.objectives import label_over_target, margin
from inputopt.search.problem import Result, take
from inputopt.search.steps.chase import ChaseStep

CLASSES = 9
"""How many classes are looked at, those of the highest logits."""

HALVINGS = 5
"""Of the last 2 % of the way to the nearest success, after each leg."""

LEAST = 5
"""Queries that the first look takes with one class: at x0 and at a start, and for the class a backward."""

FAR = 1e30
"""What ranks behind every distance at which a class was reached."""


@dataclass(frozen=True)
class Leg:
    """A part of the search.

    Attributes:
        targets: how many classes are chased, the nearest so far.
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

SIZE = {L0: 2.0, L1: 0.5, L2: 2.0, LINF: 2.0}
"""The first step, in parts of the ball."""

QUIET = {L0: 1.0, L1: 1.0, L2: 1.0, LINF: 0.3}
"""What noise is multiplied by: in Linf every number moves, and less of it is enough."""


def legs() -> Iterator[Leg]:
    """The same for every budget: a larger one goes on where a smaller one ends."""
    return itertools.chain(OPENING, itertools.cycle(ROUND))


@dataclass(frozen=True)
class Slots:
    """What is known of each class that is tried: its number and how near it came, [B, K], and where, [B, K, ...]."""

    classes: Tensor
    distance: Tensor
    points: Tensor


@dataclass(frozen=True)
class MinimalNorm(Nearest):
    """Chase the nearest classes in closing balls, leg after leg, and walk onto the boundary.

    In each leg the classes are tries in one batch, as in `Tournament`: which are worth more steps is told by how near
    they came. Within a leg the ball closes in on the nearest success (`ChaseStep`). Its first steps are large and
    its gradients noisy: they get past hills that searches with small steps end behind, each elsewhere.

    Every budget is the beginning of the same search, but that the last leg is cut to what is left: stopped after any
    number of queries, it gives the best so far.

    Attributes:
        queries: how many forwards and backwards each example may take, together.
    """

    queries: int = 2000

    @property
    def tries(self) -> int:
        return CLASSES

    def _search(self, setting: Setting) -> Result:
        most = checks.whole("queries", self.queries, least=LEAST) - LEAST + 1
        slots, found = slots_of(setting, looked_at(setting), min(CLASSES, most))
        drawn = 0
        for leg in legs():
            left = self.queries - int((found.forwards + found.backwards).max()) - HALVINGS - 1
            targets = min(leg.targets, slots.classes.shape[1])
            steps = min(leg.steps, (left // targets - 1) // 2)
            if steps < 1:
                break
            now, slots = chased(setting, replace(leg, targets=targets, steps=steps), drawn, slots)
            found = onto_boundary(setting, nearer(found, now), HALVINGS, low=0.98)
            drawn += steps
        return found


def slots_of(setting: Setting, found: Result, most: int) -> tuple[Slots, Result]:
    """The classes that are tried, `most` at most, and the cost of looking at them."""
    problem = setting.problem
    classes, distance = plane_distances(setting.net, problem, most, setting.norm)
    order = distance.argsort(1)
    points = problem.x0[:, None].expand(-1, classes.shape[1], *problem.x0.shape[1:])
    found = replace(found, forwards=found.forwards + 1, backwards=found.backwards + classes.shape[1])
    return Slots(classes.gather(1, order), FAR * (1 + distance.gather(1, order)), points), found


def chased(setting: Setting, leg: Leg, drawn: int, slots: Slots) -> tuple[Result, Slots]:
    """A leg, after so many draws: the nearest of each example's tries, and what is then known of the classes."""
    problem, count = setting.problem, leg.targets
    places = slots.distance.topk(count, dim=1, largest=False).indices.T.reshape(-1)
    rows = torch.arange(len(problem.ids), device=places.device).repeat(count)
    leave = problem.target is None
    tries = replace(take(problem, rows), target=slots.classes[rows, places])
    step = ChaseStep(
        setting.norm,
        direction(setting.norm),
        leg.steps,
        SIZE[setting.norm],
        wide=leg.wide,
        noise=QUIET[setting.norm] * leg.noise,
        seed=setting.seed,
        drawn=drawn,
    )
    loss = label_over_target if leave else margin
    now = setting.run_nearest(loss, step, slots.points[rows, places], leg.steps, tries, leave=leave)
    now = replace(now, distance=now.distance.masked_fill(~now.success, torch.inf))
    better = now.distance < slots.distance[rows, places]
    known = rows[better], places[better]
    distance = slots.distance.index_put(known, now.distance[better])
    points = slots.points.index_put(known, now.x[better])
    return nearest_try(now, count), Slots(slots.classes, distance, points)
