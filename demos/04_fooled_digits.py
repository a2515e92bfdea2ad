"""Train a network on real digits, then hold its weights still and move its input.

From static, down dCost/dInput, come pictures that the network is 99 % sure are a certain digit, and that nobody would
read as one. From real digits that it never trained on, up the cost, come digits that a person still reads and the
network takes for others.
"""

import argparse
from pathlib import Path

import torch

import inputopt
from inputopt.pictures.sheet import FrameRecorder, sheet
from inputopt.zoo.digits import Digits, load_digits

SHOWN = (2, 3, 5, 8)  # the classes in the picture


def trained(digits: Digits) -> inputopt.MLP:
    """The weights move, the inputs stand still."""
    net = inputopt.MLP([784, 64, 10], activation="relu", output="identity", seed=1)
    inputopt.train(
        net, digits.x, digits.y, "cross_entropy", learning_rate=0.001, steps=1_000, batch_size=50, optimiser="adam"
    )
    return net


def main(out: Path) -> None:
    digits = load_digits()
    model = inputopt.Frozen(trained(digits), bounds=(0, 1))
    with torch.no_grad():
        beliefs = model(digits.held_x).softmax(1)
    known = beliefs.argmax(1) == digits.held_y
    clear = known & (beliefs.amax(1) > 0.9)
    print(
        f"Correctly classified: {known.sum()} of 1,000 held-out digits, {clear.sum()} with a probability above 90 %.\n"
    )

    print(f"{'class':<7}{'noise fooled':>14}{'lowest prob.':>14}{'L2':>7}", end="")
    print(f"{'digits misclassified':>22}{'L2':>7}{'max change':>12}")
    journeys = []
    for digit in range(10):
        fall, climb = FrameRecorder(0), FrameRecorder(0)
        fooled = inputopt.fool(model, digit, shape=(1, 28, 28), count=8, seed=digit, watch=fall)
        x = digits.held_x[clear & (digits.held_y == digit)][:20]
        lost = inputopt.ascend(model, x, torch.full((len(x),), digit), watch=climb)
        sure = fooled.logits.softmax(1)[:, digit].min()
        print(f"{digit:<7}{f'{fooled.success.sum()} of 8':>14}{sure:>14.2%}{fooled.distance.mean():>7.2f}", end="")
        largest = (lost.x - x).abs().max()
        print(f"{f'{lost.success.sum()} of {len(x)}':>22}{lost.distance.mean():>7.2f}{largest:>12.2f}")
        if digit in SHOWN:
            journeys += [(fall, climb)]
    print("\nL2: mean distance from the initial noise or digit; max change: of a pixel; pixels lie in [0, 1]")

    falls, climbs = zip(*journeys, strict=True)
    title = "Gradient descent from noise to a class (above), and ascent from a digit to another class (below)"
    out.mkdir(parents=True, exist_ok=True)
    sheet([*falls, *climbs], model, title).savefig(out / "04_fooled_digits.png", dpi=100)
    print(f"wrote {out / '04_fooled_digits.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/demos"), help="folder for the picture (%(default)s)")
    main(parser.parse_args().out)
