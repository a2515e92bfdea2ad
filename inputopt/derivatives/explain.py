"""A printed derivation of one training step with all numbers, in the style of the reference document's examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from inputopt import checks
from inputopt.derivatives.backprop import Chain, chain, input_derivatives, parameter_derivatives
from inputopt.derivatives.gradient_methods import check_batch
from inputopt.derivatives.network_figure import network_figure
from inputopt.derivatives.network_numbers import Numbers, numbers_of
from inputopt.derivatives.plain import check_plain, in_single_precision
from inputopt.derivatives.record import as_arrays
from inputopt.nets.activations import Array
from inputopt.nets.arrays import Arrays, arrays
from inputopt.nets.costs import Cost, CostName, find_cost
from inputopt.nets.default_modes import default_modes
from inputopt.nets.mlp import MLP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS = 400


class Explanation(str):
    """The derivation of one training step: its text, which `print` shows, and the numbers of each row of the inputs.

    Attributes:
        numbers: weights, outputs, neuron errors and gradients by row of the inputs, before the update.

    >>> text = explain(MLP([2, 1], seed=0), [[0.5, 1.0]], [[1.0]])
    >>> text.splitlines()[0]
    'ROW 1 of the inputs: 0.5, 1; target 1'
    >>> text.numbers[0].weight_gradients[0].shape
    (1, 2)
    """

    numbers: tuple[Numbers, ...]

    def __new__(cls, text: str, numbers: tuple[Numbers, ...] = ()) -> Explanation:
        made = super().__new__(cls, text)
        made.numbers = numbers
        return made

    def figure(self, row: int = 0) -> Figure:
        """A drawing of the network with its numbers at one row of the inputs, before the update.

        On an edge are its weight and below it dCost/dWeight of this row's cost, in a neuron its output, above it its
        bias, and below it its neuron error. Networks with more than 16 edges between two layers are drawn without the
        numbers of the edges, and layers of more than 16 neurons with the first 16.

        Args:
            row: the position of the example in the inputs, from 0.

        Returns:
            A matplotlib figure; `figure.savefig("network.png")` saves it.

        Raises:
            ValueError, TypeError: not a position in the inputs.
        """
        if checks.whole("row", row, least=0) >= len(self.numbers):
            raise ValueError(f"row must lie in 0..{len(self.numbers) - 1}, not {row}.")
        return network_figure(self.numbers[row])


@default_modes()
def explain(net: MLP, inputs: Any, targets: Any, cost: CostName = "mse", learning_rate: float = 0.5) -> Explanation:
    """Return the derivation of one training step of a small network: forward, backward and update.

    The result is text; its `figure` draws the network with its numbers.

    Args:
        net: the network; it is not changed.
        inputs: numbers [B, ...] of few examples: a tensor, an array or nested lists.
        targets: numbers [B, n], or class indices [B] for cross-entropy on identity outputs.
        cost: "mse" or "cross_entropy".
        learning_rate: learning rate of the update.

    Raises:
        ValueError, TypeError: not a plain MLP of up to 400 weights and biases, or inputs and targets that do not fit.
    """
    rate = checks.positive("learning_rate", learning_rate)
    net = in_single_precision(check_plain(net))
    count = sum(value.numel() for value in net.parameters())
    if count > MOST_NUMBERS:
        raise ValueError(
            f"A network of {count} weights and biases is too large to explain; use one of up to {MOST_NUMBERS}."
        )
    resolved = find_cost(cost, net.output)
    flat, wanted = as_arrays(*check_batch(net, resolved, inputs, targets))
    net_arrays = arrays(net)
    with np.errstate(all="ignore"):
        found = chain(net_arrays, resolved, flat, wanted)
        lines = [
            line for example in range(len(flat)) for line in _example(net_arrays, resolved, found, wanted, example)
        ]
        lines += _update(net, net_arrays, found, rate)
        numbers = numbers_of(net_arrays, resolved, found, wanted)
    return Explanation("\n".join(lines) + "\n", numbers)


def _example(net: Arrays, cost: Cost, found: Chain, targets: Array, example: int) -> Iterator[str]:
    target = np.atleast_1d(targets[example])
    yield f"ROW {example + 1} of the inputs: {_list(found.O[0][example])}; target {_list(target)}"
    yield ""
    for layer in range(len(net.weights)):
        yield from _forward(net, found, layer, example)
    row = slice(example, example + 1)
    cost_now = float(cost.value(found.Z[-1][row], found.O[-1][row], targets[row])[0])
    yield f"cost ({cost.name}) = {cost.formula} = {_result(cost_now)}"
    yield ""
    for layer in reversed(range(len(net.weights))):
        yield from _backward(net, cost, found, target, layer, example)
    yield from _inputs(net, found, example)
    yield ""


def _forward(net: Arrays, found: Chain, layer: int, example: int) -> Iterator[str]:
    yield f"Layer {layer + 1}, forward"
    inputs = found.O[layer][example]
    for neuron, weights in enumerate(net.weights[layer]):
        terms = [f"{_operand(weight)} x {_operand(value)}" for weight, value in zip(weights, inputs, strict=True)]
        Z, O = found.Z[layer][example, neuron], found.O[layer + 1][example, neuron]
        yield f"  neuron {neuron}: Z = bias + weights x inputs"
        yield f"             = {_operand(net.biases[layer][neuron])} + {' + '.join(terms)} = {_result(Z)}"
        formula = net.activations[layer].formula
        yield f"            O = {_substituted(formula, Z=Z)} = {_result(O)}"
    yield ""


def _backward(net: Arrays, cost: Cost, found: Chain, target: Array, layer: int, example: int) -> Iterator[str]:
    yield f"Layer {layer + 1}, backward"
    last = layer == len(net.weights) - 1
    slope_formula = net.activations[layer].slope_formula
    for neuron in range(len(net.weights[layer])):
        Z, O = found.Z[layer][example, neuron], found.O[layer + 1][example, neuron]
        dO, slope = found.dCost_dO[layer][example, neuron], found.dO_dZ[layer][example, neuron]
        neuron_error = found.neuron_errors[layer][example, neuron]
        if last:
            wanted = target[0] if cost.class_targets else target[neuron]
            expression = _substituted(cost.slope_formula, O=O, T=wanted)
        else:
            expression = _sum_of_errors(net, found, layer + 1, neuron, example)
        yield f"  neuron {neuron}: dCost/dO = {expression} = {_result(dO)}"
        yield f"            dO/dZ = {_substituted(slope_formula, Z=Z, O=O)} = {_result(slope)}"
        if last and cost.neuron_error is not None:
            yield f"            neuron error = dCost/dO x dO/dZ, which cancels to O - T = {_result(neuron_error)}"
        else:
            product = f"{_operand(dO)} x {_operand(slope)}"
            yield f"            neuron error = dCost/dO x dO/dZ = {product} = {_result(neuron_error)}"
        for source, value in enumerate(found.O[layer][example]):
            product = f"{_operand(neuron_error)} x {_operand(value)}"
            derivative = _result(neuron_error * value)
            yield f"            dCost/dWeight {source} = neuron error x input {source} = {product} = {derivative}"
        yield f"            dCost/dBias = neuron error = {_result(neuron_error)}"
    yield ""


def _inputs(net: Arrays, found: Chain, example: int) -> Iterator[str]:
    yield "Inputs"
    derivatives = input_derivatives(net, found)[example]
    for source, derivative in enumerate(derivatives):
        yield f"  dCost/dInput {source} = {_sum_of_errors(net, found, 0, source, example)} = {_result(derivative)}"


def _sum_of_errors(net: Arrays, found: Chain, layer: int, source: int, example: int) -> str:
    """Format the sum of the neuron errors of `layer` x their weights from neuron `source`."""
    pairs = zip(found.neuron_errors[layer][example], net.weights[layer][:, source], strict=True)
    return "sum of neuron error x weight = " + " + ".join(f"{_operand(error)} x {_operand(w)}" for error, w in pairs)


def _update(mlp: MLP, net: Arrays, found: Chain, rate: float) -> Iterator[str]:
    examples = len(found.O[0])
    averaged = f", each derivative averaged over the {examples} rows" if examples > 1 else ""
    yield f"UPDATE: parameter -= learning rate x derivative{averaged}"
    derivatives = parameter_derivatives(found)
    for layer, (weights, biases) in enumerate(zip(net.weights, net.biases, strict=True)):
        d_weights, d_biases = derivatives[2 * layer], derivatives[2 * layer + 1]
        for neuron in range(len(weights)):
            for source, weight in enumerate(weights[neuron] if mlp.weights[layer].requires_grad else []):
                yield _update_line(
                    f"layer {layer + 1} neuron {neuron} weight {source}", weight, rate, d_weights[neuron, source]
                )
            if mlp.biases[layer].requires_grad:
                yield _update_line(f"layer {layer + 1} neuron {neuron} bias", biases[neuron], rate, d_biases[neuron])


def _update_line(what: str, value: float, rate: float, derivative: float) -> str:
    return f"  {what}: {_operand(value)} - {rate:g} x {_operand(derivative)} = {_result(value - rate * derivative)}"


def _substituted(formula: str, **values: float) -> str:
    """Return "formula = formula with numbers"; only the formula if it is one letter or has no letters to replace."""
    numbers = re.sub(r"\b[ZOT]\b", lambda letter: _operand(values[letter.group()]), formula)
    return formula if len(formula) == 1 or numbers == formula else f"{formula} = {numbers}"


def _operand(value: float) -> str:
    """Format a number inside a formula, with brackets if it is negative."""
    text = _result(value)
    return f"({text})" if text.startswith("-") else text


def _result(value: float) -> str:
    """Format a number with six decimals."""
    return f"{float(value):.6f}"


def _list(values: Array) -> str:
    return ", ".join(f"{float(value):g}" for value in values)
