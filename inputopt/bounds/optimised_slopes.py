"""Optimised linear bounds: slopes by gradient ascent on the bound itself (alpha-CROWN, Xu et al., 2021).

With constraints on the signs of ReLU inputs, which branch and bound adds, their multipliers are optimised too
(beta-CROWN, Wang et al., 2021). Every choice of slopes and multipliers is sound: they are searched in float32, and only
the final ones are evaluated in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.bounds.ball import Ball, joined_balls
from inputopt.bounds.crown import Bounds, Lines, backward
from inputopt.bounds.interval import Interval
from inputopt.bounds.network_graph import Graph, Node
from inputopt.bounds.relaxations import Line, relu_lines, smooth_lines

RATE, RATE_OF_SMOOTH, RATE_OF_MULTIPLIERS = 0.25, 0.02, 0.1
DECAY = 0.96
"""Adam's learning rates for slopes of ReLU and of smooth activations and for multipliers; their factor after a step."""

Slopes = dict[int, tuple[Tensor, Tensor]]
"""For each activation the slopes of its lower and upper lines, [N, ...]; of a ReLU only the lower one is free."""


@dataclass(frozen=True)
class Rows:
    """Linear functions of the logits whose lower bounds are wanted, each over its own set of inputs.

    Attributes:
        coefficients: [N, n], in float64 as everything here.
        ball: the sets, one for each row.
        intervals: bounds of the inputs of activations, by node, [N, ...].
        signs: constraints on inputs of ReLUs, by node: 1 for at least 0, -1 for at most 0, 0 for none, int8 [N, ...].
        slopes: the slopes of the lines, in float32.
        multipliers: multipliers of the constraints, by node, float32 [N, ...], at least 0.
    """

    coefficients: Tensor
    ball: Ball
    intervals: dict[int, Interval]
    signs: dict[int, Tensor]
    slopes: Slopes
    multipliers: dict[int, Tensor]

    def take(self, rows: Tensor) -> Rows:
        """Some of the rows; a row may be taken several times."""
        return Rows(
            self.coefficients[rows],
            self.ball.take(rows),
            {node: Interval(each.low[rows], each.high[rows]) for node, each in self.intervals.items()},
            {node: each[rows] for node, each in self.signs.items()},
            {node: (one[rows], other[rows]) for node, (one, other) in self.slopes.items()},
            {node: each[rows] for node, each in self.multipliers.items()},
        )


def rows_of(graph: Graph, coefficients: Tensor, example: Tensor, ball: Ball, bounds: Bounds) -> Rows:
    """Rows [N, n] for examples [N], without constraints, with the slopes of CROWN."""
    taken = bounds.take(example)
    slopes = {node: (below.slope.float(), above.slope.float()) for node, (below, above) in taken.lines.items()}
    return Rows(coefficients, ball.take(example), taken.intervals, {}, slopes, {})


def joined(parts: list[Rows]) -> Rows:
    """Several sets of rows with constraints on the same nodes as one."""
    first = parts[0]

    def cat(get: Callable[[Rows], Tensor]) -> Tensor:
        return torch.cat([get(part) for part in parts])

    return Rows(
        cat(lambda part: part.coefficients),
        joined_balls([part.ball for part in parts]),
        {
            node: Interval(
                cat(lambda part, node=node: part.intervals[node].low),  # type: ignore[misc]  # a default is no type
                cat(lambda part, node=node: part.intervals[node].high),  # type: ignore[misc]
            )
            for node in first.intervals
        },
        {node: cat(lambda part, node=node: part.signs[node]) for node in first.signs},  # type: ignore[misc]
        {
            node: (
                cat(lambda part, node=node: part.slopes[node][0]),  # type: ignore[misc]
                cat(lambda part, node=node: part.slopes[node][1]),  # type: ignore[misc]
            )
            for node in first.slopes
        },
        {node: cat(lambda part, node=node: part.multipliers[node]) for node in first.multipliers},  # type: ignore[misc]
    )


@dataclass(frozen=True)
class Relaxation:
    """What of an activation's lines does not depend on the slopes, for each row [N, ...].

    Attributes:
        node: the activation.
        bounds: bounds of its input, with the constraints.
        open_sign: for a ReLU, elements whose sign is open.
        fixed: for a ReLU, the lines at slope 0.
    """

    node: Node
    bounds: Interval
    open_sign: Tensor
    fixed: Lines

    def lines(self, slopes: tuple[Tensor, Tensor]) -> Lines:
        """The lines with these slopes."""
        assert self.node.activation is not None, "only activations are relaxed"
        if not self.node.activation.is_relu:
            return smooth_lines(self.node.activation, self.bounds.low, self.bounds.high, slopes)
        below, above = self.fixed
        return Line(torch.where(self.open_sign, slopes[0], below.slope), below.offset), above


def relaxations(graph: Graph, rows: Rows, dtype: torch.dtype) -> dict[int, Relaxation]:
    """The relaxation of every activation, with the constraints, in a dtype."""
    made = {}
    for index in graph.activations:
        node = graph.nodes[index]
        bounds = constrained(rows, node.inputs[0])
        low, high = bounds.low.to(dtype), bounds.high.to(dtype)
        fixed = relu_lines(low, high, torch.zeros_like(low))
        made[index] = Relaxation(node, Interval(low, high), (low < 0) & (high > 0), fixed)
    return made


def constrained(rows: Rows, before: int) -> Interval:
    """Bounds of the input of an activation with the constraints on its sign."""
    bounds = rows.intervals[before]
    if before not in rows.signs:
        return bounds
    low = torch.where(rows.signs[before] > 0, bounds.low.clamp_min(0), bounds.low)
    high = torch.where(rows.signs[before] < 0, bounds.high.clamp_max(0), bounds.high)
    return Interval(low, torch.maximum(low, high))


