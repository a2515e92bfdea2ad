"""Rounding errors of bounds in float64: a stated allowance that every bound is lowered by.

Every computed coefficient, offset and bound is a sum of products that passes through at most K roundings, so that its
error is at most gamma = K u / (1 - K u) times the same expression with absolute values (Higham, 2002, chapter 3), where
u = 2^-53. K is the sum of the fan-ins and sizes of all operations, plus a few roundings for each. The expression with
absolute values is bounded by one forward pass: |W| m + |b| for an affine operation whose inputs have sizes up to m,
and for an activation the largest |slope| m + |offset| over all its relaxations. Bounds of hidden values are widened by
their own allowance before anything is derived from them.

The allowance covers the bounds of the network as a function of real numbers, with its weights as they are stored.
A network that computes in float32 rounds its logits: `network_error` is a multiple of its measured difference from
float64 at the clean inputs, which is also subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inputopt.bounds.affine import elements
from inputopt.bounds.ball import Ball
from inputopt.bounds.interval import Interval
from inputopt.bounds.network_graph import Graph

UNIT = 2.0**-53
PER_OPERATION = 16
"""Roundings allowed for each operation beside those of its sum: a relaxation, a product and an addition."""

MEASURED = 4.0
"""Multiple of the largest difference between the network's own logits and the graph's at the clean inputs."""


@dataclass(frozen=True)
class Rounding:
    """Allowances for a graph on one batch.

    Attributes:
        gamma: relative error of a sum.
        sizes: for each node, the sum of the absolute values of all terms in one element, [B, ...].
    """

    gamma: float
    sizes: tuple[Tensor, ...]

    def slack(self, index: int) -> Tensor:
        """The error of a bound of one element of a node, [B, ...]."""
        return self.gamma * self.sizes[index]

    def largest(self) -> Tensor:
        """The largest error of an element of any node, [B]."""
        return self.gamma * torch.stack([size.flatten(1).amax(1) for size in self.sizes]).amax(0)

    def outward(self, index: int, bounds: Interval) -> Interval:
        """Bounds of a node, widened by their rounding errors."""
        slack = self.slack(index)
        return Interval(bounds.low - slack, bounds.high + slack)

    def take(self, rows: Tensor) -> Rounding:
        """The allowances of some examples."""
        return Rounding(self.gamma, tuple(size[rows] for size in self.sizes))


def rounding_of(graph: Graph, ball: Ball) -> Rounding:
    """The allowances for bounds of a graph over balls.

    The sizes follow the relaxations, not only the values: a ReLU's line has |slope| m + |offset| <= 2 m. The minimum
    over the set of inputs, <a, x0> + <a, d>, has at most four times the terms of |a| m; sums of offsets run over all
    elements.
    """
    radius = ball.eps.reshape(-1, *(1,) * (ball.low.ndim - 1))
    reach = torch.maximum(ball.low.abs(), ball.high.abs())
    sizes = [2 * reach if ball.norm == "linf" else 4 * reach + 2 * radius]
    terms = 4.0 + elements(graph.nodes[0].shape)
    for node in graph.nodes[1:]:
        inputs = [sizes[each] for each in node.inputs]
        terms += PER_OPERATION + elements(node.shape)
        if node.affine is not None:
            sizes.append(node.affine.magnitude(*inputs))
            terms += node.affine.fan_in
        else:
            assert node.activation is not None, "every node has an operation"
            sizes.append(node.activation.magnitude(inputs[0]))
    return Rounding(terms * UNIT / (1 - terms * UNIT), tuple(sizes))
