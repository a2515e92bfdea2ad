"""CROWN: linear bounds of a network, propagated backwards from its outputs to its inputs (Zhang et al., 2018).

A row is one linear function of a node's values whose lower bound is wanted. Rows of many examples are bounded at once;
the lines that replace each activation are those of the row's example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.bounds.affine import Matrix, Reshaped, Scaled, elements
from inputopt.bounds.ball import Ball
from inputopt.bounds.interval import Interval, node_interval
from inputopt.bounds.network_graph import Graph, Node
from inputopt.bounds.relaxations import Line, relu_lines, smooth_lines
from inputopt.bounds.rounding import Rounding
from inputopt.bounds.windows import is_local, numbers_in, passed, reach, unit_windows

Lines = tuple[Line, Line]

CHUNK = 250_000
"""Numbers in the largest tensor of a backward pass, which then fits into the cache; more rows take several passes."""


def lines_of(node: Node, bounds: Interval, slopes: tuple[Tensor, Tensor] | None = None) -> Lines:
    """Lines below and above a node's activation, for values of its input within bounds [B, ...].

    `slopes`: slopes of the lower and the upper line; for ReLU only that of the lower line is used.
    """
    assert node.activation is not None, "affine nodes need no relaxation"
    if node.activation.is_relu:
        return relu_lines(bounds.low, bounds.high, None if slopes is None else slopes[0])
    return smooth_lines(node.activation, bounds.low, bounds.high, slopes)


def backward(
    graph: Graph,
    start: int,
    rows: Tensor,
    lines: Callable[[int], Lines],
    least: Callable[[Tensor], Tensor],
    extra: Mapping[int, Tensor] | None = None,
    seen: dict[int, Tensor] | None = None,
) -> Tensor:
    """Lower bounds [N] of <row, value of node `start`> for each row [N, ...] over the set of inputs.

    Args:
        graph: the network.
        start: the node.
        rows: the coefficients [N, ...].
        lines: node number -> the lines of its activation for each row, [N, ...].
        least: slopes [N, ...] -> the minimum of <slope, x> over the inputs of each row, [N].
        extra: node number -> coefficients [N, ...] that are added at this node, for constraints of branches.
        seen: filled with the coefficients [N, ...] of each activation's result, if given.
    """
    pending, constant = {start: rows}, rows.new_zeros(len(rows))
    for index in range(start, 0, -1):
        coefficients = pending.pop(index, None)
        if coefficients is None:
            continue
        if extra is not None and index in extra:
            coefficients = coefficients + extra[index]
        node = graph.nodes[index]
        if node.affine is not None:
            offset = node.affine.offset()
            if offset is not None:
                constant = constant + (coefficients * offset).flatten(1).sum(1)
            passed = node.affine.transposed(coefficients)
        else:
            if seen is not None:
                seen[index] = coefficients
            change, made = relaxed(coefficients, lines(index))
            constant, passed = constant + change, (made,)
        for before, each in zip(node.inputs, passed, strict=True):
            pending[before] = pending[before] + each if before in pending else each
    return constant + least(pending[0]) if 0 in pending else constant


def relaxed(coefficients: Tensor, lines: Lines) -> tuple[Tensor, Tensor]:
    """Replace an activation by its lines: the constant [N] and the coefficients [N, ...] of its input."""
    below, above = lines
    positive, negative = coefficients.clamp_min(0), coefficients.clamp_max(0)
    constant = torch.linalg.vecdot(negative.flatten(1), above.offset.flatten(1))
    constant = constant + torch.linalg.vecdot(positive.flatten(1), below.offset.flatten(1))
    return constant, positive * below.slope + negative * above.slope


@dataclass(frozen=True)
class Bounds:
    """Bounds of the input of every activation, by node number of that input, and the lines made of them.

    Attributes:
        intervals: node number of an activation's input -> its bounds, [B, ...].
        lines: node number of an activation -> its lines, [B, ...].
    """

    intervals: dict[int, Interval]
    lines: dict[int, Lines]

    def take(self, rows: Tensor) -> Bounds:
        """The bounds of some examples."""
        intervals = {node: Interval(each.low[rows], each.high[rows]) for node, each in self.intervals.items()}
        lines = {node: (_take(one, rows), _take(other, rows)) for node, (one, other) in self.lines.items()}
        return Bounds(intervals, lines)


def _take(line: Line, rows: Tensor) -> Line:
    return Line(line.slope[rows], line.offset[rows])


def linear_bounds(graph: Graph, ball: Ball, rounding: Rounding) -> Bounds:
    """Bounds of all activations' inputs, in order: intervals first, and CROWN for what they leave open.

    Rows are only bounded where it can matter: elements of ReLU inputs whose sign is open by their intervals, and all
    elements of the inputs of smooth activations.
    """
    intervals: dict[int, Interval] = {0: ball.box}
    found = Bounds({}, {})
    for index, node in enumerate(graph.nodes[1:], start=1):
        if node.activation is not None:
            before = node.inputs[0]
            if before not in found.intervals:
                found.intervals[before] = _tightened(graph, before, intervals[before], ball, found, node, rounding)
                intervals[before] = found.intervals[before]
            found.lines[index] = lines_of(node, found.intervals[before])
        intervals[index] = rounding.outward(index, node_interval(node, [intervals[each] for each in node.inputs]))
    return found


def _tightened(
    graph: Graph, index: int, bounds: Interval, ball: Ball, found: Bounds, node: Node, rounding: Rounding
) -> Interval:
    """CROWN bounds of the elements of node `index` that matter to the activation `node`."""
    assert node.activation is not None, "only inputs of activations are bounded"
    if ball.norm == "linf" and is_exact(graph, index):
        return bounds
    low, high = bounds.low.flatten(1).clone(), bounds.high.flatten(1).clone()
    wanted = (low < 0) & (high > 0) if node.activation.is_relu else high > low
    places = wanted.nonzero()
    slack = rounding.slack(index).flatten(1)
    for part in torch.split(places, rows_at_once(graph, index)):
        example, element = part.T
        for sign, bound, sharper in ((1.0, low, torch.maximum), (-1.0, high, torch.minimum)):
            value = element_bounds(graph, index, element, sign, example, ball, found.lines)
            value = sign * (value - slack[example, element])
            bound[example, element] = sharper(bound[example, element], value)
    high = torch.maximum(low, high)  # crossed by rounding only
    return Interval(low.reshape(bounds.low.shape), high.reshape(bounds.low.shape))


def is_exact(graph: Graph, index: int) -> bool:
    """Whether intervals are exact for a box: one operation that sums, after operations on single elements."""
    sums = 0
    while index:
        node = graph.nodes[index]
        if len(node.inputs) > 1 or node.activation is not None or sums > 1:
            return False
        sums += not isinstance(node.affine, (Scaled, Reshaped))
        index = node.inputs[0]
    return sums <= 1


def rows_at_once(graph: Graph, index: int) -> int:
    """Number of rows of a node that are bounded in one pass."""
    if not is_local(graph.nodes[index]):
        return max(1, CHUNK // numbers_in(graph, index))
    end, most = reach(graph, index)
    return max(1, CHUNK // (most if end == 0 else max(most, numbers_in(graph, end))))


def element_bounds(
    graph: Graph, index: int, element: Tensor, sign: float, example: Tensor, ball: Ball, lines: Mapping[int, Lines]
) -> Tensor:
    """Lower bounds [N] of `sign` times elements [N] of a node, with the lines of the examples [N]."""
    node = graph.nodes[index]
    if is_local(node) and reach(graph, index)[0] != index:
        end = reach(graph, index)[0]
        windows = unit_windows(graph, index, element, torch.full(element.shape, sign, dtype=torch.float64))
        windows = passed(windows, graph, example, lines, end)
        if end:
            return bound_rows(graph, end, windows.dense(graph.nodes[end].shape), windows.constant, example, ball, lines)
        x0, low, high = (windows.gather(value, example) for value in (ball.x0, ball.low, ball.high))
        return windows.constant + ball.least_of(windows.values, x0, low, high, ball.eps[example])
    if isinstance(node.affine, Matrix) and len(node.shape) == 1:
        bias = node.affine.bias
        constant = 0.0 if bias is None else sign * bias[element]
        return bound_rows(graph, node.inputs[0], sign * node.affine.weight[element], constant, example, ball, lines)
    rows = ball.x0.new_zeros(len(element), elements(node.shape))
    rows[torch.arange(len(element), device=element.device), element] = sign
    return bound_rows(graph, index, rows.reshape(-1, *node.shape), 0.0, example, ball, lines)


def bound_rows(
    graph: Graph,
    start: int,
    rows: Tensor,
    constant: Tensor | float,
    example: Tensor,
    ball: Ball,
    lines: Mapping[int, Lines],
    watch: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Lower bounds [N] of rows [N, ...] of node `start`, plus a constant.

    Args:
        graph, start, rows: as for `backward`.
        constant: added to the bounds, [N] or a number.
        example: the example of each row, [N], whose set and lines it uses.
        ball: the sets of the examples.
        lines: node number of an activation -> its lines, [B, ...].
        watch: called with the slopes of the linear bounds in the inputs, [N, ...].
    """

    def picked(index: int) -> Lines:
        below, above = lines[index]
        return _take(below, example), _take(above, example)

    def least(slope: Tensor) -> Tensor:
        if watch is not None:
            watch(slope)
        return ball.least(slope, example)

    return constant + backward(graph, start, rows, picked, least)
