"""Nearest misclassified inputs in four norms
==========================================

Real digits beside the nearest inputs that a network misclassifies.

L0 counts the pixels that differ, L1 sums the absolute differences, L2 is the Euclidean distance, and Linf is the
largest difference of any pixel. The nearest misclassified inputs of a plain network look like the digits themselves.
Those of an adversarially trained network are further away, and the perturbation is visible.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import inputopt
from inputopt.zoo.digits import load_digits

NORMS = {"l0": "pixels changed", "l1": "sum of changes", "l2": "Euclidean distance", "linf": "largest change"}
NETWORKS = ("digits-mlp", "digits-cnn-robust")
COUNT, SHOWN, QUERIES = 30, 6, 400


def neighbours(name: str, x: Tensor, y: Tensor) -> dict[str, inputopt.Result]:
    """The nearest misclassified input of each digit in every norm; prints one row per norm."""
    model = inputopt.Frozen(inputopt.load(name), bounds=(0, 1))
    found = {}
    for norm in NORMS:
        found[norm] = inputopt.attacks.MinimalNorm(norm, queries=QUERIES)(model, x, y)
        distance, queries = found[norm].distance, found[norm].forwards + found[norm].backwards
        nearest, furthest = distance[distance > 0].min(), distance.max()
        print(
            f"{name:<19}{norm:<6}{f'{int(found[norm].success.sum())} of {len(x)}':>9}{float(nearest):>9.3f}"
            f"{float(distance.median()):>9.3f}{float(furthest):>10.3f}{int(queries.max()):>9}"
        )
    return found


def picture(x: Tensor, y: Tensor, every: dict[str, dict[str, inputopt.Result]]) -> Figure:
    """One block per network: digits, and below each its nearest misclassified inputs with predicted classes."""
    figure = Figure(figsize=(2 * SHOWN * 1.15 + 1, (1 + len(NORMS)) * 1.45), layout="constrained")
    blocks = figure.subfigures(1, len(every))
    for block, (name, found) in zip(blocks, every.items(), strict=True):
        block.suptitle(name)
        grid = block.subplots(1 + len(NORMS), SHOWN)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
        for column in range(SHOWN):
            grid[0, column].imshow(x[column, 0].numpy(), cmap="gray", vmin=0, vmax=1)
            grid[0, column].set_title(f"class {int(y[column])}", fontsize=8)
            for row, (norm, near) in enumerate(found.items(), start=1):
                grid[row, column].imshow(near.x[column, 0].numpy(), cmap="gray", vmin=0, vmax=1)
                title = f"class {int(near.prediction[column])}, {norm} {float(near.distance[column]):.3g}"
                grid[row, column].set_title(title, fontsize=8)
        for row, label in enumerate(["digits", *NORMS]):
            grid[row, 0].set_ylabel(label)
    return figure


def main(out: Path) -> None:
    digits = load_digits()
    x, y = digits.held_x, digits.held_y
    correct = torch.ones(len(y), dtype=torch.bool)
    with torch.no_grad():
        for name in NETWORKS:
            correct &= inputopt.load(name)(x).argmax(1) == y
    x, y = x[correct][:: int(correct.sum()) // COUNT][:COUNT], y[correct][:: int(correct.sum()) // COUNT][:COUNT]
    spread = torch.linspace(0, COUNT - 1, SHOWN).long()  # the first ones are shown, so they are of different classes
    order = torch.cat([spread, torch.tensor([row for row in range(COUNT) if row not in spread.tolist()])])
    x, y = x[order], y[order]
    print(f"{'network':<19}{'norm':<6}{'fooled':>9}{'minimum':>9}{'median':>9}{'maximum':>10}{'queries':>9}")
    every = {name: neighbours(name, x, y) for name in NETWORKS}
    print("\n" + ", ".join(f"{norm}: {meaning}" for norm, meaning in NORMS.items()) + "; pixels lie in [0, 1]")
    out.mkdir(parents=True, exist_ok=True)
    picture(x, y, every).savefig(out / "06_nearest_neighbours.png", dpi=100)
    print(f"wrote {out / '06_nearest_neighbours.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
