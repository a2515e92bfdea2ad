"""All numbers of a network at one input, which a drawing of it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inputopt.derivatives.backprop import Chain, chain, input_derivatives
from inputopt.derivatives.gradient_methods import check_batch
from inputopt.derivatives.record import as_arrays
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays
from inputopt.nets.costs import Cost, CostName, find_cost
from inputopt.nets.mlp import MLP


@dataclass(frozen=True)
class Numbers:
    """The numbers of a network at one input, first layer first.

    Attributes:
        outputs: the input [n_0], then the outputs O of each layer, [n_l].
        weights: weights of each layer, [n_out, n_in].
        biases: biases of each layer, [n_out].
        weight_gradients: dCost/dWeight of each layer, [n_out, n_in].
        neuron_errors: dCost/dZ of each layer, [n_out].
        input_gradient: dCost/dInput, [n_0].
        targets: the target outputs, [n_L]; of a class, 1 for it and 0 for the others.
        cost: the cost.
    """

    outputs: tuple[Array, ...]
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    weight_gradients: tuple[Array, ...]
    neuron_errors: tuple[Array, ...]
    input_gradient: Array
    targets: Array
    cost: float


def numbers_at(net: MLP, inputs: Any, targets: Any, cost: CostName) -> tuple[Numbers, ...]:
    """The numbers at each of the inputs [B, ...], by backpropagation.

    Raises:
        ValueError, TypeError: inputs and targets that do not fit the network and the cost.
    """
    resolved = find_cost(cost, net.output)
    flat, wanted = as_arrays(*check_batch(net, resolved, inputs, targets))
    net_arrays = arrays(net)
    with np.errstate(all="ignore"):
        return numbers_of(net_arrays, resolved, chain(net_arrays, resolved, flat, wanted), wanted)


def numbers_of(net: Arrays, cost: Cost, found: Chain, targets: Array) -> tuple[Numbers, ...]:
    """The numbers of each example of a forward and backward pass, as copies."""
    input_gradients = input_derivatives(net, found)
    costs = cost.value(found.Z[-1], found.O[-1], targets)
    wanted = np.eye(found.O[-1].shape[1])[targets] if cost.class_targets else targets
    weights, biases = (tuple(each.copy() for each in part) for part in (net.weights, net.biases))
    return tuple(
        Numbers(
            outputs=tuple(values[row].copy() for values in found.O),
            weights=weights,
            biases=biases,
            weight_gradients=tuple(
                np.outer(errors[row], values[row]) for errors, values in zip(found.neuron_errors, found.O, strict=False)
            ),
            neuron_errors=tuple(errors[row].copy() for errors in found.neuron_errors),
            input_gradient=input_gradients[row],
            targets=wanted[row].copy(),
            cost=float(costs[row]),
        )
        for row in range(len(costs))
    )
