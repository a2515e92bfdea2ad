"""Finite differences: change one number by a small step h, run the network again, and divide the change in cost by h.

One-sided as in the reference document, (C(w + h) - C(w)) / h, or central, (C(w + h) - C(w - h)) / 2h, with an error of
order h^2 instead of h. The perturbed copies of the network are evaluated as a population, many in one call.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from inputopt.derivatives.record import Gradients, as_arrays, interleaved, to_gradients, trainable
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP

NUMBERS_AT_ONCE = 4_000_000  # numbers per call of a population of networks: limits the memory


class Differences:
    """Differentiation by finite differences (see `record.Way`).

    Args:
        net: the network.
        cost: the cost.
        central: whether to use central differences; otherwise one-sided ones.
    """

    def __init__(self, net: MLP, cost: Cost, central: bool = True) -> None:
        self._arrays, self._cost, self._central, self._trainable = arrays(net), cost, central, trainable(net)
        self._values = interleaved(self._arrays.weights, self._arrays.biases)
        self.parameters = self._trainable(self._values)
        self._count = sum(value.size for value in self._values)
        self.evaluations = 2 * self._count if central else 1 + self._count
        # the step size that balances truncation error against rounding error
        self._nudge = float(np.finfo(self._values[0].dtype).eps) ** (1 / 3 if central else 1 / 2)

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
        """Return the batch as arrays."""
        return as_arrays(inputs, targets)

    def step(self, inputs: Array, targets: Array) -> list[Array]:
        """Return dCost/dParameter averaged over the batch."""
        base_cost = 0.0 if self._central else self._costs(self._arrays, inputs, targets).mean()
        indices = range(len(self._values))
        return self._trainable([self._by_parameter(index, base_cost, inputs, targets) for index in indices])

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Return all gradients by one evaluation at the point itself and one per perturbed number and side."""
        flat, wanted = as_arrays(inputs, targets)
        costs = self._costs(self._arrays, flat, wanted)
        found = [self._by_parameter(index, costs.mean(), flat, wanted) for index in range(len(self._values))]
        variables = self._count + flat.shape[1]
        return to_gradients(
            costs.mean(),
            found[0::2],
            found[1::2],
            self._by_input(costs, flat, wanted),
            inputs,
            evaluations=1 + variables * (1 + self._central),
        )

    def _costs(self, net: Arrays, inputs: Array, targets: Array) -> Array:
        """Return the cost of each example, [B]; for a population of K networks [K, B]."""
        with np.errstate(over="ignore"):
            Z, O = forward(net, inputs)
            return self._cost.value(Z[-1], O[-1], targets)

    def _slope(self, base_cost: Array | float, cost_above: Array, cost_below: Array | None, nudge: Array) -> Array:
        return (cost_above - base_cost) / nudge if cost_below is None else (cost_above - cost_below) / (2 * nudge)

    def _by_parameter(self, index: int, base_cost: Array | float, inputs: Array, targets: Array) -> Array:
        value = self._values[index]
        flat = value.ravel()
        nudge = self._nudge * np.maximum(1, np.abs(flat))
        slopes = np.empty_like(flat)
        for chunk in _chunks(flat.size, self._numbers(len(inputs)) + flat.size):
            cost_above = self._perturbed_costs(index, chunk, nudge, inputs, targets)
            cost_below = self._perturbed_costs(index, chunk, -nudge, inputs, targets) if self._central else None
            slopes[chunk] = self._slope(base_cost, cost_above, cost_below, nudge[chunk])
        return slopes.reshape(value.shape)

    def _perturbed_costs(self, index: int, chunk: slice, nudge: Array, inputs: Array, targets: Array) -> Array:
        """Return the mean cost of each network with one perturbed number of parameter `index`."""
        value = self._values[index]
        numbers = np.arange(value.size)[chunk]
        population = np.repeat(value.reshape(1, -1), len(numbers), axis=0)
        population[np.arange(len(numbers)), numbers] += nudge[chunk]
        shape = value.shape if value.ndim == 2 else (1, value.size)
        values = list(self._values)
        values[index] = population.reshape(len(numbers), *shape)
        return self._costs(Arrays(values[0::2], values[1::2], self._arrays.activations), inputs, targets).mean(-1)

    def _by_input(self, base_cost: Array, inputs: Array, targets: Array) -> Array:
        """Return dCost/dInput of each example, [B, n]; feature k is perturbed in all examples at once."""
        features = inputs.shape[1]
        nudge = self._nudge * np.maximum(1, np.abs(inputs))
        slopes = np.empty_like(inputs)
        for chunk in _chunks(features, self._numbers(len(inputs))):
            offsets = nudge.T[chunk, :, None] * np.eye(features, dtype=inputs.dtype)[chunk, None, :]
            cost_above = self._costs(self._arrays, inputs + offsets, targets)
            cost_below = self._costs(self._arrays, inputs - offsets, targets) if self._central else None
            slopes[:, chunk] = self._slope(base_cost, cost_above, cost_below, nudge.T[chunk]).T
        return slopes

    def _numbers(self, examples: int) -> int:
        """Return how many numbers one evaluation of one network holds."""
        return examples * sum(sum(weight.shape) for weight in self._arrays.weights)


def _chunks(total: int, each: int) -> Iterator[slice]:
    size = max(1, NUMBERS_AT_ONCE // each)
    return (slice(start, start + size) for start in range(0, total, size))
