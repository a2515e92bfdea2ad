"""Gradient check of a network: every differentiation method compared with autograd, in float64."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.derivatives.agreement import Agreement, agreements
from inputopt.derivatives.gradient_methods import MethodName
from inputopt.derivatives.plain import check_plain
from inputopt.nets.costs import CostName, find_cost
from inputopt.nets.mlp import MLP


def gradcheck(
    net: MLP,
    inputs: Any = None,
    targets: Any = None,
    cost: CostName = "mse",
    methods: Sequence[MethodName] = get_args(MethodName),
    *,
    batch: int = 7,
    seed: int = 0,
) -> list[Agreement]:
    """Compute all gradients of a float64 copy of a network by several methods, and compare them with autograd.

    Args:
        net: the network; it is not changed.
        inputs: numbers [B, ...]; random ones if not given.
        targets: targets for these inputs, as for `gradients`; random ones if not given.
        cost: "mse" or "cross_entropy".
        methods: methods to compare: "autograd", "backprop", "dual", "differences", "one_sided".
        batch: number of random examples if inputs are not given.
        seed: seed of the random examples.

    Returns:
        One `Agreement` per method; its `largest` is the largest difference relative to the largest gradient entry.

    Raises:
        ValueError, TypeError: a network that is not a plain MLP, unknown names, or inputs and targets that do not fit.

    >>> all(row.largest < 1e-6 for row in gradcheck(MLP([3, 4, 2])) if row.method != "one_sided")
    True
    """
    net = copy.deepcopy(check_plain(net)).double()
    if (inputs is None) != (targets is None):
        raise ValueError("Give inputs and targets together, or neither of them for random examples.")
    if inputs is None:
        inputs, targets = random_examples(net, cost, checks.whole("batch", batch), seed)
    return agreements(net, inputs, targets, cost, methods)


def random_examples(net: MLP, cost: str, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random inputs [batch, n], float64, and targets that are valid for the cost."""
    generator = np.random.default_rng(checks.seed(seed))
    inputs = torch.from_numpy(generator.standard_normal((batch, net.sizes[0])))
    if find_cost(cost, net.output).class_targets:
        return inputs, torch.from_numpy(generator.integers(net.sizes[-1], size=batch))
    return inputs, torch.from_numpy(generator.random((batch, net.sizes[-1])))
