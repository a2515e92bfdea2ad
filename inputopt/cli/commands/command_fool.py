"""`inputopt fool` and `ascend`: optimise inputs towards a class or away from it, and show the steps on a sheet."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.data.input_bounds import in_bounds
from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import add_network, answer, find_network
from inputopt.cli.output import finish, table, writable
from inputopt.cli.parsing import class_or_name, probability, side_or_shape, whole
from inputopt.cli.typed_classes import class_text, typed_index
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import replacing, save_figure
from inputopt.nets.class_names import name_of_class
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.frozen import Frozen
from inputopt.pictures.ascend import ascend
from inputopt.pictures.fool import fool
from inputopt.pictures.sheet import FrameRecorder, contact_sheet, sheet, watch_all
from inputopt.search.loop import Interrupted
from inputopt.search.network_traits import count_classes
from inputopt.search.result_origin import STARTED
from inputopt.zoo.layer_shapes import input_shape

DIGIT = (1, 28, 28)
FILES = ("fool.png", "fool-all.png", "ascend.png")
COPIES = 20  # rough memory per image, in copies of it
CLASSES = 10


def add_commands(commands: Any) -> None:
    """Add `fool` and `ascend`."""
    command = add_verb(commands, "fool")
    add_network(command)
    command.add_argument("--target", type=class_or_name, help="target class, an index or a name (each of the first 10)")
    command.add_argument("--count", type=whole(), default=8, help="images per class (%(default)s)")
    command.add_argument(
        "--confidence", type=probability, default=0.99, help="target probability that counts as success (%(default)s)"
    )
    command.add_argument(
        "--size",
        type=side_or_shape,
        help="size of an image, such as 28 or 3x64x64 (that of the network, if it has only one)",
    )
    add_common(command, "out")
    command.set_defaults(run=run_fool)

    command = add_verb(commands, "ascend")
    add_network(command)
    add_data(command, count=200)
    command.add_argument(
        "--confidence",
        type=probability,
        help="probability of another class that counts as success (any with which it is predicted)",
    )
    add_common(command, "out")
    command.set_defaults(run=run_ascend)


def run_fool(options: argparse.Namespace) -> int:
    """Print the results per class; return 1 if an image does not reach its class."""
    out = writable(options.out, *FILES[:2])
    net = find_network(options)
    shape = input_shape(net, options.size)
    shape = DIGIT if shape == (prod(DIGIT),) and options.size is None else shape
    check_memory(f"{options.count:,} images", 4.0 * COPIES * prod(shape) * options.count, "a smaller --count")
    classes = answer(net, in_bounds(net, torch.zeros(1, *shape))).shape[1]
    chosen = typed_index(options.target, net, classes)
    targets = range(min(CLASSES, classes)) if chosen is None else [chosen]
    if targets[-1] >= classes:
        raise ValueError(f"--target must lie in 0..{classes - 1}, not {chosen}.")
    named = None if chosen is None else name_of_class(chosen, classes, net.facts.class_names)
    reached = f"each of {len(targets)} classes, a row per class," if named is None else f"class {named}"
    rows: list[dict[str, Any]] = []
    journeys = []
    images: list[Tensor] = []
    for target in targets:
        journey = FrameRecorder(0)
        noise_seed = options.seed + target  # different noise for each class
        journeys.append(journey)
        try:
            result = fool(net, target, shape, options.count, noise_seed, confidence=options.confidence, watch=journey)
        except Interrupted as stopped:
            _save_fooled(journeys, [*images, stopped.result.x], net, reached, out)
            raise
        images.append(result.x)
        sure = probabilities(result.logits)[:, target]
        rows.append(
            {
                "class": target,
                "name": name_of_class(target, classes, net.facts.class_names),
                "fooled": int(result.success.sum()),
                "started_in_class": result.made_by[STARTED],
                "lowest_probability": float(sure.min()),
                "forwards": float(result.forwards.double().mean()),
                "distance": float(result.distance.mean()),
            }
        )
    written = _save_fooled(journeys, images, net, reached, out)
    heads = [
        "class",
        "fooled",
        "before a step",
        "lowest probability",
        "forwards per image",
        "L2 from noise",
    ]
    done = sum(row["fooled"] for row in rows)
    cells = [
        [
            class_text(row["class"], net.facts.class_names),
            f"{row['fooled']} of {options.count}",
            str(row["started_in_class"]),
            f"{row['lowest_probability']:.4f}",
            f"{row['forwards']:.1f}",
            f"{row['distance']:.2f}",
        ]
        for row in rows
    ]
    started = sum(row["started_in_class"] for row in rows)
    note = f" {started} of them were of their class before the first step." if started else ""
    total = options.count * len(rows)
    verdict = f"{done} of {total} noise images reached the requested probability of their class.{note}"
    values = {"count": options.count, "confidence": options.confidence, "classes": rows}
    finish(options, f"{table(heads, cells)}\n\n{verdict}", values, written)
    return 0 if done == options.count * len(rows) else 1


def _save_fooled(
    journeys: Sequence[FrameRecorder], images: list[Tensor], net: Frozen, reached: str, out: Path
) -> list[Path]:
    """Save a sheet of the steps and one of all images, or arrays for inputs that are not images; return the paths.

    `reached` says in words which classes they were to reach.
    """
    x = torch.cat(images)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        with replacing(out / "fool.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, x=x.cpu().numpy(), y=net(x).argmax(1).cpu().numpy())
        return [out / "fool.npz"]
    save_figure(contact_sheet(x, net, "All images, with predicted class and probability"), out / "fool-all.png")
    return [
        *_save_sheet(journeys, net, f"From noise to {reached} by gradient descent", out / "fool.png"),
        out / "fool-all.png",
    ]


def run_ascend(options: argparse.Namespace) -> int:
    """Print how far the inputs had to move; return 1 if some are still classified correctly."""
    out = writable(options.out, FILES[2])
    data = chosen_data(options, needs_labels=False)
    net = find_network(options)
    data, x = data.read(net)
    data = data.with_predicted_class(net, x)
    y = data.y
    count_classes(net, x)
    with torch.no_grad():
        order = (net(x).argmax(1).cpu() == y).nonzero()[:, 0]
    if not len(order):
        raise ValueError(
            f"{options.model} classifies none of these inputs of {data.name} correctly; give data of its classes."
        )
    generator = torch.Generator().manual_seed(checks.seed(options.seed))
    order = order[torch.randperm(len(order), generator=generator)]
    journeys = [FrameRecorder(number) for number in range(min(8, len(order)))]
    sure = "" if options.confidence is None else f", with a probability of at least {options.confidence:g}"
    title, path = f"Gradient ascent on the loss until misclassified{sure}", out / "ascend.png"
    try:
        result = ascend(net, x[order], y[order], confidence=options.confidence, watch=watch_all(journeys))
    except Interrupted:
        _save_sheet(journeys, net, title, path)
        raise
    written = _save_sheet(journeys, net, title, path)
    moved = (result.x - x[order]).flatten(1)
    verdict = f"{int(result.success.sum())} of {len(order)} correctly classified inputs are now misclassified{sure}."
    wrong = len(data.y) - len(order)
    left = f" (left out: {wrong} that are misclassified without a change)" if wrong else ""
    sizes = {
        "L2 distance": result.distance,
        "largest pixel change": moved.abs().amax(1),
        "mean pixel change": moved.abs().mean(1),
    }
    shares = {"minimum": 0.0, "median": 0.5, "90 %": 0.9, "maximum": 1.0}
    found = {what: {name: float(size.quantile(at)) for name, at in shares.items()} for what, size in sizes.items()}
    rows = [[what, *(f"{value:.3f}" for value in each.values())] for what, each in found.items()]
    values = {"inputs": len(order), "misclassified": int(result.success.sum()), **found, **data.plain()}
    text = f"{data.described()}{left}\n\n{verdict}\n\n{table(['size of the change', *shares], rows)}"
    finish(options, text, values, written)
    return 0 if bool(result.success.all()) else 1


def _save_sheet(journeys: Sequence[FrameRecorder], net: Frozen, title: str, path: Path) -> list[Path]:
    """Save a sheet of the steps if the inputs are images; return the paths written."""
    if journeys[0].frames[0][1].ndim != 3 or journeys[0].frames[0][1].shape[0] not in (1, 3):
        return []
    save_figure(sheet(journeys, net, title), path)
    return [path]
