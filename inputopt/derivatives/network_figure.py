"""A drawing of a network as a matplotlib figure, with weights, outputs, neuron errors and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from inputopt.files import blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 72
"""Units of the layout in an inch."""

MARGIN = 34
"""Height of the lines above and below the network."""

POSITIVE, NEGATIVE, NEURON, GRADIENT = "#3b82c4", "#c2413b", "#e8eef5", "#b45309"
BACKING = {"facecolor": "white", "edgecolor": "none", "pad": 1}
"""Behind texts, so that no edge crosses them."""


def network_figure(numbers: Numbers) -> Figure:
    """Draw a network with its numbers at one input; texts have a size that is readable at the figure's own size."""
    width, height = drawing_size(numbers)
    figure = blank_figure(figsize=(width / POINTS, (height + 2 * MARGIN) / POINTS))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height + MARGIN, -MARGIN))
    axes.set_axis_off()
    for layer in range(len(numbers.weights)):
        _draw_edges(axes, numbers, layer, height)
    if is_labelled(numbers):
        _draw_labels(axes, numbers, height)
    for column in range(len(numbers.outputs)):
        _draw_neurons(axes, numbers, column, height)
    axes.text(width / 2, -MARGIN / 2, f"cost {numbers.cost:.6f}", ha="center", va="center", fontsize=11)
    _draw_legend(axes, width, height + MARGIN / 2, is_labelled(numbers))
    return figure


def _draw_edges(axes: Axes, numbers: Numbers, layer: int, height: float) -> None:
    weights = numbers.weights[layer]
    widest = max(max(float(abs(each).max()) for each in numbers.weights), 1e-9)
    for target, row in enumerate(weights[:MOST_NEURONS]):
        for source, weight in enumerate(row[:MOST_NEURONS]):
            start = neuron_place(layer, source, weights.shape[1], height)
            end = neuron_place(layer + 1, target, weights.shape[0], height)
            colour = POSITIVE if weight >= 0 else NEGATIVE
            axes.plot(*zip(start, end, strict=True), color=colour, linewidth=0.5 + 4 * abs(float(weight)) / widest)


def _draw_labels(axes: Axes, numbers: Numbers, height: float) -> None:
    for (layer, target, source), box in label_boxes(numbers, height)[0].items():
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        gradient = short(float(numbers.weight_gradients[layer][target, source]))
        axes.plot([x, x], [y - 8, y + 8], color="white", linewidth=box.right - box.left - 12, solid_capstyle="butt")
        _text(axes, x, y - 6, f"{float(numbers.weights[layer][target, source]):.3f}")
        _text(axes, x, y + 6, gradient, GRADIENT)


def _draw_neurons(axes: Axes, numbers: Numbers, column: int, height: float) -> None:
    values = numbers.outputs[column]
    for neuron, value in enumerate(values[:MOST_NEURONS]):
        x, y = neuron_place(column, neuron, len(values), height)
        above, below = captions(numbers, column, neuron)
        axes.plot([x], [y], "o", markersize=2 * RADIUS, markerfacecolor=NEURON, markeredgecolor="black", zorder=3)
        axes.text(x, y, f"{float(value):.3f}", ha="center", va="center", fontsize=10, fontweight="bold", zorder=4)
        _text(axes, x, y - RADIUS - 9, above)
        _text(axes, x, y + RADIUS + 9, below, GRADIENT)
    if len(values) > MOST_NEURONS:
        _text(axes, neuron_place(column, 0, 1, height)[0], height - 4, f"and {len(values) - MOST_NEURONS} more")


def _draw_legend(axes: Axes, width: float, y: float, labelled: bool) -> None:
    """Say below the network what its lines and numbers are."""
    on_edges = "on an edge: weight, below it dCost/dWeight;\n" if labelled else ""
    text = f"edges: blue above 0, red below 0; {on_edges}in a neuron: its output, below it its neuron error, dCost/dZ"
    axes.text(width / 2, y, text, ha="center", va="center", fontsize=8)


def _text(axes: Axes, x: float, y: float, text: str, colour: str = "black") -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=colour, bbox=BACKING, zorder=2)
