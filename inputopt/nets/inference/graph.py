"""Signatures and properties of the autograd graph of a forward.

Two forwards with the same graph ran the same differentiable operations, whatever the size of their inputs. The graph is
read after the forward without changing it, at a cost of a few microseconds per hundred operations.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import torch
from torch import Tensor

LEAF = "torch::autograd::AccumulateGrad"
"""Name of the autograd node of a leaf tensor."""

Node = Any  # autograd nodes have no common Python class


def graph_signature(roots: Iterable[Node], input_node: Node | None) -> Hashable:
    """Hash of the graph from `roots` back to `input_node`: the name and the edges of each node."""
    number: dict[Node, int] = {input_node: 0}
    found: list[Any] = []
    waiting: list[Node] = []
    for root in roots:
        if root not in number:
            number[root] = len(number)
            waiting.append(root)
        found.append(number[root])
    for node in waiting:  # the list grows during the loop
        found.append(node.name())
        for following, output in node.next_functions:
            place = None
            if following is not None:
                place = number.get(following)
                if place is None:
                    place = number[following] = len(number)
                    waiting.append(following)
            found += (place, output)
    return hash(tuple(found))


def node_signatures(roots: Iterable[Node], input_node: Node | None) -> dict[Node, int]:
    """Hash of each node's name and of its subgraph back to `input_node`.

    An input that is a leaf has no `grad_fn` before the forward; its accumulation node counts as `input_node`.
    """
    number: dict[Node, int] = {None: 1}
    if input_node is not None:
        number[input_node] = 0
    waiting = list(roots)
    while waiting:
        node = waiting[-1]
        if node not in number:
            following = node.next_functions
            missing = [each for each, _ in following if each not in number]
            if missing:
                waiting += missing
                continue
            kind = node.name()
            number[node] = 0 if kind == LEAF else hash((kind, *((number[each], output) for each, output in following)))
        waiting.pop()
    return number


def leaves(graph: Iterable[Node]) -> list[Tensor]:
    """The leaf tensors of a graph."""
    return [node.variable for node in graph if node is not None and node.name() == LEAF]


def is_checkpointed(graph: Iterable[Node]) -> bool:
    """Whether the backward recomputes part of the forward (torch's reentrant checkpoints)."""
    return any("CheckpointFunctionBackward" in node.name() for node in graph if node is not None)


def lacks_derivative(graph: Iterable[Node]) -> bool:
    """Whether torch has no derivative for some operation; it would warn and omit that part of the gradient."""
    return any("NotImplemented" in node.name() for node in graph if node is not None)


def derive_by_backward(value: Tensor, x: Tensor, keep: bool) -> Tensor | None:
    """`autograd.grad` by means of `backward`, which reentrant checkpoints need; restores the `.grad` of all leaves."""
    before = [(leaf, leaf.grad) for leaf in (*leaves(node_signatures([value.grad_fn], None)), x)]
    x.grad = None
    try:
        value.backward(torch.ones_like(value), retain_graph=keep)  # type: ignore[no-untyped-call]
        return x.grad
    finally:
        for leaf, grad in before:
            leaf.grad = grad
