"""The figures of the page "The story", each computed from the networks that the page tells of."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import inputopt
import numpy as np
import torch
from inputopt.document.networks import EXAMPLES, LEARNING_RATE, Example
from inputopt.nets.activations import find_activation
from inputopt.pictures.sheet import FrameRecorder
from inputopt.zoo.digits import load_digits
from matplotlib.axes import Axes
from torch import Tensor
from torch.nn import functional

from charts import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, chart


def error_curve(example: Example) -> tuple[list[int], list[float]]:
    """(updates, the error before each of them) of a training, evenly spaced on a logarithmic axis."""
    net = example.network()
    last = example.trainings - 1
    indices = sorted({int(index) for index in np.geomspace(1, last + 1, 60)} - {last + 1} | {0, last})
    errors = []
    for start, end in pairwise([*indices, example.trainings]):  # descent has no state but the weights
        history = inputopt.train(
            net,
            example.inputs,
            example.targets,
            learning_rate=LEARNING_RATE,
            steps=end - start,
            method="backprop",
        )
        errors.append(float(history.error[0]))
    return [index + 1 for index in indices], errors


def neuron(folder: Path) -> None:
    """The sigmoid and its slope, with the warm-up neuron's point."""
    Z = np.linspace(-6, 6, 200)
    sigmoid = find_activation("sigmoid")
    O = sigmoid.value(Z)
    with chart(folder, "neuron", 7, 2.9) as figure:
        axes = figure.add_subplot(xlabel="Z, the weighted input", ylabel="O, the output")
        axes.plot(Z, O, label="O = sigmoid(Z)")
        axes.plot(Z, sigmoid.slope(Z, O), "--", label="dO/dZ, at most 1/4")
        point = float(sigmoid.value(np.array([0.53]))[0])
        axes.plot([0.53], [point], "o", color=ORANGE)
        axes.annotate(f"Z 0.53, O {point:.4f}", (0.53, point), (1.1, point - 0.14))
        axes.legend(loc="upper left")


