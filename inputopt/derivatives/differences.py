"""Finite differences: nudge one number, run the network again, and see what the cost did.

One-sided as in the document, (C(w + h) - C(w)) / h, or central, (C(w + h) - C(w - h)) / 2h, whose mistake shrinks with
h^2 instead of h. The nudged copies of the network are run as one population, many in one call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from inputopt.derivatives.record import Gradients, as_arrays, in_turn, to_gradients, trainable
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays, forward
from inputopt.nets.costs import Cost
from inputopt.nets.mlp import MLP

NUMBERS_AT_ONCE = 4_000_000  # of a population of networks: bounds the memory


class Differences:
    """Finite differences as a way to train.

    Args:
        net: the network.
        cost: the cost.
        central: two-sided differences; one-sided as in the document if false.
    """

    def __init__(self, net: MLP, cost: Cost, central: bool = True) -> None:
        self._arrays, self._cost, self._central, self._trainable = arrays(net), cost, central, trainable(net)
        self._values = in_turn(self._arrays.weights, self._arrays.biases)
        self.parameters = self._trainable(self._values)
        self._count = sum(value.size for value in self._values)
        self.evaluations = 2 * self._count if central else 1 + self._count
        # the nudge that balances the error of the formula against that of rounding
        self._nudge = float(np.finfo(self._values[0].dtype).eps) ** (1 / 3 if central else 1 / 2)

    def native(self, inputs: Tensor, targets: Tensor) -> tuple[Array, Array]:
        """The batch as arrays."""
        return as_arrays(inputs, targets)

    def step(self, inputs: Array, targets: Array) -> list[Array]:
        """dCost/dParameter, averaged over the batch."""
        here = 0.0 if self._central else self._costs(self._arrays, inputs, targets).mean()
        every = range(len(self._values))
        return self._trainable([self._by_parameter(index, here, inputs, targets) for index in every])

    def repeated(self, inputs: Array, targets: Array) -> Callable[[], list[Array]]:
        """The same each time."""
        return functools.partial(self.step, inputs, targets)

    def report(self, inputs: Tensor, targets: Tensor) -> Gradients:
        """Every derivative; one evaluation, and one more for each nudge."""
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
        """The cost of each example, [B], or of each network of a population and each example, [K, B]."""
        with np.errstate(over="ignore"):
            Z, O = forward(net, inputs)
            return self._cost.value(Z[-1], O[-1], targets)

    def _slope(self, here: Array | float, above: Array, below: Array | None, nudge: Array) -> Array:
        return (above - here) / nudge if below is None else (above - below) / (2 * nudge)

    def _by_parameter(self, index: int, here: Array | float, inputs: Array, targets: Array) -> Array:
        value = self._values[index]
        flat = value.ravel()
        nudge = self._nudge * np.maximum(1, np.abs(flat))
        slopes = np.empty_like(flat)
        for part in _parts(flat.size, self._numbers(len(inputs)) + flat.size):
            above = self._nudged(index, part, nudge, inputs, targets)
            below = self._nudged(index, part, -nudge, inputs, targets) if self._central else None
            slopes[part] = self._slope(here, above, below, nudge[part])
        return slopes.reshape(value.shape)

    def _nudged(self, index: int, part: slice, nudge: Array, inputs: Array, targets: Array) -> Array:
        """The mean cost of each network in which one number of parameter `index` was nudged."""
        value = self._values[index]
        numbers = np.arange(value.size)[part]
        population = np.repeat(value.reshape(1, -1), len(numbers), axis=0)
        population[np.arange(len(numbers)), numbers] += nudge[part]
        shape = value.shape if value.ndim == 2 else (1, value.size)
        values = list(self._values)
        values[index] = population.reshape(len(numbers), *shape)
        return self._costs(Arrays(values[0::2], values[1::2], self._arrays.activations), inputs, targets).mean(-1)

    def _by_input(self, here: Array, inputs: Array, targets: Array) -> Array:
        """dCost/dInput of each example, [B, n]; feature k is nudged in every example at once."""
        features = inputs.shape[1]
        nudge = self._nudge * np.maximum(1, np.abs(inputs))
        slopes = np.empty_like(inputs)
        for part in _parts(features, self._numbers(len(inputs))):
            moves = nudge.T[part, :, None] * np.eye(features, dtype=inputs.dtype)[part, None, :]
            above = self._costs(self._arrays, inputs + moves, targets)
            below = self._costs(self._arrays, inputs - moves, targets) if self._central else None
            slopes[:, part] = self._slope(here, above, below, nudge.T[part]).T
        return slopes

    def _numbers(self, examples: int) -> int:
        """How many numbers one evaluation of one network holds."""
        return examples * sum(sum(weight.shape) for weight in self._arrays.weights)


def _parts(total: int, each: int) -> Iterator[slice]:
    size = max(1, NUMBERS_AT_ONCE // each)
    return (slice(start, start + size) for start in range(0, total, size))
