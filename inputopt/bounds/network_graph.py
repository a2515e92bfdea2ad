"""The graph of a traced network: a list of affine operations and activations, in the order of their evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inputopt.bounds.affine import Affine
from inputopt.bounds.relaxations import Elementwise


class UnsupportedNetworkError(ValueError):
    """The network contains an operation that bounds cannot be computed for; the message names it."""


@dataclass(frozen=True)
class Node:
    """One operation of the graph.

    Attributes:
        name: what the operation is called in messages.
        affine: the operation if it is affine.
        activation: the operation if it is an element-wise non-linear function.
        inputs: the nodes that it is applied to; node 0 is the network's input, and has no operation.
        shape: shape of its result for one example.
    """

    name: str
    affine: Affine | None
    activation: Elementwise | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result on values [N, ...] of the inputs."""
        operation = self.affine or self.activation
        assert operation is not None, "the input node is not evaluated"
        return operation(*inputs)


@dataclass(frozen=True)
class Graph:
    """A network as operations on rows: `nodes[0]` is the input and the last node is the logits [n]."""

    nodes: tuple[Node, ...]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.nodes[-1].shape[0]

    @property
    def activations(self) -> tuple[int, ...]:
        """The nodes that are not affine, in order."""
        return tuple(index for index, node in enumerate(self.nodes) if node.activation is not None)

    def __call__(self, x: Tensor) -> Tensor:
        """The logits [N, n] of inputs [N, ...]."""
        values: list[Tensor] = [x]
        for node in self.nodes[1:]:
            values.append(node(*(values[each] for each in node.inputs)))
        return values[-1]

    def to(self, dtype: torch.dtype) -> Graph:
        """The same graph with detached constants of `dtype`."""
        converted = (
            node if node.affine is None else replace(node, affine=node.affine.to(dtype)) for node in self.nodes
        )
        return Graph(tuple(converted))

    def needed(self) -> Graph:
        """The graph without operations that the logits do not depend on."""
        wanted = {len(self.nodes) - 1, 0}
        for index in range(len(self.nodes) - 1, 0, -1):
            if index in wanted:
                wanted |= set(self.nodes[index].inputs)
        place = {old: new for new, old in enumerate(sorted(wanted))}
        kept = (self.nodes[old] for old in sorted(wanted))
        return Graph(tuple(replace(node, inputs=tuple(place[each] for each in node.inputs)) for node in kept))
