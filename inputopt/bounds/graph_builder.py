"""Construction of a graph from recorded operations: which tensor of the forward is which node."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inputopt.bounds.affine import Added, Affine, Rearranged, Scaled
from inputopt.bounds.network_graph import Graph, Node, UnsupportedNetworkError
from inputopt.bounds.relaxations import Elementwise, relu


class RefusalError(Exception):
    """An operation is not supported; the text names it."""


class GraphBuilder:
    """The graph under construction: which tensor of the running forward is which node."""

    def __init__(self, x: Tensor) -> None:
        self.batch = len(x)
        self._nodes = [Node("input", None, None, (), tuple(x.shape[1:]))]
        self._place: dict[int, int] = {id(x): 0}
        self._kept = [x]  # an id is only unique while its tensor is alive
        self._refused: dict[int, str] = {}
        self._stopped = ""

    def knows(self, tensor: Tensor) -> bool:
        """Whether the tensor depends on the inputs."""
        return id(tensor) in self._place or id(tensor) in self._refused

    def node(self, tensor: Any) -> int:
        """The node of a tensor that depends on the inputs.

        Raises:
            RefusalError: it was made by an operation that is not supported.
        """
        if id(tensor) in self._refused:
            raise RefusalError(self._refused[id(tensor)])
        return self._place[id(tensor)]

    def shape(self, node: int) -> tuple[int, ...]:
        """Shape of a node's result for one example."""
        return self._nodes[node].shape

    def refuse(self, reason: str, result: Any) -> None:
        """Note that `result` cannot be bounded; without a result the whole forward cannot."""
        tensors = (
            [result] if isinstance(result, Tensor) else [each for each in result or () if isinstance(each, Tensor)]
        )
        if not tensors:
            self._stopped = self._stopped or reason
        for tensor in tensors:
            self._refused[id(tensor)] = reason
            self._place.pop(id(tensor), None)
            self._kept.append(tensor)

    def add(self, name: str, operation: Affine | Elementwise, inputs: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """Append a node; returns its number."""
        is_activation = isinstance(operation, Elementwise)
        affine, activation = (None, operation) if is_activation else (operation, None)
        self._nodes.append(Node(name, affine, activation, inputs, shape))  # type: ignore[arg-type]  # told apart above
        return len(self._nodes) - 1

    def scaled(self, node: int, scale: Tensor, shift: Tensor | None = None) -> int:
        """Append scale * node + shift."""
        shape = torch.broadcast_shapes(self.shape(node), scale.shape, () if shift is None else shift.shape)  # type: ignore[no-untyped-call]
        if tuple(shape) != self.shape(node):
            node = self.expanded(node, tuple(shape))
        return self.add("scale", Scaled(scale, shift), (node,), self.shape(node))

    def expanded(self, node: int, shape: tuple[int, ...]) -> int:
        """Append the node broadcast to `shape`."""
        before = self.shape(node)
        if before == shape:
            return node
        full = (1,) * (len(shape) - len(before)) + before

        def expand(value: Tensor) -> Tensor:
            return value.reshape(len(value), *full).expand(len(value), *shape)

        return self.add("expand", Rearranged(expand, (before,)), (node,), shape)

    def added(self, one: int, other: int) -> int:
        """Append one + other, broadcast with each other."""
        shape = tuple(torch.broadcast_shapes(self.shape(one), self.shape(other)))  # type: ignore[no-untyped-call]
        return self.add("add", Added(), (self.expanded(one, shape), self.expanded(other, shape)), shape)

    def rectified(self, node: int) -> int:
        """Append max(node, 0)."""
        return self.add("relu", relu(), (node,), self.shape(node))

    def maximum(self, one: int, other: int) -> int:
        """Append the larger of two nodes, as other + relu(one - other)."""
        minus = self.scaled(other, torch.tensor(-1.0))
        return self.added(other, self.rectified(self.added(one, minus)))

    def constant(self, value: Any, ndim: int) -> Tensor:
        """A constant of an element-wise operation, without its batch dimension if it has one.

        Raises:
            RefusalError: it differs from row to row of the batch.
        """
        made = value if isinstance(value, Tensor) else torch.tensor(float(value))
        if made.ndim == ndim and ndim:
            if made.shape[0] == self.batch and self.batch > 1 and not bool((made == made[:1]).all()):
                raise RefusalError("a constant that differs from example to example")
            made = made[0]
        return made

    def set(self, tensor: Tensor, node: int) -> None:
        """Record which node a tensor is.

        Raises:
            RefusalError: the tensor has another shape than the node: the operation mixed examples.
        """
        if tuple(tensor.shape) != (self.batch, *self.shape(node)):
            raise RefusalError("an operation that mixes examples")
        self._place[id(tensor)] = node
        self._refused.pop(id(tensor), None)
        self._kept.append(tensor)

    def written(self, tensor: Tensor) -> None:
        """Note that a tensor was changed in place: other views of its memory can no longer be used."""
        memory = tensor.untyped_storage().data_ptr()
        for each in list(self._kept):
            if each is not tensor and each.untyped_storage().data_ptr() == memory and self.knows(each):
                self.refuse("an in-place operation on a view", each)

    def graph(self, logits: Tensor) -> Graph:
        """The finished graph.

        Raises:
            UnsupportedNetworkError: the logits depend on an operation that is not supported.
        """
        reason = self._stopped or self._refused.get(id(logits), "")
        if reason:
            raise UnsupportedNetworkError(
                f"Bounds cannot be computed for {described(reason)}; networks of linear, convolution, pooling and "
                "batch norm layers, reshapes, additions and the usual activations are supported."
            )
        if id(logits) not in self._place:
            raise UnsupportedNetworkError("The network's logits do not depend on its inputs through torch operations.")
        end = self._place[id(logits)]
        if self._nodes[end].activation is not None or end == 0:
            end = self.scaled(end, torch.ones((), dtype=logits.dtype))  # the last node is affine
        return Graph(tuple(self._nodes[: end + 1])).needed()


def described(reason: str) -> str:
    """The name of an operation as text: `_softmax` is "the operation softmax"."""
    return reason if " " in reason else f"the operation {reason.strip('_')}"
