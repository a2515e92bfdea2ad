"""Which networks the derivatives by hand are derivatives of."""

from __future__ import annotations

import copy
from typing import TypeGuard

import torch
from torch import nn

from inputopt.nets.mlp import MLP, Layer

HALF = (torch.float16, torch.bfloat16)


def is_plain(net: nn.Module) -> TypeGuard[MLP]:
    """Whether `net` computes what its weights and biases say and nothing else.

    An MLP does not that has a forward of its own, parametrised weights, weights that layers share, or forward hooks.
    """
    if not isinstance(net, MLP) or type(net).forward is not MLP.forward or type(net).logits is not MLP.logits:
        return False
    parameters = [*net.weights, *net.biases]
    return (
        all(type(layer) is Layer for layer in net.layers)
        and len(set(map(id, parameters))) == len(parameters)
        and not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    )


def check_plain(net: nn.Module) -> MLP:
    """`net`, if derivatives by hand are those of the network that it is.

    Raises:
        TypeError, ValueError: not an MLP, or not a plain one.
    """
    if not isinstance(net, MLP):
        raise TypeError(f"A full report of derivatives needs an inputopt.MLP, not {type(net).__name__}.")
    if not is_plain(net):
        raise ValueError(
            "This MLP has a forward, hooks, shared or parametrised weights of its own, which derivatives by hand do "
            "not see; use a plain inputopt.MLP, or inputopt.train with method='autograd'."
        )
    return net


def in_single(net: MLP) -> MLP:
    """`net`, or a copy of it in float32 where its weights are of half precision."""
    return copy.deepcopy(net).float() if net.weights[0].dtype in HALF else net
