"""Draws an MLP as SVG: weights and their gradients on the edges, outputs and neuron errors on the neurons."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from inputopt.derivatives.label_places import Box, caption
from inputopt.derivatives.network_layout import (
    MOST_NEURONS,
    RADIUS,
    captions,
    drawing_size,
    is_labelled,
    label_boxes,
    neuron_place,
    short,
)
from inputopt.derivatives.network_numbers import Numbers


def draw_network(numbers: Numbers) -> str:
    """Draw a network as an SVG that scrolls sideways where it does not fit, with its numbers as text below."""
    width, height = drawing_size(numbers)
    parts = [
        f'<div class="io-scroll" tabindex="0" role="region" aria-label="The network, scrollable">'
        f'<svg class="io-network" viewBox="0 0 {width} {height}" style="min-width:{width}px" role="img" '
        f'aria-label="{escape(_summary(numbers))}">'
    ]
    parts += [edge for layer in range(len(numbers.weights)) for edge in _edges(numbers, layer, height)]
    parts += _edge_labels(numbers, height) if is_labelled(numbers) else []
    parts += [text for column in range(len(numbers.outputs)) for text in _neurons(numbers, column, height)]
    parts.append("</svg></div>")
    return "".join(parts) + SIDEWAYS.format(width=width) + LEGEND + _table(numbers)


SIDEWAYS = (
    "<style>@container (min-width: {width}px) {{ .io-sideways {{ display: none; }} }}</style>"
    '<p class="io-legend io-sideways">⟷ The drawing is wider than the page: scroll or swipe it sideways.</p>'
)
"""A note that is shown only where the drawing is wider than its place."""


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


def _edges(numbers: Numbers, layer: int, height: float) -> list[str]:
    weights, gradients = numbers.weights[layer], numbers.weight_gradients[layer]
    widest = max(max(float(abs(each).max()) for each in numbers.weights), 1e-9)
    steepest = max(max(float(abs(each).max()) for each in numbers.weight_gradients), 1e-12)
    lines = []
    for target, row in enumerate(weights[:MOST_NEURONS]):
        for source, weight in enumerate(row[:MOST_NEURONS]):
            gradient = float(gradients[target, source])
            x1, y1 = neuron_place(layer, source, weights.shape[1], height)
            x2, y2 = neuron_place(layer + 1, target, weights.shape[0], height)
            kind = "io-positive" if weight >= 0 else "io-negative"
            title = f"weight {layer}[{target},{source}] = {weight:.6f}, dCost/dWeight = {gradient:.6f}"
            ends = f'x1="{x1}" y1="{y1:.1f}" x2="{x2}" y2="{y2:.1f}"'
            below = f'x1="{x1}" y1="{y1 + 7:.1f}" x2="{x2}" y2="{y2 + 7:.1f}"'
            lines.append(
                f'<g><title>{title}</title><line {ends} class="{kind}" '
                f'stroke-width="{1 + 5 * abs(float(weight)) / widest:.2f}"/><line {below} class="io-gradient" '
                f'stroke-width="{0.4 + 3 * abs(gradient) / steepest:.2f}"/></g>'
            )
    return lines


def _edge_labels(numbers: Numbers, height: float) -> list[str]:
    parts = []
    for (layer, target, source), box in label_boxes(numbers, height)[0].items():
        weight = float(numbers.weights[layer][target, source])
        gradient = short(float(numbers.weight_gradients[layer][target, source]))
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        parts.append(
            f'<g><rect x="{box.left:.1f}" y="{box.top:.1f}" width="54" height="28" rx="4" class="io-label"/>'
            f'<text x="{x:.1f}" y="{y - 3:.1f}" text-anchor="middle">{weight:.3f}</text>'
            f'<text x="{x:.1f}" y="{y + 10:.1f}" text-anchor="middle" class="io-gradient-text">{gradient}</text></g>'
        )
    return parts


def _neurons(numbers: Numbers, column: int, height: float) -> list[str]:
    values, parts = numbers.outputs[column], []
    for neuron, value in enumerate(values[:MOST_NEURONS]):
        x, y = neuron_place(column, neuron, len(values), height)
        note, error = captions(numbers, column, neuron)
        parts.append(
            f"{_backing(caption(x, y - RADIUS - 5, note))}{_backing(caption(x, y + RADIUS + 13, error))}"
            f'<circle cx="{x}" cy="{y:.1f}" r="{RADIUS}" class="io-neuron"/>'
            f'<text x="{x}" y="{y + 4:.1f}" text-anchor="middle" class="io-output">{float(value):.3f}</text>'
            f'<text x="{x}" y="{y - RADIUS - 5:.1f}" text-anchor="middle">{note}</text>'
            f'<text x="{x}" y="{y + RADIUS + 13:.1f}" text-anchor="middle" class="io-gradient-text">{error}</text>'
        )
    if len(values) > MOST_NEURONS:
        x, _ = neuron_place(column, 0, 1, height)
        note = f"and {len(values) - MOST_NEURONS} more"
        parts.append(f'<text x="{x}" y="{height - 4}" text-anchor="middle">{note}</text>')
    return parts


def _backing(box: Box) -> str:
    """A rectangle behind a caption, so that no edge crosses its text."""
    size = f'width="{box.right - box.left:.1f}" height="{box.bottom - box.top:.1f}"'
    return f'<rect x="{box.left:.1f}" y="{box.top:.1f}" {size} rx="3" class="io-backing"/>'


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


def layer_names(sizes: Sequence[int]) -> list[str]:
    """Names of the layers of weights, for the charts.

    >>> layer_names([2, 3, 1])
    ['layer 1', 'layer 2']
    """
    return [f"layer {number}" for number in range(1, len(sizes))]
