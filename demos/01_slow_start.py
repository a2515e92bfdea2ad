"""Slow start: cross-entropy against mean squared error
====================================================

Cross-entropy removes the slow start of the last layer, and only of the last layer.

**(a)** One sigmoid neuron starts saturated: its output is near 1 and its target is 0. By mean squared error its
gradient is multiplied by the small slope of the sigmoid, so it hardly changes for many updates. The gradient of
cross-entropy does not contain that slope.

**(b)** The saturated neuron is in the hidden layer. Cross-entropy cancels the slope of the output neuron only (a
factor of 4 here). The slope of the hidden neuron remains in its gradient, so the start is slow by both costs.

Dashed lines: the same networks without saturation.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import inputopt

COSTS = {"mse": "tab:blue", "cross_entropy": "tab:orange"}
STARTS = {"saturated": "-", "fresh": "--"}


def one_neuron(start: str) -> inputopt.MLP:
    """A neuron that learns 1 -> 0; its first output is 0.98 if saturated, and 0.82 if fresh."""
    w, b = {"saturated": (2.0, 2.0), "fresh": (0.6, 0.9)}[start]
    return inputopt.MLP([1, 1], weights=[[[w]]], biases=[[b]])


def hidden_neuron(start: str) -> inputopt.MLP:
    """Two neurons in a row that learn the identity; if saturated, the hidden one hardly reacts to the input."""
    b = {"saturated": 5.0, "fresh": 0.0}[start]
    return inputopt.MLP([1, 1, 1], weights=[[[1.0]], [[1.0]]], biases=[[b], [-1.0]])


CASES = {  # network, inputs, targets, learning rate, number of updates in the plot
    "(a) last": (one_neuron, [[1.0]], [[0.0]], 0.15, 400),
    "(b) hidden": (hidden_neuron, [[0.0], [1.0]], [[0.0], [1.0]], 0.5, 10_000),
}


def main(out: Path) -> None:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    print("gradient: L2 norm of dCost/d(weight, bias) of the neuron in column 1, before the first update")
    print("halved: number of updates until the error is half of its initial value\n")
    print(f"{'neuron':<12}{'start':<11}{'cost':<15}{'error':>8}{'gradient':>12}{'halved':>8}")
    for position, (case, (network, inputs, targets, rate, steps)) in enumerate(CASES.items()):
        axes = figure.add_subplot(1, 2, position + 1, title=f"{case} neuron saturated", xlabel="update")
        axes.set_ylabel("error (norm of target - output)")
        halved = {}
        for start, line in STARTS.items():
            for cost, colour in COSTS.items():
                history = inputopt.train(network(start), inputs, targets, cost, rate, steps, "backprop")
                error, derivative = history.error[0], history.gradient_norms[0, 0]
                axes.plot(history.index, history.error, line, color=colour, label=f"{cost}, {start}")
                half = inputopt.train(network(start), inputs, targets, cost, rate, steps, stop_error=error / 2)
                halved[start, cost] = half.trainings
                print(f"{case:<12}{start:<11}{cost:<15}{error:>8.3f}{derivative:>12.5f}{half.trainings:>8,}")
        longer = {cost: halved["saturated", cost] / halved["fresh", cost] for cost in COSTS}
        print(
            f"{'':<12}with mse the saturated start takes {longer['mse']:.1f} times as many updates as the fresh one,",
            end="",
        )
        print(f" with cross-entropy {longer['cross_entropy']:.1f} times\n")
        axes.legend()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "01_slow_start.png", dpi=100)
    print(f"wrote {out / '01_slow_start.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