def descent(folder: Path) -> None:
    """The cost of one neuron over its weight and bias, and the path of the first updates."""
    example = EXAMPLES["1"]
    w, b = np.meshgrid(np.linspace(-3.2, 1.2, 120), np.linspace(-3.0, 1.2, 120))
    cost = 0.5 * find_activation("sigmoid").value(w + b) ** 2
    history = inputopt.train(example.network(), example.inputs, example.targets, learning_rate=0.5, steps=10_000)
    path = [(0.3, 0.5)] + [(s.details["weight"], s.details["bias"]) for s in history.samples]
    with chart(folder, "descent", 7, 3.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        drawn = left.contourf(w, b, cost, levels=14, cmap="Blues_r", alpha=0.75)
        figure.colorbar(drawn, ax=left, label="cost")
        left.plot(*zip(*path, strict=True), ".-", color=ORANGE, linewidth=1)
        left.set(xlabel="weight", ylabel="bias", title="10,000 updates, downhill")
        right.loglog(*error_curve(example), color=BLUE)
        right.set(xlabel="update", ylabel="error", title="fast, then a long tail")


def chain(folder: Path) -> None:
    """Network 4 with its outputs, weights, neuron errors and gradients."""
    example = EXAMPLES["4"]
    net = example.network()
    found = inputopt.gradients(net, example.inputs, example.targets)
    outputs, values = [], torch.tensor(example.inputs)
    with torch.no_grad():
        for layer in net.layers:
            values = layer(values)
            outputs.append(values[0].tolist())
    columns = [list(example.inputs[0]), *outputs]
    errors = [found.inputs[0].tolist(), *(each.tolist() for each in found.neuron_errors)]
    with chart(folder, "chain", 7.6, 3.9) as figure:
        axes = figure.add_subplot(xlim=(-0.4, 2.75), ylim=(-0.4, 1.45))
        axes.set_axis_off()
        for layer, weights in enumerate(found.weights):
            for row in range(2):
                for column in range(2):
                    _edge(axes, layer, row, column, net.weights[layer][row, column].item(), float(weights[row, column]))
        for x, (numbers, back) in enumerate(zip(columns, errors, strict=True)):
            for y, (number, error) in enumerate(zip(numbers, back, strict=True)):
                axes.plot([x], [1 - y], "o", markersize=34, color=(BLUE, GREEN, PURPLE)[x], alpha=0.9)
                axes.text(x, 1 - y, f"{number:.3f}", ha="center", va="center", color="white", fontsize=9)
                axes.text(x, 1.2 - y, f"{error:+.4f}", ha="center", va="bottom", color=ORANGE, fontsize=9)
        for y, (number, target) in enumerate(zip(outputs[-1], example.targets[0], strict=True)):
            axes.text(2.25, 1 - y, f"target {target}\nerror {abs(target - number):.3f}", va="center", fontsize=9)
        titles = ("input", "hidden layer", "output layer")
        for x, title in enumerate(titles):
            axes.text(x, -0.33, title, ha="center", fontsize=10)


def _edge(axes: Axes, layer: int, row: int, column: int, weight: float, gradient: float) -> None:
    start, end = np.array([layer, 1 - column]), np.array([layer + 1, 1 - row])
    axes.plot(*zip(start, end, strict=True), color=GREY, linewidth=1, zorder=0)
    at = start + (0.28 if row != column else 0.5) * (end - start)
    # beside the edge: above and below a level one, to the right of one that falls or rises
    above, below, right = {0: (4, -11, 0), 1: (4, -6, 15), -1: (-1, -11, 15)}[row - column]
    where = {"xycoords": "data", "textcoords": "offset points", "ha": "left" if right else "center"}
    axes.annotate(f"{weight:g}", at, (right, above), fontsize=8, **where)
    axes.annotate(f"{gradient:+.4f}", at, (right, below), fontsize=8, color=ORANGE, **where)


def networks(folder: Path) -> None:
    """The errors of the document's networks during training."""
    with chart(folder, "networks", 7, 3.3) as figure:
        axes = figure.add_subplot(xlabel="update", ylabel="error", title="The document's networks, learning rate 0.5")
        for name in ("1", "2", "3a", "3b", "4"):
            example = EXAMPLES[name]
            axes.loglog(*error_curve(example), label=f"{name}: {example.title}")
        axes.legend(fontsize=9)


def methods(folder: Path) -> None:
    """The error of finite differences by their step, and the evaluations that each method needs."""
    example = EXAMPLES["4"]
    net = example.network().double()
    exact = inputopt.gradients(net, example.inputs, example.targets, method="dual").weights[0][0, 0]
    steps = 10.0 ** np.linspace(-15, 0, 46)
    errors: dict[str, list[float]] = {"central": [], "one-sided": []}
    weight = net.weights[0]
    start = weight[0, 0].item()

    def cost(value: float) -> float:
        with torch.no_grad():
            weight[0, 0] = value
        return inputopt.gradients(net, example.inputs, example.targets, method="autograd").cost

    for h in steps:
        ahead, behind, here = cost(start + h), cost(start - h), cost(start)
        errors["central"].append(abs((ahead - behind) / (2 * h) - float(exact)))
        errors["one-sided"].append(abs((ahead - here) / h - float(exact)))
    counts = {
        name: inputopt.gradients(example.network(), example.inputs, example.targets, method=name).evaluations
        for name in ("backprop", "autograd", "dual", "one_sided", "differences")
    }
    with chart(folder, "methods", 7.4, 3.1) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for name, values in errors.items():
            left.loglog(steps, np.maximum(values, 1e-17), label=name)
        left.set(xlabel="step h", ylabel="error of the derivative", title="finite differences, float64")
        left.legend(fontsize=9)
        right.barh(list(counts), list(counts.values()), color=BLUE)
        right.bar_label(right.containers[0], padding=3)
        right.set(xlabel="network evaluations", title="price of one gradient")
        right.margins(x=0.15)


def unstable(folder: Path) -> None:
    """The gradient norm of each layer before the first update, in networks of several depths."""
    digits = load_digits()
    x, y = functional.avg_pool2d(digits.x[::16], 4), digits.y[::16]
    with chart(folder, "unstable", 7, 3.1) as figure:
        for axes, activation in zip(figure.subplots(1, 2, sharey=True), ("sigmoid", "relu"), strict=True):
            for depth in (2, 4, 8):
                net = inputopt.MLP([49, *[30] * depth, 10], activation, "identity", seed=0)
                found = inputopt.gradients(net, x, y, cost="cross_entropy")
                sizes = [float(each.norm()) for each in found.weights]
                axes.semilogy(range(1, depth + 2), sizes, "o-", markersize=4, label=f"{depth} hidden layers")
            axes.set(xlabel="layer, from the input", title=activation)
        figure.axes[0].set_ylabel("norm of dCost/dWeights")
        figure.axes[0].legend(fontsize=9)


def cross_entropy(folder: Path) -> None:
    """A saturated neuron by both costs."""
    with chart(folder, "cross_entropy", 7, 2.9) as figure:
        axes = figure.add_subplot(xlabel="update", ylabel="error", title="one neuron, 1 -> 0, from an output of 0.98")
        for cost, label in {"mse": "mean squared error", "cross_entropy": "cross-entropy"}.items():
            net = inputopt.MLP([1, 1], weights=[[[2.0]]], biases=[[2.0]])
            history = inputopt.train(net, [[1.0]], [[0.0]], cost, 0.15, 400, "backprop")
            axes.plot(history.index, history.error, label=label)
        axes.legend()


def turn(folder: Path) -> None:
    """Noise that becomes a class for the network, and a digit that stops being one."""
    net = inputopt.Frozen(inputopt.load("digits-mlp"))
    digits = load_digits()
    down, up = FrameRecorder(0), FrameRecorder(0)
    inputopt.fool(net, 7, (1, 28, 28), count=1, rate=0.002, watch=down)  # slowly, to see it happen
    with torch.no_grad():
        probabilities = net(digits.held_x).softmax(1)
    sure = (probabilities.amax(1) > 0.99) & (probabilities.argmax(1) == digits.held_y) & (digits.held_y == 8)
    x = digits.held_x[sure][:1]
    inputopt.ascend(net, x, torch.tensor([8]), watch=up)
    with chart(folder, "turn", 7.4, 3.6) as figure:
        grid = figure.subplots(2, 5)
        _strip(grid[0], down, net, 7, "down the cost of 7")
        _strip(grid[1], up, net, 8, "up the cost of 8")


def _strip(row: list[Axes], recorded: FrameRecorder, net: inputopt.Frozen, number: int, label: str) -> None:
    for axes, (step, image) in zip(row, recorded.stops(3), strict=True):
        with torch.no_grad():
            chance = net(image[None]).softmax(1)[0]
        _picture(axes, image)
        axes.set_title(f"step {step}\nprobability of {number}: {chance[number]:.0%}", fontsize=8)
    row[0].set_ylabel(label)


def _picture(axes: Axes, image: Tensor) -> None:
    axes.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=INK, linewidth=0.5)


FIGURES = (neuron, descent, chain, networks, methods, unstable, cross_entropy, turn)


def make(folder: Path) -> None:
    """Draw all figures."""
    for figure in FIGURES:
        figure(folder)
