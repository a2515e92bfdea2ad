"""Five ways to train: four gradients, and evolution
=================================================

Networks for NOT, OR and AND, and XOR are trained by four methods of differentiation and by a genetic algorithm.

The four methods compute the same gradients, so their cost curves agree. They differ in the price of an update:
autograd and backpropagation run the network forward and backward once; dual numbers run it once, and carry every
partial derivative along; finite differences run it twice for each weight and bias. The genetic algorithm needs no
gradient, and evaluates 200 networks in each generation. On problems as small as these, random search succeeds
quickly: NOT is solved in the first generation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

import inputopt

STOP = 0.05  # mean error at which training stops
TWO_BITS = [[0, 0], [0, 1], [1, 0], [1, 1]]
TASKS = {  # sizes, inputs, targets, maximum number of updates
    "NOT": ([1, 1], [[0], [1]], [[1], [0]], 1_000),
    "OR, AND": ([2, 2], TWO_BITS, [[0, 0], [1, 0], [1, 0], [1, 1]], 5_000),
    "XOR": ([2, 3, 1], TWO_BITS, [[0], [1], [1], [0]], 5_000),
}
GRADIENT_METHODS = {  # evaluations of the network per update, by its number of parameters
    "autograd": lambda parameters: 2,
    "backprop": lambda parameters: 2,
    "dual": lambda parameters: 1,
    "differences": lambda parameters: 1 + 2 * parameters,
}


def show(axes: Axes, task: str, method: str, runs: Sequence[int], costs: Sequence[float]) -> None:
    axes.loglog(runs, costs, "--" if method == "backprop" else ".-", label=method)  # dashed, since it covers autograd
    axes.set_title(task)
    axes.set_xlabel("evaluations of the network")


def main(out: Path) -> None:
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    grid = figure.subplots(1, len(TASKS), sharey=True)
    grid[0].set_ylabel("cost")
    print("evaluations: of the network, for gradients or fitness; checks of the stop criterion are not counted\n")
    print(
        f"{'task':<9}{'method':<12}{'updates or generations':>26}{'evaluations':>13}{'seconds':>9}{'final error':>13}"
    )
    for axes, (task, (sizes, inputs, targets, most)) in zip(grid, TASKS.items(), strict=True):
        for method, runs_of in GRADIENT_METHODS.items():
            net = inputopt.MLP(sizes, seed=0)
            runs = runs_of(sum(parameter.numel() for parameter in net.parameters()))
            run = inputopt.train(net, inputs, targets, learning_rate=2, steps=most, method=method, stop_error=STOP)
            numbers = f"{run.trainings:>26,}{runs * run.trainings:>13,}{run.seconds:>9.3f}{run.error[-1]:>13.4f}"
            print(f"{task:<9}{method:<12}{numbers}")
            updates, _, costs = run.curve.T
            show(axes, task, method, runs * updates, costs)
        rules = inputopt.Genetic(seed=0)
        found = inputopt.evolve(inputopt.MLP(sizes, seed=0), inputs, targets, stop_error=STOP, rules=rules)
        numbers = f"{found.generations:>26,}{found.evaluations:>13,}{found.seconds:>9.3f}{found.error:>13.4f}"
        print(f"{task:<9}{'evolution':<12}{numbers}\n")
        evaluated = [rules.population * (generation + 1) for generation in range(found.generations)]
        show(axes, task, "evolution", evaluated, found.cost)
    grid[-1].legend()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "03_ways_to_train.png", dpi=100)
    print(f"wrote {out / '03_ways_to_train.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
