"""The portfolio: the nearest input that fools the network, in any norm, for a budget of queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from inputopt import checks
from inputopt.recipes.attacks.nearest import Nearest, looked_at, nearer, nearest_try, onto_boundary
from inputopt.recipes.attacks.pgd import direction
from inputopt.recipes.attacks.setting import Setting
from inputopt.search.jacobian import plane_distances
from inputopt.search.norms import per_example
from inputopt.search.objectives import label_over_target, margin, others_first
from inputopt.search.problem import Problem, Result, take
from inputopt.search.steps.chase import ChaseStep

CLASSES = 9
"""How many classes are looked at, those of the highest logits."""


@dataclass(frozen=True)
class Leg:
    """A part of the search.

    Attributes:
        targets: how many classes are chased, the nearest so far.
        steps: how many for each.
        size: the first step, in parts of the ball.
        fresh: begin at the input rather than at the nearest success towards the class.
    """

    targets: int
    steps: int
    size: float
    fresh: bool = False
    wide: float = 1.0


def legs() -> Iterator[Leg]:
    """The same for every budget, so that a search with a larger one goes on where one with a smaller one ends."""
    yield Leg(9, 12, 2.0, fresh=True)
    yield Leg(3, 30, 2.0)
    yield Leg(1, 30, 0.5)
    for number in itertools.count():
        longer = 1 + number // 2
        yield Leg(3, 60 * longer, 2.0, fresh=number % 2 == 0)
        yield Leg(2, 60 * longer, 1.0)
        yield Leg(1, 60 * longer, 0.3)


@dataclass(frozen=True)
class Slots:
    """What is known of each class that is tried, nearest boundary first: how near it came, [B, K], and where, [B, K, ...]."""

    classes: Tensor
    distance: Tensor
    points: Tensor


@dataclass(frozen=True)
class MinimalNorm(Nearest):
    """Chase the nearest classes in closing balls, leg after leg, from the nearest successes; then walk onto the boundary.

    In each leg the classes are tries in one batch, as in `Tournament`: which are worth more steps is told by how near
    they came. Within a leg the ball closes in on the nearest success (`ChaseStep`), and steps begin twice as large as
    it: they cross it, and get past hills that searches with small steps end behind.

    A larger budget goes on with the same search: it never finds less.

    Attributes:
        queries: how many forwards and backwards each example may take, together.
    """

    queries: int = 2000
    plan: tuple[Leg, ...] = field(default=(), kw_only=True)

    @property
    def tries(self) -> int:
        return CLASSES

    def _search(self, setting: Setting) -> Result:
        checks.whole("queries", self.queries, least=3)
        found = looked_at(setting)
        slots, found = slots_of(setting, found)
        for leg in self.plan or legs():
            left = self.queries - int((found.forwards + found.backwards).max()) - HALVINGS - 1
            targets = min(leg.targets, slots.classes.shape[1])
            steps = min(leg.steps, (left // targets - 1) // 2)
            if steps < 1:
                break
            now, slots = chased(setting, replace(leg, targets=targets), steps, slots, found)
            found = onto_boundary(setting, nearer(found, now), HALVINGS, low=0.98)
        return found


HALVINGS = 5


def slots_of(setting: Setting, found: Result) -> tuple[Slots, Result]:
    """The classes that are tried, and the cost of looking at them."""
    problem, net = setting.problem, setting.net
    with torch.no_grad():
        logits = net(problem.x0)
    if problem.target is None:
        classes = others_first(logits, problem.label, min(CLASSES, logits.shape[1] - 1))
    else:
        classes = problem.target[:, None]
    distance = plane_distances(net, problem, classes, setting.norm)
    order = distance.argsort(1)
    points = problem.x0[:, None].expand(-1, classes.shape[1], *problem.x0.shape[1:])
    found = replace(found, forwards=found.forwards + 2, backwards=found.backwards + classes.shape[1])
    return Slots(classes.gather(1, order), FAR * (1 + distance.gather(1, order)), points), found


FAR = 1e30


def chased(setting: Setting, leg: Leg, steps: int, slots: Slots, found: Result) -> tuple[Result, Slots]:
    """One leg: the nearest of each example's tries, and what is then known of the classes."""
    problem, count = setting.problem, leg.targets
    examples = len(problem.ids)
    chosen = slots.distance.topk(count, dim=1, largest=False, sorted=True).indices
    places = chosen.T.reshape(-1)
    rows = torch.arange(examples, device=places.device).repeat(count)
    tries = take(problem, rows)
    known = slots.distance[rows, places] < FAR
    begin = slots.points[rows, places]
    if leg.fresh:
        begin = tries.x0
    leave = problem.target is None
    tries = replace(tries, target=slots.classes[rows, places])
    step = ChaseStep(setting.norm, direction(setting.norm), leg.steps, leg.size, wide=leg.wide)
    now = setting.run_nearest(label_over_target if leave else margin, step, begin, steps, tries, leave=leave)
    now = replace(now, distance=now.distance.masked_fill(~now.success, torch.inf))
    better = now.success & (now.distance < slots.distance[rows, places])
    r, p = rows[better], places[better]
    distance = slots.distance.index_put((r, p), now.distance[better])
    points = slots.points.clone().index_put((r, p), now.x[better])
    return nearest_try(now, count), Slots(slots.classes, distance, points)
