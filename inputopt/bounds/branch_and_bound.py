"""Branch and bound on the signs of ReLU inputs, with their multipliers (beta-CROWN, Wang et al., 2021).

A part of the ball in which a ReLU is active, and one in which it is not, have tighter bounds than the whole. The ReLU
is chosen among those that loosen the bound most (Bunel et al., 2020) by bounding both parts (De Palma et al., 2021).
Each row has its own queue and its own budget, so that results do not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.bounds.network_graph import Graph
from inputopt.bounds.optimised_slopes import Rows, evaluated, joined, optimised, relaxations

PARTS = 8
"""Parts of one row that are divided in one round."""

CANDIDATES = 3
"""ReLUs whose two parts are bounded before one is chosen."""

STEPS = 8
"""Optimisation steps for each new part."""

LAST_STEPS = 100
"""Optimisation steps for a part in which the sign of every ReLU is known: only its multipliers are left."""


@dataclass(frozen=True)
class Queue:
    """The parts that are still open.

    Attributes:
        rows: one row for each part.
        owner: the row that it is a part of, [D].
        value: its lower bound, [D].
    """

    rows: Rows
    owner: Tensor
    value: Tensor

    def take(self, chosen: Tensor) -> Queue:
        """Some of the parts."""
        return Queue(self.rows.take(chosen), self.owner[chosen], self.value[chosen])


def branch_and_bound(
    graph: Graph, fast: Graph, rows: Rows, value: Tensor, allowance: Tensor, slack: Tensor, budget: Tensor
) -> tuple[Tensor, Tensor]:
    """Raise the lower bounds of rows until they are proven or their budgets are spent.

    Args:
        graph, fast: the network in float64 and in float32.
        rows: the rows, with optimised slopes.
        value: their lower bounds, [N].
        allowance: rounding allowance that a bound must exceed, [N].
        slack: further allowance for each unit of a multiplier, [N].
        budget: number of linear bounds that may be computed for each row, [N].

    Returns:
        The lower bounds, and the linear bounds computed, [N] each.
    """
    relus = [index for index in graph.activations if _is_relu(graph, index)]
    count = len(value)
    value, spent = value.clone(), torch.zeros_like(budget)
    if not relus:
        return value, spent
    rows = _unconstrained(graph, rows, relus)
    queue = Queue(rows, torch.arange(count), value.clone())
    leaves = torch.full_like(value, torch.inf)  # the lowest bound of parts that cannot be divided
    closed = torch.full_like(value, torch.inf)  # the lowest bound of parts that are proven
    while len(queue.value):
        going = (value <= allowance) & (spent + 2 * PARTS * STEPS <= budget) & (leaves > allowance)
        queue = queue.take(going[queue.owner].nonzero()[:, 0])
        if not len(queue.value):
            break
        picked = _worst(queue, count)
        parts, rest = queue.take(picked), queue.take(_others(picked, len(queue.value)))
        parts, done, cost = _divided(graph, fast, parts, relus, slack)
        spent.index_add_(0, parts.owner, torch.full_like(parts.owner, 2 * cost))
        leaves.scatter_reduce_(0, done.owner, done.value, "amin")
        made = _bounded(graph, fast, parts, slack, STEPS)
        spent.index_add_(0, made.owner, torch.full_like(made.owner, STEPS))
        still = made.value <= allowance[made.owner]
        closed.scatter_reduce_(0, made.owner[~still], made.value[~still], "amin")
        kept = made.take(still.nonzero()[:, 0])
        queue = Queue(
            joined([rest.rows, kept.rows]),
            torch.cat([rest.owner, kept.owner]),
            torch.cat([rest.value, kept.value]),
        )
        value = _raised(value, going, queue, torch.minimum(leaves, closed))
    return value, spent


def _raised(value: Tensor, going: Tensor, queue: Queue, others: Tensor) -> Tensor:
    """The bound of a row is the lowest of its parts: those in the queue, and those that are finished."""
    lowest = others.scatter_reduce(0, queue.owner, queue.value, "amin")
    return torch.where(going, torch.maximum(value, lowest), value)


def _is_relu(graph: Graph, index: int) -> bool:
    activation = graph.nodes[index].activation
    return activation is not None and activation.is_relu


def _unconstrained(graph: Graph, rows: Rows, relus: list[int]) -> Rows:
    """The rows with room for constraints on the inputs of all ReLUs."""
    before = {graph.nodes[index].inputs[0] for index in relus}
    signs = {node: torch.zeros_like(rows.intervals[node].low, dtype=torch.int8) for node in before}
    multipliers = {node: torch.zeros_like(each, dtype=torch.float32) for node, each in signs.items()}
    return replace(rows, signs=signs, multipliers=multipliers)


def _worst(queue: Queue, count: int) -> Tensor:
    """The `PARTS` parts of each row with the lowest bounds."""
    order = queue.value.argsort(stable=True)
    order = order[queue.owner[order].argsort(stable=True)]
    owner = queue.owner[order]
    first = torch.zeros(count + 1, dtype=torch.long).scatter_add_(0, owner + 1, torch.ones_like(owner)).cumsum(0)
    return order[torch.arange(len(order)) - first[owner] < PARTS]


def _others(picked: Tensor, count: int) -> Tensor:
    left = torch.ones(count, dtype=torch.bool)
    left[picked] = False
    return left.nonzero()[:, 0]


def _divided(graph: Graph, fast: Graph, parts: Queue, relus: list[int], slack: Tensor) -> tuple[Queue, Queue, int]:
    """Divide each part on one ReLU.

    Returns:
        The halves; parts that could not be divided, bounded once more; and the bounds computed for each half.
    """
    scores = _scores(graph, parts.rows, relus)
    best, element = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)
    closed = best[:, 0] <= 0
    done = parts.take(closed.nonzero()[:, 0])
    if len(done.value):
        done = _bounded(graph, fast, done, slack, LAST_STEPS)
    kept = (~closed).nonzero()[:, 0]
    parts, best, element = parts.take(kept), best[kept], element[kept]
    candidates = []
    for place in range(best.shape[1]):
        halves = [_constrained(graph, parts.rows, relus, element[:, place], sign) for sign in (1, -1)]
        value = torch.stack([evaluated(fast, half, dtype=torch.float32) for half in halves]).amin(0)
        candidates.append(torch.where(best[:, place] > 0, value, -torch.inf))
    if not candidates or not len(parts.value):
        return parts.take(torch.zeros(0, dtype=torch.long)), done, 0
    chosen = element.gather(1, torch.stack(candidates, 1).argmax(1, keepdim=True))[:, 0]
    halves = [_constrained(graph, parts.rows, relus, chosen, sign) for sign in (1, -1)]
    made = Queue(joined(halves), torch.cat([parts.owner] * 2), torch.cat([parts.value] * 2))
    return made, done, best.shape[1]


def _scores(graph: Graph, rows: Rows, relus: list[int]) -> Tensor:
    """How much the upper line of each open ReLU lowers the bound, [D, all ReLUs]; 0 for those whose sign is known."""
    seen: dict[int, Tensor] = {}
    evaluated(graph, rows, seen)
    made = relaxations(graph, rows, torch.float64)
    scores = []
    for index in relus:
        open_sign, (_, above) = made[index].open_sign, made[index].fixed
        coefficients = seen.get(index)
        loss = torch.zeros_like(above.offset) if coefficients is None else -coefficients.clamp_max(0) * above.offset
        scores.append(torch.where(open_sign, loss + 1e-12, 0.0).flatten(1))
    return torch.cat(scores, 1)


def _constrained(graph: Graph, rows: Rows, relus: list[int], element: Tensor, sign: int) -> Rows:
    """The rows with one more constraint each, on element [D] of all ReLUs in a row."""
    signs = {node: each.clone() for node, each in rows.signs.items()}
    start = 0
    for index in relus:
        before = graph.nodes[index].inputs[0]
        flat = signs[before].flatten(1)
        here = ((element >= start) & (element < start + flat.shape[1])).nonzero()[:, 0]
        flat[here, element[here] - start] = sign
        start += flat.shape[1]
    return replace(rows, signs=signs)


def _bounded(graph: Graph, fast: Graph, parts: Queue, slack: Tensor, steps: int) -> Queue:
    """The parts with optimised slopes and multipliers; the bound of the whole holds for its parts too."""
    if not len(parts.value):
        return parts
    rows = optimised(fast, parts.rows, steps)
    size = torch.stack([each.flatten(1).double().sum(1) for each in rows.multipliers.values()]).sum(0)
    value = evaluated(graph, rows) - slack[parts.owner] * size
    return Queue(rows, parts.owner, torch.maximum(parts.value, value))
