"""The tank and the weather: finding a shortcut
============================================

A network that is right for the wrong reason, found by optimising its input.

The story goes that a network learnt to tell photos of tanks from photos without, and failed in use: all tanks had
been photographed under clouds, and all empty landscapes in the sun. Here scenes are composed from real photos in
which the brightness of the sky depends on the label. A small network trained on them fails where sky and label are
independent.

This can be found without new photos. The smallest perturbation that changes the prediction, and the image that is
optimised for the class, both show the sky. For a network trained with a sky that is independent of the label, both
show the tank.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from skimage import data
from torch import Tensor, nn
from torch.nn import functional

import inputopt
from inputopt.attribution.spurious import spurious
from inputopt.pictures.sheet import show
from inputopt.wilson_interval import wilson

SIDE, HORIZON = 32, 13
TANK, SHOWN = 1, 4
TRAINED_ON, TESTED_ON, TRAININGS, STEPS = 800, 500, 300, 50
OLIVE, GREEN, BROWN = (0.55, 0.6, 0.42), (0.62, 0.8, 0.42), (0.8, 0.68, 0.52)


@dataclass(frozen=True)
class Scenes:
    """Scenes x [B, 3, S, S] in [0, 1], labels y [B] (1: a tank), and the masks of the tanks [B, 1, S, S]."""

    x: Tensor
    y: Tensor
    mask: Tensor


def grey(photo: object) -> Tensor:
    """A photo as grey values [H, W] in [0, 1], at half its size."""
    values = torch.tensor(photo, dtype=torch.float32)[None] / 255
    values = values if values.ndim == 3 else values.mean(-1)
    return functional.avg_pool2d(values, 2)[0]


def patches(photo: Tensor, height: int, width: int, count: int, generator: torch.Generator) -> Tensor:
    """Patches [count, height, width] from random positions of a photo [H, W]."""
    tops = torch.randint(photo.shape[0] - height + 1, (count, 1, 1), generator=generator)
    lefts = torch.randint(photo.shape[1] - width + 1, (count, 1, 1), generator=generator)
    return photo[tops + torch.arange(height)[:, None], lefts + torch.arange(width)]


def silhouettes(y: Tensor, generator: torch.Generator) -> Tensor:
    """Masks of tanks [B, 1, S, S] (tracks, hull, turret, gun), facing either way, at random positions on the ground."""
    shape = torch.zeros(8, 15)
    shape[4:8, 0:12] = 1
    shape[7, [0, 11]] = 0
    shape[2:4, 3:9] = 1
    shape[2, 9:15] = 1
    masks = torch.zeros(len(y), 1, SIDE, SIDE)
    for index in y.nonzero()[:, 0].tolist():
        top, left = (int(torch.randint(most, (), generator=generator)) for most in (SIDE - HORIZON - 8, SIDE - 15))
        facing = shape.flip(1) if torch.rand((), generator=generator) < 0.5 else shape
        masks[index, 0, HORIZON + top : HORIZON + top + 8, left : left + 15] = facing
    return masks


def scenes(count: int, confounded: bool, seed: int) -> Scenes:
    """Scenes, half of them with a tank; if `confounded`, the sky is cloudy exactly where there is a tank."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randperm(count, generator=generator) % 2
    sunny = (y != TANK) if confounded else torch.rand(count, generator=generator) < 0.5
    light = torch.where(sunny, 0.78, 0.42) + 0.06 * torch.randn(count, generator=generator)
    clouds = patches(grey(data.rocket())[:40, :150], HORIZON, SIDE, count, generator)
    clouds = (clouds - clouds.mean((1, 2), keepdim=True)) * 0.6 + light[:, None, None]
    sky = clouds[:, None] * torch.tensor([0.92, 0.97, 1.05])[:, None, None]
    size = (SIDE - HORIZON, SIDE, count, generator)
    fields = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    grass = patches(grey(data.grass()), *size)[:, None] * torch.tensor(GREEN)[:, None, None]
    gravel = patches(grey(data.gravel()), *size)[:, None] * torch.tensor(BROWN)[:, None, None]
    x = torch.cat([sky, torch.where(fields, grass, gravel)], dim=2)
    mask = silhouettes(y, generator)
    armour = patches(grey(data.brick()), SIDE, SIDE, count, generator)[:, None] * torch.tensor(OLIVE)[:, None, None]
    return Scenes((mask * armour * 0.6 + (1 - mask) * x).clamp(0, 1), y, mask)


