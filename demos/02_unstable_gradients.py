"""Unstable gradients in deep networks
===================================

In deep sigmoid networks the gradient of the first layers almost vanishes; in relu networks it does not.

Backpropagation multiplies the gradient by the weights and by dO/dZ of each layer, which is at most 1/4 for a sigmoid.
With eight hidden layers the gradient norm of the first layer starts below a hundred-thousandth of the last layer's.
The last layer's gradient falls soon as well, when its biases have settled, and the network stops learning. The relu
networks learn; in the deeper ones the gradients grow instead, and training becomes less stable.
"""

import argparse
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch.nn import functional

import inputopt
from inputopt.wilson_interval import wilson
from inputopt.zoo.digits import load_digits

DEPTHS = (2, 4, 6, 8)
TRAININGS = 400
SIZES = f"{'first':>9}{'last':>9}{'ratio':>12}"


def main(out: Path) -> None:
    digits = load_digits()
    x, y = functional.avg_pool2d(digits.x[::8], 4), digits.y[::8]  # 500 real digits at 7 x 7
    print("L2 norm of dCost/d(weights, biases) in the first and in the last layer, and their ratio.\n")
    print(f"{'hidden':<11}{'before the first update':^30}{f'after {TRAININGS} updates':^30}")
    print(f"{'layers':<11}{SIZES * 2}{'accuracy (95 % interval)':>28}")
    figure = Figure(figsize=(14, 6.5), layout="constrained")
    figure.suptitle("Gradient norm of each layer, from the first (dark) to the last (light)")
    grid = figure.subplots(2, len(DEPTHS), sharex=True, sharey=True)
    for row, activation in zip(grid, ("sigmoid", "relu"), strict=True):
        for axes, depth in zip(row, DEPTHS, strict=True):
            net = inputopt.MLP([49, *[30] * depth, 10], activation, "identity", seed=0)
            history = inputopt.train(net, x, y, "cross_entropy", learning_rate=0.05, steps=TRAININGS)
            sizes = history.gradient_norms  # one row per sample, one column per layer
            ends = [(sizes[when, 0], sizes[when, -1]) for when in (0, -1)]
            cells = "".join(f"{first:>9.1e}{last:>9.1e}{first / last:>12.2g}" for first, last in ends)
            with torch.no_grad():
                accuracy = float((net(x).argmax(1) == y).double().mean())
            low, high = wilson(accuracy, len(y))
            print(f"{depth} {activation:<9}{cells}{f'{accuracy:.0%} ({low:.0%} to {high:.0%})':>28}")
            for layer, size in enumerate(sizes.T):
                axes.semilogy(history.index, size, color=matplotlib.colormaps["viridis"](0.9 * layer / depth))
            axes.set_title(f"{activation}, {depth} hidden layers")
        row[0].set_ylabel("L2 norm of a layer's gradient")
    for axes in grid[-1]:
        axes.set_xlabel("update")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "02_unstable_gradients.png", dpi=100)
    print(f"\nwrote {out / '02_unstable_gradients.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
