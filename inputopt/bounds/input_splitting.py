"""Branch and bound on the inputs: parts of the box are bounded on their own. For networks with few inputs only."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inputopt.bounds.ball import Ball, joined_balls
from inputopt.bounds.crown import bound_rows, linear_bounds
from inputopt.bounds.network_graph import Graph
from inputopt.bounds.rounding import rounding_of

MOST_INPUTS = 16
"""Largest number of inputs: halving all of them once makes 2^n parts."""

PARTS = 16
"""Boxes of one row that are halved in one round."""


def split_inputs(
    graph: Graph, ball: Ball, coefficients: Tensor, value: Tensor, allowance: Tensor, budget: Tensor
) -> tuple[Tensor, Tensor]:
    """Raise the lower bounds of rows by halving their boxes along the input that the bound depends on most.

    Args:
        graph: the network in float64.
        ball: the set of inputs of each row, [N].
        coefficients: the rows, [N, n].
        value: their lower bounds, [N].
        allowance: what a bound must exceed, [N].
        budget: number of linear bounds that may be computed for each row, [N].

    Returns:
        The lower bounds, and the linear bounds computed, [N] each.
    """
    value, spent = value.clone(), torch.zeros_like(budget)
    for row in range(len(value)):
        one = torch.tensor([row], device=value.device)
        value[row], spent[row] = _split_one(
            graph, ball.take(one), coefficients[one], value[one], float(allowance[row]), int(budget[row])
        )
    return value, spent


def _split_one(
    graph: Graph, ball: Ball, row: Tensor, value: Tensor, allowance: float, budget: int
) -> tuple[Tensor, int]:
    """As `split_inputs`, for one row."""
    spent, boxes, bounds, slopes = 0, ball, value, None
    proven = torch.full_like(value[0], torch.inf)
    while len(bounds) and bounds.min() <= allowance and spent + 2 * PARTS <= budget:
        order = bounds.argsort(stable=True)
        worst, rest = order[:PARTS], order[PARTS:]
        halves = _halved(boxes.take(worst), None if slopes is None else slopes[worst])
        made, slope = _bounded(graph, halves, row)
        spent += len(made)
        made = torch.maximum(made, bounds[worst].repeat(2))
        still = made <= allowance
        proven = torch.minimum(proven, made[~still].min() if bool((~still).any()) else proven)
        slopes = slope[still] if slopes is None else torch.cat([slopes[rest], slope[still]])
        boxes = joined_balls([boxes.take(rest), halves.take(still.nonzero()[:, 0])])
        bounds = torch.cat([bounds[rest], made[still]])
    lowest = torch.minimum(proven, bounds.min()) if len(bounds) else proven
    return torch.maximum(value[0], lowest), spent


def _halved(boxes: Ball, slopes: Tensor | None) -> Ball:
    """Both halves of each box, along the input with the largest |slope| times width."""
    low, high = boxes.low.flatten(1), boxes.high.flatten(1)
    width = high - low
    weight = width if slopes is None else width * (slopes.abs() + 1e-12)
    place = weight.argmax(1, keepdim=True)
    middle = (low + high).gather(1, place) / 2
    below, above = high.scatter(1, place, middle), low.scatter(1, place, middle)
    shape = boxes.low.shape
    return joined_balls([replace(boxes, high=below.reshape(shape)), replace(boxes, low=above.reshape(shape))])


def _bounded(graph: Graph, boxes: Ball, row: Tensor) -> tuple[Tensor, Tensor]:
    """The lower bound on each box, [D], and the slope of the linear bound, [D, number of inputs]."""
    found = linear_bounds(graph, boxes, rounding_of(graph, boxes))
    every = torch.arange(len(boxes.eps), device=row.device)
    slopes: list[Tensor] = []

    rows = row.expand(len(every), -1)
    value = bound_rows(graph, len(graph.nodes) - 1, rows, 0.0, every, boxes, found.lines, slopes.append)
    return value, slopes[0].flatten(1)
