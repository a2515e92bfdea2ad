"""Manual backpropagation: the reference document's chain rule, layer by layer from the last to the first.

    dCost/dO        last layer: derivative of the cost; other layers: sum over the next layer's neuron errors x weights
    dO/dZ           derivative of the activation
    neuron error    dCost/dZ = dCost/dO x dO/dZ
    dCost/dWeight   neuron error x the input that the weight multiplies
    dCost/dBias     neuron error x 1
    dCost/dInput    sum over the first layer's neuron errors x weights

Arrays have one row per example; only the gradients of weights and biases are averaged over the examples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from inputopt.derivatives.record import Gradients, as_arrays, interleaved, to_gradients, trainable
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP


class Chain(NamedTuple):
    """All intermediate values of one forward and backward pass; each list has one array [B, n_out] per layer."""

    Z: list[Array]
    O: list[Array]  # has one entry more: O[0] are the inputs, O[l + 1] the outputs of layer l
    dCost_dO: list[Array]
    dO_dZ: list[Array]
    neuron_errors: list[Array]


def chain(net: Arrays, cost: Cost, inputs: Array, targets: Array) -> Chain:
    """Run a forward pass, then propagate the derivative of the cost backward through the layers."""
    Z, O = forward(net, inputs)
    dO_dZ = []
    for layer, activation in enumerate(net.activations):
        dO_dZ.append(activation.slope(Z[layer], O[layer + 1]))
    dCost_dO = [cost.slope(O[-1], targets)]
    neuron_errors = [dCost_dO[0] * dO_dZ[-1] if cost.neuron_error is None else cost.neuron_error(O[-1], targets)]
    for layer in range(len(Z) - 1, 0, -1):
        dCost_dO.insert(0, neuron_errors[0] @ net.weights[layer])
        neuron_errors.insert(0, dCost_dO[0] * dO_dZ[layer - 1])
    return Chain(Z, O, dCost_dO, dO_dZ, neuron_errors)


def parameter_derivatives(found: Chain) -> list[Array]:
    """Return [dCost/dWeight 0, dCost/dBias 0, dCost/dWeight 1, ...], averaged over the examples."""
    derivatives = []
    examples = len(found.O[0])
    for layer, neuron_error in enumerate(found.neuron_errors):
        weighted = neuron_error / examples  # by its share in the mean over the examples
        derivatives.append(weighted.T @ found.O[layer])
        derivatives.append(np.ones(examples, weighted.dtype) @ weighted)  # the input that a bias multiplies is 1
    return derivatives


def input_derivatives(net: Arrays, found: Chain) -> Array:
    """Return dCost/dInput of each example, [B, n_in], which training does not use."""
    return found.neuron_errors[0] @ net.weights[0]


class Backprop:
    """Differentiation by manual backpropagation (see `record.Way`)."""

    def __init__(self, net: MLP, cost: Cost) -> None:
        self.net, self._cost, self._trainable = arrays(net), cost, trainable(net)
        self.evaluations = 2
        self.parameters = self._trainable(interleaved(self.net.weights, self.net.biases))

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
        """Return the batch as arrays."""
        return as_arrays(inputs, targets)

    def step(self, inputs: Array, targets: Array) -> list[Array]:
        """Return dCost/dParameter averaged over the batch."""
        return self.step_of(self.net, inputs, targets)

    def step_of(self, net: Arrays, inputs: Array, targets: Array) -> list[Array]:
        """As `step`, for a network of the same layers with the weights and biases of `net`."""
        return self._trainable(parameter_derivatives(chain(net, self._cost, inputs, targets)))

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Return all gradients by one forward and one backward."""
        flat, wanted = as_arrays(inputs, targets)
        # dCost/dO of cross-entropy on saturated sigmoids overflows
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            found = chain(self.net, self._cost, flat, wanted)
            mean_cost = self._cost.value(found.Z[-1], found.O[-1], wanted).mean()
        derivatives = parameter_derivatives(found)
        return to_gradients(
            mean_cost,
            derivatives[0::2],
            derivatives[1::2],
            input_derivatives(self.net, found),
            inputs,
            evaluations=2,
        )
