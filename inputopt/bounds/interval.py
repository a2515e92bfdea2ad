"""Interval bound propagation: a lower and an upper bound of every value of a network (Gowal et al., 2018).

The bounds are differentiable with respect to the network's weights, so that networks can be trained by them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inputopt.bounds.affine import Affine, Matrix
from inputopt.bounds.network_graph import Graph, Node
from inputopt.bounds.tracing import trace


@dataclass(frozen=True)
class Interval:
    """Bounds low <= value <= high, [B, ...] each."""

    low: Tensor
    high: Tensor


def affine_interval(operation: Affine, inputs: list[Interval]) -> Interval:
    """Bounds of an affine operation: that of the centres, and |W| times the radii."""
    centre = operation(*((each.high + each.low) / 2 for each in inputs))
    radius = operation.absolute(*((each.high - each.low) / 2 for each in inputs))
    return Interval(centre - radius, centre + radius)


def node_interval(node: Node, inputs: list[Interval]) -> Interval:
    """Bounds of a node's result from those of its inputs."""
    if node.activation is not None:
        return Interval(*node.activation.range(inputs[0].low, inputs[0].high))
    assert node.affine is not None, "the input node has no operation"
    return affine_interval(node.affine, inputs)


def propagate(graph: Graph, box: Interval) -> list[Interval]:
    """Bounds of every node for inputs in the box [B, ...]; exact for each operation, apart from rounding."""
    bounds = [box]
    for node in graph.nodes[1:]:
        bounds.append(node_interval(node, [bounds[each] for each in node.inputs]))
    return bounds


def margin_matrix(label: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Rows that make logit differences of logits: [B, classes - 1, classes], the label minus each other class."""
    others = torch.arange(classes - 1, device=label.device).expand(len(label), -1)
    others = others + (others >= label[:, None])
    rows = torch.zeros(len(label), classes - 1, classes, dtype=dtype, device=label.device)
    rows.scatter_(2, label[:, None, None].expand(-1, classes - 1, 1), 1.0)
    return rows.scatter_(2, others[..., None], -1.0)


def interval_margins(graph: Graph, bounds: list[Interval], label: Tensor) -> Tensor:
    """Lower bounds of the logit differences, [B, classes - 1], with the last layer merged into the difference.

    Bounding the difference of two rows of the last layer is tighter than the difference of two bounds.
    """
    last = graph.nodes[-1]
    rows = margin_matrix(label, graph.classes, bounds[-1].low.dtype)
    if not isinstance(last.affine, Matrix) or bounds[last.inputs[0]].low.ndim != 2:
        low, high = bounds[-1].low, bounds[-1].high
        return (rows.clamp_min(0) @ low[..., None] + rows.clamp_max(0) @ high[..., None])[..., 0]
    weight = rows @ last.affine.weight
    before = bounds[last.inputs[0]]
    centre, radius = (before.high + before.low) / 2, (before.high - before.low) / 2
    margins = (weight @ centre[..., None] - weight.abs() @ radius[..., None])[..., 0]
    return margins if last.affine.bias is None else margins + rows @ last.affine.bias


def worst_case_logits(net: nn.Module, low: Tensor, high: Tensor, label: Tensor) -> Tensor:
    """Logits [B, n] for training: 0 for the label and the upper bound of every other logit minus the label's.

    Their cross-entropy is an upper bound of that of every input in the box, and is differentiable with respect to the
    network's parameters (Gowal et al., 2018).

    Args:
        net: a module of supported operations.
        low, high: the box [B, ...], in the dtype of the network.
        label: int64 [B].
    """
    graph = trace(net, low)
    bounds = propagate(graph, Interval(low, high))
    return logits_of_margins(interval_margins(graph, bounds, label), label)


def logits_of_margins(margins: Tensor, label: Tensor) -> Tensor:
    """Logits [B, n] that are 0 for the label and minus the margin for the other classes."""
    classes = margins.shape[1] + 1
    others = torch.arange(classes - 1, device=label.device).expand(len(label), -1)
    others = others + (others >= label[:, None])
    return margins.new_zeros(len(margins), classes).scatter(1, others, -margins)
