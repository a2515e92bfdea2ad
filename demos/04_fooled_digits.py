"""Fooling a network of digits
===========================

Train a network on real digits, then keep its weights fixed and optimise its input.

From noise, gradient descent on the cost of a class finds images that the network assigns to that class with 99 %
probability and that a person would not read as a digit. From real digits that were not in the training set, gradient
ascent on the cost of their own class finds digits that a person still reads and the network misclassifies.
"""

import argparse
from pathlib import Path

import torch

import inputopt
from inputopt.pictures.sheet import FrameRecorder, sheet
from inputopt.wilson_interval import accuracy_text
from inputopt.zoo.digits import Digits, load_digits

SHOWN = (2, 3, 5, 8)  # the classes in the picture
RATE = 0.002  # smaller steps than by default, so that there are several images between noise and class


def trained(digits: Digits) -> inputopt.MLP:
    """Train a network of digits: the weights change and the inputs are fixed."""
    net = inputopt.MLP([784, 64, 10], activation="relu", output="identity", seed=1)
    inputopt.train(
        net, digits.x, digits.y, "cross_entropy", learning_rate=0.001, steps=1_000, batch_size=50, optimiser="adam"
    )
    return net


def main(out: Path) -> None:
    digits = load_digits()
    model = inputopt.Frozen(trained(digits), bounds=(0, 1))
    with torch.no_grad():
        probabilities = model(digits.held_x).softmax(1)
    correct = probabilities.argmax(1) == digits.held_y
    clear = correct & (probabilities.amax(1) > 0.9)
    print(
        f"Correctly classified: {accuracy_text(float(correct.double().mean()), len(correct))} of 1,000 held-out "
        f"digits, {clear.sum()} with a probability above 90 %.\n"
    )

    print(f"{'class':<7}{'noise fooled':>14}{'lowest prob.':>14}{'L2':>7}", end="")
    print(f"{'digits misclassified':>22}{'L2':>7}{'max change':>12}")
    recorded = []
    for digit in range(10):
        descent, ascent = FrameRecorder(0), FrameRecorder(0)
        fooled = inputopt.fool(model, digit, (1, 28, 28), count=8, seed=digit, rate=RATE, watch=descent)
        x = digits.held_x[clear & (digits.held_y == digit)][:20]
        misclassified = inputopt.ascend(model, x, torch.full((len(x),), digit), watch=ascent)
        lowest = fooled.logits.softmax(1)[:, digit].min()
        print(f"{digit:<7}{f'{fooled.success.sum()} of 8':>14}{lowest:>14.2%}{fooled.distance.mean():>7.2f}", end="")
        largest = (misclassified.x - x).abs().max()
        print(
            f"{f'{misclassified.success.sum()} of {len(x)}':>22}{misclassified.distance.mean():>7.2f}{largest:>12.2f}"
        )
        if digit in SHOWN:
            recorded += [(descent, ascent)]
    print("\nL2: mean distance from the initial noise or digit; max change: of a pixel; pixels lie in [0, 1]")

    descents, ascents = zip(*recorded, strict=True)
    title = "Gradient descent from noise to a class (above), and ascent from a digit to another class (below)"
    out.mkdir(parents=True, exist_ok=True)
    sheet([*descents, *ascents], model, title).savefig(out / "04_fooled_digits.png", dpi=100)
    print(f"wrote {out / '04_fooled_digits.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
