"""`inputopt visualize`: images that maximise a channel, a layer or a class."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from inputopt.cli.live_preview import Watching, add_watch, save_interrupted, unfinished
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, writable
from inputopt.cli.parsing import choice, indices, names, number, whole
from inputopt.cli.photo_arguments import check_photos
from inputopt.cli.picture_arguments import (
    add_search,
    image_shape,
    save_each,
    search_settings,
)
from inputopt.cli.typed_classes import file_name, file_names, typed_indices
from inputopt.cli.verbs import add_verb
from inputopt.files import save_figure
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.frozen import Frozen
from inputopt.pictures.objective_sheet import objective_sheet
from inputopt.pictures.picture import Picture
from inputopt.pictures.picture_quality import OFF, QUALITIES, default_steps
from inputopt.pictures.visualize import visualize
from inputopt.search.loop import Interrupted, Snapshot
from inputopt.search.objectives.features import Channel, Layer, LogProbability
from inputopt.search.objectives.objective import Objective

TEMPERATURE = 4.0
"""Softmax temperature of the class objective: at 1 the probability saturates too soon, and its gradient vanishes."""


def add_commands(commands: Any) -> None:
    """Add `visualize`."""
    command = add_verb(commands, "visualize")
    add_network(command)
    command.add_argument("--layer", help="layer name; see `inputopt layers` (none)")
    command.add_argument(
        "--channels", type=indices, help="channel numbers or ranges separated by commas: 4,7 or 0-11 (the whole layer)"
    )
    command.add_argument(
        "--classes", type=names, help="class names or indices separated by commas, instead of a layer (none)"
    )
    command.add_argument(
        "--shared-frequencies",
        type=whole(0),
        default=0,
        help="share frequencies up to this many cycles among all images (0: none)",
    )
    command.add_argument(
        "--quality",
        type=choice("quality", QUALITIES),
        default="good",
        help=f"one of {', '.join(QUALITIES)}: the steps and the five settings below that are not given (%(default)s)",
    )
    command.add_argument("--restarts", type=whole(), help="number of restarts per image (that of --quality)")
    share = number(above=0, most=1)
    command.add_argument(
        "--initial-scale", type=share, help="image size at the start, as a share of --size (that of --quality)"
    )
    command.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="mirror the image at random in half of the evaluations; for classes (as --quality says)",
    )
    command.add_argument(
        "--skip-gradient", type=share, help="factor of gradients through residual branches (that of --quality)"
    )
    command.add_argument(
        "--drop-branches",
        type=number(0, 0.99),
        help="probability that a step runs the network without its last residual branch; earlier ones less often "
        "(that of --quality)",
    )
    command.add_argument(
        "--init", metavar="PHOTO", help="a picture to start from, stretched to --size if that is given (noise)"
    )
    add_watch(command)
    add_search(command, run_visualize, 224, None)


def run_visualize(options: argparse.Namespace) -> int:
    """Save one PNG per image, and a contact sheet if there are several."""
    net = find_network(options)
    objective, titles = _objective(options, net)
    files = [f"visualize-{title}.png" for title in titles]
    out = writable(options.out, *files, "visualize.png")
    paths = [out / file for file in files]
    check_photos(options.init)
    shape = image_shape(net, options, len(paths) * (options.restarts or QUALITIES[options.quality].restarts))

    def preview(snapshot: Snapshot) -> None:
        if len(snapshot.x) > len(paths):  # several restarts are running
            return
        for x, path in zip(snapshot.x, paths, strict=True):
            unfinished(Picture(x, bounds=net.bounds), path.with_stem(f"{path.stem}-preview"))

    watching = Watching(options.watch, preview)
    extra = {name: getattr(options, name) for name in ("quality", "shared_frequencies", *OFF)}
    settings = search_settings(options) | extra | {"colours": shape[0], "init": options.init}
    x = torch.full((1, *shape), 0.5, device=net.device)
    steps = options.steps or default_steps(net, objective, options.quality, x)
    with watching.bar("visualize", steps + 1):
        try:
            made = visualize(net, objective, shape[1:], options.steps, options.seed, **settings, watch=watching)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, paths)
            raise
    pictures = made if isinstance(made, list) else [made]
    written = save_each(pictures, paths)
    if len(pictures) > 1:
        save_figure(objective_sheet(pictures, net, objective, names=titles), out / "visualize.png")
        written.append(out / "visualize.png")
    recipe = pictures[0].recipe
    used = {name: recipe["settings"][name] for name in ("steps", *settings)}
    values = {"images": titles, **used, "left_out": recipe.get("left_out", {})}
    text = f"{len(paths)} image{'s' * (len(paths) > 1)} of {', '.join(titles)}"
    if options.classes is not None:
        values["probability"] = dict(zip(titles, _probabilities(net, pictures, options.classes), strict=True))
        shown = ", ".join(f"{title} {share:.3f}" for title, share in values["probability"].items())
        text += f"\nprobability of the class, to this network: {shown}"
    finish(options, text, values, written, True)
    return 0


@torch.no_grad()
def _probabilities(net: Frozen, pictures: Sequence[Picture], classes: Sequence[str]) -> list[float]:
    """The probability of its class in each picture."""
    numbers = typed_indices(classes, net.facts.class_names)
    shares = [probabilities(net(picture.x[None]))[0] for picture in pictures]
    return [float(share[number]) for share, number in zip(shares, numbers, strict=True)]


def _objective(options: argparse.Namespace, net: Frozen) -> tuple[Objective, list[str]]:
    """The objective, and a name for each of its images."""
    if options.layer is None and options.classes is None:
        raise ValueError("Nothing to visualise; give --layer (and optionally --channels) or --classes.")
    if options.layer is not None and options.classes is not None:
        raise ValueError("--layer and --classes name two different things to visualise; give one of them.")
    if options.classes is not None:
        if options.channels is not None:
            raise ValueError("--channels needs --layer; omit it with --classes.")
        numbers = typed_indices(options.classes, net.facts.class_names)
        return LogProbability(numbers, TEMPERATURE), file_names(options.classes, numbers)
    if options.channels is None:
        return Layer(options.layer), [file_name(options.layer)]
    layer = file_name(options.layer)
    return Channel(options.layer, options.channels), [f"{layer}-{channel}" for channel in options.channels]
