"""Recording and replaying the tensor operations of an autograd computation.

In each training step autograd rebuilds the graph, which takes most of the time for a tiny network. `recorded_graph`
records the operations of one forward and backward, keeps those that the gradients depend on, and replays them without
autograd.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from inputopt.nets.dispatch_mode import DispatchMode

Derivatives = Callable[[], Sequence[Tensor]]

OF_SHAPE_ALONE = (torch.ops.aten.ones_like.default, torch.ops.aten.zeros_like.default)
"""Operations whose result does not depend on the values of their operands, only on the shape."""


def recorded_graph(derivatives: Derivatives, moving: Sequence[Tensor]) -> Derivatives:
    """Return `derivatives` as a recorded function without autograd, or itself if the recording is not equivalent.

    Args:
        derivatives: a function that computes tensors with autograd. It must run the same operations each time: no
            random numbers and no branches that depend on values.
        moving: the tensors that are changed in place between calls.
    """
    with _Recorder(moving) as recorder:
        replayed = recorder.finished(derivatives())
    return replayed if _agree(replayed, derivatives, moving) else derivatives


def _agree(one: Derivatives, other: Derivatives, moving: Sequence[Tensor]) -> bool:
    """Whether both functions return equal results after the moving tensors are changed."""
    originals = [tensor.clone() for tensor in moving]
    try:
        for tensor in moving:
            tensor.mul_(1.25).add_(0.125)
        return all(torch.equal(found, wanted) for found, wanted in zip(one(), other(), strict=True))
    finally:
        for tensor, original in zip(moving, originals, strict=True):
            tensor.copy_(original)


class _Recorder(DispatchMode):
    """Records all operations that depend on the moving tensors; all other tensors become constants."""

    def __init__(self, moving: Sequence[Tensor]) -> None:
        super().__init__()
        self._moving = {_memory(tensor) for tensor in moving}
        self._graph = fx.Graph()
        self._nodes: dict[int, fx.Node] = {}  # by the id of the tensor that the node computes
        self._constants: list[Tensor] = []
        self._kept_alive: list[Any] = []  # keeps tensors alive, so that ids are not reused

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._kept_alive.append(result)
        if not self._is_constant(func, [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]):
            node = self._graph.call_function(func, *fx.node.map_aggregate((args, kwargs), self._node))
            if isinstance(result, Tensor):
                self._nodes[id(result)] = node
            for place, part in enumerate(result if isinstance(result, tuple) else ()):
                self._nodes[id(part)] = self._graph.call_function(operator.getitem, (node, place))
        return result

    def _is_constant(self, func: Any, operands: Sequence[Tensor]) -> bool:
        """Whether the result can be a constant tensor: it never changes, or is a view of a moving tensor."""
        if func in OF_SHAPE_ALONE:
            return True
        if any(id(operand) in self._nodes for operand in operands):
            return False
        return func.is_view or not any(_memory(operand) in self._moving for operand in operands)

    def _node(self, value: Any) -> Any:
        """Return the graph node of a tensor: the operation that computed it, or a placeholder for a constant."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._nodes:
            with self._graph.inserting_before():  # before all other nodes
                self._nodes[id(value)] = self._graph.placeholder(f"held_{len(self._constants)}")
            self._constants.insert(0, value.detach())
            self._kept_alive.append(value)
        return self._nodes[id(value)]

    def finished(self, results: Sequence[Tensor]) -> Derivatives:
        """Return the recorded graph as a function."""
        self._graph.output(tuple(self._node(result) for result in results))
        for node in self._graph.nodes:
            if node.target is torch.ops.aten.detach.default:
                node.replace_all_uses_with(node.args[0])
            elif node.target is torch.ops.aten.t.default and node.args[0].target is node.target:  # a double transpose
                node.replace_all_uses_with(node.args[0].args[0])
        self._graph.eliminate_dead_code()
        return functools.partial(fx.GraphModule(nn.Module(), self._graph).forward, *self._constants)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