def trained(data: Scenes) -> nn.Module:
    """A small convolutional network."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 2),
    )
    inputopt.train(
        net, data.x, data.y, "cross_entropy", learning_rate=0.002, steps=TRAININGS, batch_size=64, optimiser="adam"
    )
    return net


def accuracy(net: nn.Module, data: Scenes) -> str:
    """The share of scenes that are classified correctly, with its 95 % interval."""
    with torch.no_grad():
        share = float((net(data.x).argmax(1) == data.y).double().mean())
    low, high = wilson(share, len(data.y))
    return f"{share:.1%} ({low:.1%} to {high:.1%})"


def outside(change: Tensor, mask: Tensor) -> Tensor:
    """The fraction of a perturbation's squared L2 norm outside the tank and a margin of one pixel, [B]."""
    near = functional.max_pool2d(mask, 3, stride=1, padding=1)
    return ((1 - near) * change.square()).flatten(1).sum(1) / change.square().flatten(1).sum(1)


def main(out: Path) -> None:
    training = {True: scenes(TRAINED_ON, True, 0), False: scenes(TRAINED_ON, False, 1)}
    same, field = scenes(TESTED_ON, True, 2), scenes(TESTED_ON, False, 3)
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle("Trained with tanks only under clouds (above), and with the sky independent of the label (below)")
    rows = figure.subplots(4, 2 * SHOWN + 1, squeeze=False)
    for axes in rows.flat:
        axes.set_axis_off()
    print(f"{'trained on':<14}{'same data':>26}{'any sky':>24}{'fooled':>14}{'outside the tank':>18}")
    reports = {}
    for place, confounded in enumerate((True, False)):
        net = trained(training[confounded])
        model = inputopt.Frozen(net)
        name = "cloudy tanks" if confounded else "any sky"
        test = same if confounded else field
        with torch.no_grad():
            known = ((test.y == TANK) & (net(test.x).argmax(1) == TANK)).nonzero()[:50, 0]
        flipped = inputopt.attacks.DDN(steps=STEPS)(model, test.x[known], test.y[known])
        change = flipped.x - test.x[known]
        share = outside(change, test.mask[known])
        print(f"{name:<14}{accuracy(net, test):>26}{accuracy(net, field):>24}", end="")
        print(f"{f'{int(flipped.success.sum())} of {len(known)}':>14}{share[flipped.success].mean():>18.1%}")
        wanted = inputopt.visualize(model, inputopt.Class([0, TANK]), size=SIDE, steps=64, augment=0.5)
        for column in range(SHOWN):
            show(rows[2 * place][2 * column], test.x[known[column]], (0, 1), "tank")
            show(
                rows[2 * place][2 * column + 1],
                flipped.x[column],
                (0, 1),
                f"no tank; L2 {flipped.distance[column]:.2f}",
            )
            size = change[column].abs().sum(0, keepdim=True)
            show(rows[2 * place + 1][2 * column], size / size.max(), (0, 1), f"change; {share[column]:.0%} outside")
            show(rows[2 * place + 1][2 * column + 1], test.mask[known[column]], (0, 1), "tank mask")
        show(rows[2 * place][-1], wanted[TANK].x, (0, 1), "optimised: tank")
        show(rows[2 * place + 1][-1], wanted[0].x, (0, 1), "optimised: no tank")
        reports[name] = spurious(model, test.x[:100], test.y[:100], steps=STEPS)
    print(
        "\nsame data, any sky: accuracy on new scenes composed as in training, or with any sky (95 % interval)\n"
        "fooled: correctly classified tanks that the minimal L2 perturbation (DDN) turns into no tank\n"
        "outside the tank: fraction of its squared L2 norm outside the tank and a margin of one pixel\n"
    )
    for name, report in reports.items():
        print(f"{name}: regions changed by minimal perturbations of each class")
        print(report.table())
        print()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "05_sunny_tank.png", dpi=100)
    print(f"wrote {out / '05_sunny_tank.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
