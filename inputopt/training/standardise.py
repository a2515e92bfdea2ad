"""Standardisation of inputs as part of a network's first layer, so that a saved network takes raw inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from inputopt.nets.mlp import MLP


@torch.no_grad()
def fold_standardisation(net: MLP, mean: Tensor, std: Tensor) -> None:
    """Change the first layer so that the network takes x where it took (x - mean) / std.

    Args:
        net: an MLP; changed in place.
        mean, std: of each input, [n]; `std` is above 0.

    Raises:
        ValueError: a standard deviation is not above 0.

    >>> net = MLP([1, 1], weights=[[[2.0]]], biases=[[0.0]], activation="identity")
    >>> fold_standardisation(net, torch.tensor([3.0]), torch.tensor([0.5]))
    >>> net(torch.tensor([[4.0]])).item()  # 2 x (4 - 3) / 0.5
    4.0
    """
    if not bool((std > 0).all()):
        raise ValueError("std must be above 0; leave constant inputs out or give them std 1.")
    weights, biases = net.weights[0], net.biases[0]
    weights.copy_(weights / std.to(weights))
    biases.copy_(biases - weights @ mean.to(biases))
