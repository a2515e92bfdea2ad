"""Backpropagation by hand: the document's chain of derivatives, layer by layer from the last to the first.

    dCost/dO        last layer: the slope of the cost.  Before it: neuron errors of the next layer x its weights, summed
    dO/dZ           the slope of the activation
    neuron error    dCost/dZ = dCost/dO x dO/dZ
    dCost/dWeight   neuron error x the input that the weight multiplies
    dCost/dBias     neuron error x 1
    dCost/dInput    neuron errors of the first layer x its weights, summed

Each array has a row an example; only the derivatives of weights and biases are averaged over them.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from torch import Tensor

from inputopt.derivatives.record import Gradients, as_arrays, in_turn, to_gradients, trainable
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP

_product = np.ndarray.dot  # of two small matrices in half the time of @


class Chain(NamedTuple):
    """All intermediate values of one pass up and down the network; each list has an entry a layer, [B, n_out]."""

    Z: list[Array]
    O: list[Array]  # one more: O[0] are the inputs, O[l + 1] the outputs of layer l
    dCost_dO: list[Array]
    dO_dZ: list[Array]
    neuron_errors: list[Array]


def chain(net: Arrays, cost: Cost, inputs: Array, targets: Array) -> Chain:
    """Run forward, then carry the derivative of the cost back from neuron to neuron."""
    Z, O = forward(net, inputs, _product)
    dO_dZ = []
    for layer, activation in enumerate(net.activations):
        dO_dZ.append(activation.slope(Z[layer], O[layer + 1]))
    dCost_dO = [cost.slope(O[-1], targets)]
    neuron_errors = [dCost_dO[0] * dO_dZ[-1] if cost.neuron_error is None else cost.neuron_error(O[-1], targets)]
    for layer in range(len(Z) - 1, 0, -1):
        dCost_dO.insert(0, _product(neuron_errors[0], net.weights[layer]))
        neuron_errors.insert(0, dCost_dO[0] * dO_dZ[layer - 1])
    return Chain(Z, O, dCost_dO, dO_dZ, neuron_errors)


def parameter_derivatives(found: Chain) -> list[Array]:
    """dCost/dWeight and dCost/dBias of each layer in turn, averaged over the examples."""
    derivatives = []
    count, ones = _counted(len(found.O[0]))
    for layer, neuron_error in enumerate(found.neuron_errors):
        share = neuron_error / count  # of each example in the average
        derivatives.append(_product(share.T, found.O[layer]))
        derivatives.append(_product(ones, share))  # the input that a bias multiplies is 1
    return derivatives


@functools.lru_cache(maxsize=8)
def _counted(examples: int) -> tuple[Array, Array]:
    """How many examples, as an array of no dimensions, and a one for each: float32 serves float64 too."""
    return np.asarray(examples, np.float32), np.ones(examples, np.float32)


def input_derivatives(net: Arrays, found: Chain) -> Array:
    """dCost/dInput of each example, [B, n_in]: the derivative that training throws away."""
    return _product(found.neuron_errors[0], net.weights[0])


class Backprop:
    """Backpropagation by hand as a way to train."""

    def __init__(self, net: MLP, cost: Cost) -> None:
        self._arrays, self._cost, self._trainable = arrays(net), cost, trainable(net)
        self.evaluations = 2
        self.parameters = self._trainable(in_turn(self._arrays.weights, self._arrays.biases))

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
        """The batch as arrays."""
        return as_arrays(inputs, targets)

    def step(self, inputs: Array, targets: Array) -> list[Array]:
        """dCost/dParameter, averaged over the batch."""
        found = chain(self._arrays, self._cost, inputs, targets)
        return self._trainable(parameter_derivatives(found))

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Every derivative: one forward and one backward."""
        flat, wanted = as_arrays(inputs, targets)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # dCost/dO of a saturated cross-entropy
            found = chain(self._arrays, self._cost, flat, wanted)
            mean_cost = self._cost.value(found.Z[-1], found.O[-1], wanted).mean()
        derivatives = parameter_derivatives(found)
        return to_gradients(
            mean_cost,
            derivatives[0::2],
            derivatives[1::2],
            input_derivatives(self._arrays, found),
            inputs,
            evaluations=2,
        )
