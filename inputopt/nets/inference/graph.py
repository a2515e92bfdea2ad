"""The graph that autograd keeps of a forward: what was done to get from the input to what came out.

Two forwards with the same graph ran the same operations on the way of the derivative, whatever the size of their
inputs. It is read after a forward, costs some microseconds a hundred operations, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import torch
from torch import Tensor

LEAF = "torch::autograd::AccumulateGrad"
"""The kind of the node that stands for a leaf."""

Node = Any  # torch's nodes have no class in common that Python knows


def graph_signature(roots: Iterable[Node], input_node: Node | None) -> Hashable:
    """The graph from `roots` back to `input_node`: the kind of each node and which others it leads to."""
    number: dict[Node, int] = {input_node: 0}
    found: list[Any] = []
    waiting: list[Node] = []
    for root in roots:
        if root not in number:
            number[root] = len(number)
            waiting.append(root)
        found.append(number[root])
    for node in waiting:  # which grows meanwhile
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
    """For each node a number that stands for its kind and for all that leads from it back to `input_node`.

    An input that is a leaf has no node of its own before; what stands for it in the graph counts as `input_node`.
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
    """The leaves that a graph leads back to."""
    return [node.variable for node in graph if node is not None and node.name() == LEAF]


def is_checkpointed(graph: Iterable[Node]) -> bool:
    """Whether a part of the forward is run again in the backward by torch's reentrant checkpoints."""
    return any("CheckpointFunctionBackward" in node.name() for node in graph if node is not None)


def lacks_derivative(graph: Iterable[Node]) -> bool:
    """Whether the derivative of an operation is not known to torch, which would warn and leave it out."""
    return any("NotImplemented" in node.name() for node in graph if node is not None)


def derive_by_backward(value: Tensor, x: Tensor, keep: bool) -> Tensor | None:
    """As `autograd.grad`, by `backward`, which reentrant checkpoints want; what it leaves elsewhere is taken away."""
    before = [(leaf, leaf.grad) for leaf in (*leaves(node_signatures([value.grad_fn], None)), x)]
    x.grad = None
    try:
        value.backward(torch.ones_like(value), retain_graph=keep)  # type: ignore[no-untyped-call]
        return x.grad
    finally:
        for leaf, grad in before:
            leaf.grad = grad
