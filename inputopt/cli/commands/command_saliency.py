"""`inputopt saliency`: attribution maps of predictions, on a sheet and as arrays."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from inputopt.attribution.saliency import METHODS, saliency
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, writable
from inputopt.cli.parsing import choice, class_or_name, whole
from inputopt.cli.typed_classes import typed_index
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import replacing, save_figure
from inputopt.nets.model_errors import in_words
from inputopt.pictures.attribution_sheet import attribution_sheet

FILES = ("saliency.png", "saliency.npz")
OF_METHODS = {"samples": ("integrated", "smoothgrad", "integrated_gradients"), "window": ("occlusion",)}
"""Options of some methods only."""

SHOWN = 8
"""Largest number of inputs on the sheet."""


def add_commands(commands: Any) -> None:
    """Add `saliency`."""
    command = add_verb(commands, "saliency")
    add_network(command)
    add_data(command, count=8)
    command.add_argument(
        "--method",
        type=choice("method", METHODS),
        default="integrated",
        help=f"one of {', '.join(METHODS)} (%(default)s)",
    )
    command.add_argument(
        "--target",
        type=class_or_name,
        help="class whose logit is attributed, an index or a name (each input's prediction)",
    )
    command.add_argument(
        "--samples",
        type=whole(),
        default=32,
        help="path points or noise draws of integrated and smoothgrad (%(default)s)",
    )
    command.add_argument("--window", type=whole(), default=8, help="side in pixels of occluding squares (%(default)s)")
    add_common(command, "out")
    command.set_defaults(run=run_saliency)


def run_saliency(options: argparse.Namespace) -> int:
    """Save the attributions as an .npz file and, of images, a sheet."""
    for name, methods in OF_METHODS.items():
        if name in options.given and options.method not in methods:
            raise ValueError(f"--{name} applies to {' and '.join(methods[:2])}, not to {options.method}; omit it.")
    out = writable(options.out, *FILES)
    data = chosen_data(options, needs_labels=False)
    net = find_network(options)
    data, x = data.read(net)
    if "window" in options.given and x.ndim == 4 and options.window >= min(x.shape[2:]):
        raise ValueError(f"--window must be smaller than the images of {in_words(x.shape[2:])}, not {options.window}.")
    with torch.no_grad():
        logits = net(x)
    target = typed_index(options.target, net, logits.shape[1])
    if target is not None and target >= logits.shape[1]:
        raise ValueError(f"--target must lie in 0..{logits.shape[1] - 1}, not {target}.")
    predicted = logits.argmax(1)
    classes = predicted if target is None else torch.full_like(predicted, target)
    settings = {"samples": options.samples, "window": options.window, "seed": options.seed}
    found = saliency(net, x, classes, options.method, **settings)
    with replacing(out / "saliency.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, attributions=found.cpu().numpy(), classes=classes.cpu().numpy(), positions=data.positions)
    written = [out / "saliency.npz"]
    if x.ndim == 4 and x.shape[1] in (1, 3):
        title = f"{options.method}: input, attribution (red raises the logit, blue lowers it), and where it is large"
        labels = data.y[:SHOWN] if data.is_labelled else None
        figure = attribution_sheet(x[:SHOWN], found[:SHOWN], net, title, classes[:SHOWN], labels)
        save_figure(figure, out / "saliency.png")
        written.insert(0, out / "saliency.png")
    values = {"method": options.method, "classes": classes.tolist(), "predictions": predicted.tolist(), **data.plain()}
    finish(options, f"{data.described()}\n\n{options.method} of {len(x)} inputs", values, written)
    return 0
