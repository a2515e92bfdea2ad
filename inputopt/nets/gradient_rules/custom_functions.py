"""Custom autograd functions with their own backward, bypassed: the gradient of their output is that of their input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inputopt.nets.inference.graph import Node


def custom_functions(outputs: Tensor) -> list[Node]:
    """The nodes of custom functions (`torch.autograd.Function`) in the graph behind `outputs`."""
    found: list[Node] = []
    waiting, met = [outputs.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in met:
            continue
        met.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found.append(node)
        waiting += [following for following, _ in node.next_functions]
    return found


def bypass_custom_functions(outputs: Tensor) -> int:
    """Replace the backward of custom functions whose input and output have one shape by the identity.

    It applies to the graph of this forward only. A backward that is wrong on purpose, or noisy, then has no effect.

    Returns:
        How many custom functions there are.
    """
    nodes = custom_functions(outputs)
    for node in nodes:
        node.register_hook(_identity_where_possible)
    return len(nodes)


def _identity_where_possible(grad_inputs: tuple[Any, ...], grad_outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    grad = grad_outputs[0]
    return tuple(
        grad if isinstance(own, Tensor) and isinstance(grad, Tensor) and own.shape == grad.shape else own
        for own in grad_inputs
    )
