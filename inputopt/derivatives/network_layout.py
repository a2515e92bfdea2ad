"""Where a drawing of a network has its neurons, the labels of its edges and its captions, and what these say.

The units are points of a figure and pixels of a page; y grows downwards.
"""

from __future__ import annotations

from inputopt.derivatives.label_places import Box, caption, centred, label_place
from inputopt.derivatives.network_numbers import Numbers

STEP = 225
"""Distance between the columns of neurons."""

ROW = 160
"""Distance between the neurons of a column."""

RADIUS = 25
MOST_LABELS = 16
"""Networks with more edges between two layers are drawn without numbers on them, which would cover each other."""

MOST_NEURONS = 16
"""Neurons drawn per layer; the others are counted in a note."""


def drawing_size(numbers: Numbers) -> tuple[int, int]:
    """Width and height of the drawing."""
    sizes = [len(values) for values in numbers.outputs]
    return STEP * (len(sizes) - 1) + 190, ROW * max(min(size, MOST_NEURONS) for size in sizes) + 6


def is_labelled(numbers: Numbers) -> bool:
    """Whether the edges are few enough for numbers on them."""
    return all(weights.size <= MOST_LABELS for weights in numbers.weights)


def neuron_place(column: int, neuron: int, count: int, height: float) -> tuple[float, float]:
    """Centre of a neuron."""
    count = min(count, MOST_NEURONS)
    return 90 + column * STEP, height / 2 + (neuron - (count - 1) / 2) * ROW


def label_boxes(numbers: Numbers, height: float) -> tuple[dict[tuple[int, int, int], Box], list[Box]]:
    """The boxes of the edges' labels, by (layer, target, source), and those of the neurons and their captions."""
    taken = []
    for column, values in enumerate(numbers.outputs):
        for neuron in range(min(len(values), MOST_NEURONS)):
            x, y = neuron_place(column, neuron, len(values), height)
            above, below = captions(numbers, column, neuron)
            taken += [centred(x, y, 2 * RADIUS, 2 * RADIUS)]
            taken += [caption(x, y - RADIUS - 5, above), caption(x, y + RADIUS + 13, below)]
    labels: dict[tuple[int, int, int], Box] = {}
    for layer, weights in enumerate(numbers.weights):
        for target in range(min(len(weights), MOST_NEURONS)):
            for source in range(min(weights.shape[1], MOST_NEURONS)):
                start = neuron_place(layer, source, weights.shape[1], height)
                end = neuron_place(layer + 1, target, weights.shape[0], height)
                # crossing edges have theirs at one end or the other in turn
                preferred = 0.5 if start[1] == end[1] else (0.32, 0.68)[(source + target) % 2]
                labels[layer, target, source] = label_place(start, end, preferred, [*taken, *labels.values()])
    return labels, taken


def captions(numbers: Numbers, column: int, neuron: int) -> tuple[str, str]:
    """The texts above and below a neuron."""
    if not column:
        return f"input {neuron}", f"dC/dI {short(float(numbers.input_gradient[neuron]))}"
    error = f"error {short(float(numbers.neuron_errors[column - 1][neuron]))}"
    bias = f"bias {float(numbers.biases[column - 1][neuron]):.3f}"
    last = column == len(numbers.outputs) - 1
    return f"{bias}, target {float(numbers.targets[neuron]):g}" if last else bias, error


def short(value: float) -> str:
    """A gradient in few characters.

    >>> short(0.138499), short(-0.000012), short(0.0)
    ('0.1385', '-1.2e-05', '0')
    """
    return f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.4f}" if value else "0"