def extra_coefficients(rows: Rows, multipliers: dict[int, Tensor]) -> dict[int, Tensor]:
    """What the constraints add to the coefficients of their nodes: -multiplier * sign, from the Lagrangian."""
    return {node: -multipliers[node] * rows.signs[node] for node in rows.signs}


def evaluated(
    graph: Graph, rows: Rows, seen: dict[int, Tensor] | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """The lower bounds of the rows with their slopes and multipliers, in the dtype of the graph, [N]."""
    made = relaxations(graph, rows, dtype)
    slopes = {node: (one.to(dtype), other.to(dtype)) for node, (one, other) in rows.slopes.items()}
    extra = extra_coefficients(rows, {node: each.to(dtype) for node, each in rows.multipliers.items()})
    every, ball = torch.arange(len(rows.coefficients), device=rows.coefficients.device), rows.ball.to(dtype)
    return backward(
        graph,
        len(graph.nodes) - 1,
        rows.coefficients.to(dtype),
        lambda index: made[index].lines(slopes[index]),
        lambda slope: ball.least(slope, every),
        extra,
        seen,
    )


def optimised(fast: Graph, rows: Rows, steps: int) -> Rows:
    """Rows with better slopes and multipliers, by Adam on the bounds in float32; each row is optimised on its own.

    Args:
        fast: the graph in float32.
        rows: the rows to improve.
        steps: number of steps; each is a forward and a backward of a linear bound.
    """
    made = relaxations(fast, rows, torch.float32)
    ball = rows.ball.to(torch.float32)
    coefficients = rows.coefficients.float()
    every = torch.arange(len(coefficients), device=coefficients.device)
    free = [_free(made[node], slopes) for node, slopes in rows.slopes.items()]
    nodes = list(rows.slopes)
    multipliers = [each.clone().requires_grad_() for each in rows.multipliers.values()]
    variables = [variable for group in free for variable in group] + multipliers
    if not variables:  # a linear network has nothing to optimise
        return rows
    rules = [_rule(made[node]) for node, group in zip(nodes, free, strict=True) for _ in group]
    rules += [Rule(RATE_OF_MULTIPLIERS, 0.0, math.inf)] * len(multipliers)
    moments = [(torch.zeros_like(each), torch.zeros_like(each)) for each in variables]
    best, best_value = [each.detach().clone() for each in variables], None
    for step in range(steps):
        slopes = dict(zip(nodes, (_pair(group) for group in free), strict=True))
        with torch.enable_grad():
            extra = extra_coefficients(rows, dict(zip(rows.multipliers, multipliers, strict=True)))
            value = backward(
                fast,
                len(fast.nodes) - 1,
                coefficients,
                lambda index, slopes=slopes: made[index].lines(slopes[index]),  # type: ignore[misc]
                lambda slope: ball.least(slope, every),
                extra,
            )
            grads = torch.autograd.grad(value.sum(), variables, allow_unused=True)
        with torch.no_grad():
            best_value = _keep_best(value.detach(), best_value, variables, best)
            for rule, variable, grad, moment in zip(rules, variables, grads, moments, strict=True):
                if grad is not None:
                    _adam(variable, grad, moment, step, rule.rate * DECAY**step)
                    variable.clamp_(rule.least, rule.most)
    return _with(rows, nodes, free, best)


def _free(relaxation: Relaxation, slopes: tuple[Tensor, Tensor]) -> list[Tensor]:
    """The slopes to optimise: of a ReLU the lower one."""
    assert relaxation.node.activation is not None, "only activations are relaxed"
    kept = slopes[:1] if relaxation.node.activation.is_relu else slopes
    return [each.clone().requires_grad_() for each in kept]


def _pair(group: list[Tensor]) -> tuple[Tensor, Tensor]:
    return group[0], group[-1]


def _keep_best(value: Tensor, best_value: Tensor | None, variables: list[Tensor], best: list[Tensor]) -> Tensor:
    """Update the best variables of each row in place; returns the best values."""
    if best_value is None:
        return value
    better = value > best_value
    for kept, variable in zip(best, variables, strict=True):
        kept[better] = variable.detach()[better]
    return torch.maximum(value, best_value)


def _adam(variable: Tensor, grad: Tensor, moments: tuple[Tensor, Tensor], step: int, rate: float) -> None:
    """One step of Adam upwards (Kingma and Ba, 2015)."""
    first, second = moments
    first.mul_(0.9).add_(grad, alpha=0.1)
    second.mul_(0.999).addcmul_(grad, grad, value=0.001)
    size = (second / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-8)
    variable.addcdiv_(first, size, value=rate / (1 - 0.9 ** (step + 1)))


@dataclass(frozen=True)
class Rule:
    """How a kind of variables is optimised: its learning rate, and the least and most value that keep bounds sound."""

    rate: float
    least: float
    most: float


def _rule(relaxation: Relaxation) -> Rule:
    """Slopes of ReLU stay in [0, 1], those of smooth activations within their derivatives."""
    activation = relaxation.node.activation
    assert activation is not None, "only activations are relaxed"
    if activation.is_relu:
        return Rule(RATE, 0.0, 1.0)
    return Rule(RATE_OF_SMOOTH, -activation.derivative, activation.derivative)


def _with(rows: Rows, nodes: list[int], free: list[list[Tensor]], best: list[Tensor]) -> Rows:
    """The rows with the best variables found."""
    left = iter(best)
    slopes = {node: _pair([next(left) for _ in group]) for node, group in zip(nodes, free, strict=True)}
    return replace(rows, slopes=slopes, multipliers={node: next(left) for node in rows.multipliers})
