"""Draws an MLP as SVG: weights and their gradients on the edges, outputs and neuron errors on the neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from inputopt.nets.activations import Array

STEP = 225
"""Distance between the columns of neurons."""

ROW = 160
"""Distance between the neurons of a column."""

RADIUS = 25
MOST_LABELS = 26
"""Networks with more edges are drawn without numbers on them; pointing at an edge shows its numbers."""

MOST_NEURONS = 16
"""Neurons drawn per layer; the others are counted in a note."""


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
        targets: the target outputs, [n_L].
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


def draw_network(numbers: Numbers) -> str:
    """Draw a network as an SVG that scrolls sideways where it does not fit, with its numbers as text below."""
    sizes = [len(values) for values in numbers.outputs]
    rows = max(min(size, MOST_NEURONS) for size in sizes)
    width, height = STEP * (len(sizes) - 1) + 190, ROW * rows + 6
    labelled = sum(a * b for a, b in pairwise(sizes)) <= MOST_LABELS
    parts = [
        f'<div class="io-scroll" tabindex="0" role="region" aria-label="The network, scrollable">'
        f'<svg class="io-network" viewBox="0 0 {width} {height}" style="min-width:{min(width, 560)}px" role="img" '
        f'aria-label="{escape(_summary(numbers))}">'
    ]
    layers = range(len(numbers.weights))
    parts += [edge for layer in layers for edge in _edges(numbers, layer, height, labelled)]
    parts += [text for column in range(len(sizes)) for text in _neurons(numbers, column, height)]
    parts.append("</svg></div>")
    return "".join(parts) + LEGEND + _table(numbers)


LEGEND = (
    '<p class="io-legend"><span class="io-positive">━ weight above 0</span> '
    '<span class="io-negative">━ weight below 0</span> <span>(thicker: larger)</span> '
    '<span class="io-gradient">┅ size of dCost/dWeight</span> '
    "<span>on an edge: weight, below it dCost/dWeight</span></p>"
)


def _summary(numbers: Numbers) -> str:
    sizes = ", ".join(str(len(values)) for values in numbers.outputs)
    outputs = ", ".join(f"{value:.4f}" for value in numbers.outputs[-1])
    return f"Network of {sizes} neurons; outputs {outputs}; cost {numbers.cost:.6f}; all numbers are in the table below"


def _place(column: int, neuron: int, count: int, height: float) -> tuple[float, float]:
    """Centre of a neuron."""
    count = min(count, MOST_NEURONS)
    return 90 + column * STEP, height / 2 + (neuron - (count - 1) / 2) * ROW


def _edges(numbers: Numbers, layer: int, height: float, labelled: bool) -> list[str]:
    weights, gradients = numbers.weights[layer], numbers.weight_gradients[layer]
    widest = max(max(float(abs(each).max()) for each in numbers.weights), 1e-9)
    steepest = max(max(float(abs(each).max()) for each in numbers.weight_gradients), 1e-12)
    lines, labels = [], []
    for target, row in enumerate(weights[:MOST_NEURONS]):
        for source, weight in enumerate(row[:MOST_NEURONS]):
            gradient = float(gradients[target, source])
            x1, y1 = _place(layer, source, weights.shape[1], height)
            x2, y2 = _place(layer + 1, target, weights.shape[0], height)
            kind = "io-positive" if weight >= 0 else "io-negative"
            title = f"weight {layer}[{target},{source}] = {weight:.6f}, dCost/dWeight = {gradient:.6f}"
            ends = f'x1="{x1}" y1="{y1:.1f}" x2="{x2}" y2="{y2:.1f}"'
            below = f'x1="{x1}" y1="{y1 + 7:.1f}" x2="{x2}" y2="{y2 + 7:.1f}"'
            lines.append(
                f'<g><title>{title}</title><line {ends} class="{kind}" '
                f'stroke-width="{1 + 5 * abs(float(weight)) / widest:.2f}"/><line {below} class="io-gradient" '
                f'stroke-width="{0.4 + 3 * abs(gradient) / steepest:.2f}"/></g>'
            )
            if labelled:
                labels.append(_edge_label(x1, y1, x2, y2, float(weight), gradient, source + target))
    return [*lines, *labels]


def _edge_label(x1: float, y1: float, x2: float, y2: float, weight: float, gradient: float, number: int) -> str:
    """The numbers of an edge, nearer to one end or the other in turn, so that crossing edges keep theirs apart."""
    share = 0.5 if y1 == y2 else (0.32, 0.68)[number % 2]
    x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)
    return (
        f'<g><rect x="{x - 27:.1f}" y="{y - 15:.1f}" width="54" height="28" rx="4" class="io-label"/>'
        f'<text x="{x:.1f}" y="{y - 4:.1f}" text-anchor="middle">{weight:.3f}</text>'
        f'<text x="{x:.1f}" y="{y + 9:.1f}" text-anchor="middle" class="io-gradient-text">{_short(gradient)}</text></g>'
    )


def _neurons(numbers: Numbers, column: int, height: float) -> list[str]:
    values, parts = numbers.outputs[column], []
    last = column == len(numbers.outputs) - 1
    for neuron, value in enumerate(values[:MOST_NEURONS]):
        x, y = _place(column, neuron, len(values), height)
        if column:
            error = f"error {_short(float(numbers.neuron_errors[column - 1][neuron]))}"
            bias = f"bias {float(numbers.biases[column - 1][neuron]):.3f}"
            note = f"{bias}, target {float(numbers.targets[neuron]):g}" if last else bias
        else:
            error, note = f"dC/dI {_short(float(numbers.input_gradient[neuron]))}", f"input {neuron}"
        parts.append(
            f'<circle cx="{x}" cy="{y:.1f}" r="{RADIUS}" class="io-neuron"/>'
            f'<text x="{x}" y="{y + 4:.1f}" text-anchor="middle" class="io-output">{float(value):.3f}</text>'
            f'<text x="{x}" y="{y - RADIUS - 5:.1f}" text-anchor="middle">{note}</text>'
            f'<text x="{x}" y="{y + RADIUS + 13:.1f}" text-anchor="middle" class="io-gradient-text">{error}</text>'
        )
    if len(values) > MOST_NEURONS:
        x, _ = _place(column, 0, 1, height)
        note = f"and {len(values) - MOST_NEURONS} more"
        parts.append(f'<text x="{x}" y="{height - 4}" text-anchor="middle">{note}</text>')
    return parts


def _table(numbers: Numbers) -> str:
    """All numbers as a table, folded away."""
    rows: list[tuple[str, float, float | None]] = [("cost", numbers.cost, None)]
    rows += [
        (f"input {place}", float(value), float(numbers.input_gradient[place]))
        for place, value in enumerate(numbers.outputs[0][:MOST_NEURONS])
    ]
    for layer, weights in enumerate(numbers.weights):
        for target in range(min(len(weights), MOST_NEURONS)):
            rows += [
                (f"weight {layer}[{target},{source}]", float(weights[target, source]), float(gradient))
                for source, gradient in enumerate(numbers.weight_gradients[layer][target][:MOST_NEURONS])
            ]
            error = float(numbers.neuron_errors[layer][target])
            rows.append((f"bias {layer}[{target}], neuron error", float(numbers.biases[layer][target]), error))
            rows.append((f"output {layer}[{target}]", float(numbers.outputs[layer + 1][target]), None))
    lines = [
        f"<tr><th scope='row'>{name}</th><td>{value:.6f}</td><td>{'' if slope is None else f'{slope:.6f}'}</td></tr>"
        for name, value, slope in rows
    ]
    head = "<tr><th scope='col'>number</th><th scope='col'>value</th><th scope='col'>dCost/d(number)</th></tr>"
    return (
        f"<details class='io-details'><summary>All numbers as a table</summary><div class='io-scroll' tabindex='0'>"
        f"<table class='io-table'><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def _short(value: float) -> str:
    """A gradient in few characters.

    >>> _short(0.138499), _short(-0.000012), _short(0.0)
    ('0.1385', '-1.2e-05', '0')
    """
    return f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.4f}" if value else "0"


def layer_names(sizes: Sequence[int]) -> list[str]:
    """Names of the layers of weights, for the charts.

    >>> layer_names([2, 3, 1])
    ['layer 1', 'layer 2']
    """
    return [f"layer {number}" for number in range(1, len(sizes))]
