"""`inputopt fool` and `ascend`: optimise inputs towards a class or away from it, and show the steps on a sheet."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.cli.data_arguments import in_bounds
from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import add_network, answer, find_network
from inputopt.cli.output import table, writable, wrote
from inputopt.cli.parsing import probability, seed, whole
from inputopt.files import save_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.ascend import ascend
from inputopt.pictures.fool import fool
from inputopt.pictures.sheet import FrameRecorder, contact_sheet, sheet, watch_all
from inputopt.search.loop import Interrupted
from inputopt.search.network_traits import count_classes
from inputopt.zoo.digits import load_digits

SHAPE = (1, 28, 28)
FILES = ("fool.png", "fool-all.png", "ascend.png")
COPIES = 20  # rough memory per image, in copies of it
CLASSES = 10


def add_commands(commands: Any) -> None:
    """Add `fool` and `ascend`."""
    command = commands.add_parser("fool", help="optimise noise until the network is confident of a class")
    command.add_argument("--target", type=whole(0), help="target class; classes 0 to 9 if not given")
    command.add_argument("--count", type=whole(), default=8, help="images per class (%(default)s)")
    command.add_argument(
        "--confidence", type=probability, default=0.99, help="target probability that counts as success (%(default)s)"
    )
    _add_common(command, run_fool)

    command = commands.add_parser(
        "ascend", help="raise the loss of correctly classified digits until they are misclassified"
    )
    command.add_argument("--count", type=whole(), default=200, help="number of digits (%(default)s)")
    _add_common(command, run_ascend)


def _add_common(command: argparse.ArgumentParser, run: Any) -> None:
    add_network(command, "digits-mlp")
    command.add_argument("--seed", type=seed, default=0, help="random seed (%(default)s)")
    command.add_argument("--out", default="out", help="folder for the images (%(default)s)")
    command.set_defaults(run=run)


def run_fool(options: argparse.Namespace) -> int:
    """Print the results per class; return 1 if an image does not reach its class."""
    out = writable(options.out, *FILES[:2])
    check_memory(f"{options.count:,} images", 4.0 * COPIES * prod(SHAPE) * options.count, "a smaller --count")
    net = find_network(options)
    classes = answer(net, torch.zeros(1, *SHAPE)).shape[1]
    targets = range(min(CLASSES, classes)) if options.target is None else [options.target]
    if targets[-1] >= classes:
        raise ValueError(f"--target must lie in 0..{classes - 1}, not {options.target}.")
    rows, journeys = [], []
    images: list[Tensor] = []
    for target in targets:
        journey = FrameRecorder(0)
        noise_seed = options.seed + target  # different noise for each class
        journeys.append(journey)
        try:
            result = fool(net, target, SHAPE, options.count, noise_seed, confidence=options.confidence, watch=journey)
        except Interrupted as stopped:
            _save_fooled(journeys, [*images, stopped.result.x], net, out)
            wrote(out / "fool.png", out / "fool-all.png")
            raise
        images.append(result.x)
        sure = result.logits.softmax(1)[:, target]
        rows.append(
            [
                str(target),
                f"{int(result.success.sum())} of {options.count}",
                f"{float(sure.min()):.4f}",
                f"{float(result.forwards.double().mean()):.1f}",
                f"{float(result.distance.mean()):.2f}",
            ]
        )
    _save_fooled(journeys, images, net, out)
    print(table(["class", "fooled", "lowest probability", "forwards per image", "L2 from noise"], rows))
    done = sum(int(row[1].split()[0]) for row in rows)
    print(f"\n{done} of {options.count * len(rows)} noise images reached the requested probability of their class.")
    wrote(out / "fool.png", out / "fool-all.png")
    return 0 if done == options.count * len(rows) else 1


def _save_fooled(journeys: Sequence[FrameRecorder], images: list[Tensor], net: Frozen, out: Path) -> None:
    save_figure(sheet(journeys, net, "From noise to each class by gradient descent"), out / "fool.png")
    save_figure(
        contact_sheet(torch.cat(images), net, "All images, with predicted class and probability"),
        out / "fool-all.png",
    )


def run_ascend(options: argparse.Namespace) -> int:
    """Print how far the digits had to move; return 1 if some are still classified correctly."""
    out = writable(options.out, FILES[2])
    net = find_network(options)
    data = load_digits()
    x = in_bounds(net, data.held_x)
    answer(net, x)
    count_classes(net, x)
    with torch.no_grad():
        known = (net(x).argmax(1) == data.held_y).nonzero()[:, 0]
    if not len(known):
        raise ValueError(f"{options.model} classifies none of the digits correctly; give a model trained on digits.")
    generator = torch.Generator().manual_seed(checks.seed(options.seed))
    order = known[torch.randperm(len(known), generator=generator)][: options.count]
    journeys = [FrameRecorder(number) for number in range(min(8, len(order)))]
    title, path = "Gradient ascent on the loss until misclassified", out / "ascend.png"
    try:
        result = ascend(net, x[order], data.held_y[order], watch=watch_all(journeys))
    except Interrupted:
        save_figure(sheet(journeys, net, title), path)
        wrote(path)
        raise
    save_figure(sheet(journeys, net, title), path)
    moved = (result.x - x[order]).flatten(1)
    print(f"{int(result.success.sum())} of {len(order)} correctly classified digits are now misclassified.\n")
    sizes = {"L2 distance": result.distance, "largest pixel change": moved.abs().amax(1)}
    rows = [
        [what, *(f"{float(size.quantile(share)):.3f}" for share in (0, 0.5, 0.9, 1))] for what, size in sizes.items()
    ]
    print(table(["size of the change", "minimum", "median", "90 %", "maximum"], rows))
    wrote(path)
    return 0 if bool(result.success.all()) else 1
