"""Checks that a network is a plain MLP, which manual differentiation requires."""

from __future__ import annotations

import copy
from typing import TypeGuard

import torch
from torch import nn

from inputopt.nets.mlp import MLP, Layer

HALF = (torch.float16, torch.bfloat16)


def is_plain(net: nn.Module) -> TypeGuard[MLP]:
    """Whether `net` is an MLP whose output is determined by its weights and biases alone.

    False for MLPs with an overridden forward, parametrised weights, weights shared by layers, or forward hooks.
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
    """Return `net` if it is a plain MLP (`is_plain`).

    Raises:
        TypeError: not an MLP.
        ValueError: not a plain MLP.
    """
    if not isinstance(net, MLP):
        raise TypeError(f"The network must be an inputopt.MLP, not {type(net).__name__}.")
    if not is_plain(net):
        raise ValueError(
            "This MLP has an overridden forward, hooks, or shared or parametrised weights, which manual "
            "differentiation does not support; use a plain inputopt.MLP, or inputopt.train with method='autograd'."
        )
    return net


def in_single_precision(net: MLP) -> MLP:
    """Return `net`, or a float32 copy of it if its weights are in half precision."""
    return copy.deepcopy(net).float() if net.weights[0].dtype in HALF else net
