"""`inputopt visualize`, `evolve` and `atlas`: feature visualisation."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.cli.commands.command_dream import check_photos
from inputopt.cli.data.image_folder import IMAGES
from inputopt.cli.live_preview import Watching, add_watch, save_interrupted, unfinished
from inputopt.cli.memory_limits import bytes_a_picture, check_memory
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, stderr_bar, table, writable
from inputopt.cli.parsing import choice, different, names, number, probability, sizes, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import FileError, reading, save_figure
from inputopt.nets.class_names import class_names, index_in
from inputopt.nets.frozen import Frozen
from inputopt.pictures.atlas import atlas
from inputopt.pictures.canvas_choice import CANVASES
from inputopt.pictures.map_elites import MapElites, evolve_images
from inputopt.pictures.objective_sheet import objective_sheet
from inputopt.pictures.picture import Picture, read_levels
from inputopt.pictures.picture_quality import OFF, QUALITIES, default_steps
from inputopt.pictures.picture_shape import picture_shape
from inputopt.pictures.sheet import contact_sheet
from inputopt.pictures.visualize import visualize
from inputopt.search.loop import Interrupted, Snapshot
from inputopt.search.objectives.features import Channel, Layer, LogProbability
from inputopt.search.objectives.objective import Objective

TEMPERATURE = 4.0
"""Softmax temperature of the class objective: at 1 the probability saturates too soon, and its gradient vanishes."""


def add_commands(commands: Any) -> None:
    """Add `visualize`, `evolve` and `atlas`."""
    command = add_verb(commands, "visualize")
    add_network(command)
    command.add_argument("--layer", help="layer name; see `inputopt layers` (none)")
    command.add_argument(
        "--channels", type=different(sizes(0)), help="channel numbers separated by commas (the whole layer)"
    )
    command.add_argument(
        "--classes", type=names, help="class names or numbers separated by commas, instead of a layer (none)"
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
    command.add_argument("--init", metavar="PHOTO", help="a picture to start from, scaled to --size (noise)")
    add_watch(command)
    _add_common(command, run_visualize, 224, None)

    command = add_verb(commands, "evolve")
    add_network(command)
    command.add_argument("--classes", type=names, required=True, help="class names or numbers separated by commas")
    command.add_argument(
        "--generations", type=whole(), default=1000, help="maximum number of generations (%(default)s)"
    )
    command.add_argument("--population", type=whole(), default=64, help="children per generation (%(default)s)")
    command.add_argument("--confidence", type=probability, default=0.9, help="class probability to reach (%(default)s)")
    _add_model(command, 96)
    command.set_defaults(run=run_evolve)

    command = add_verb(commands, "atlas")
    add_network(command)
    command.add_argument("photos", help="a folder of photos")
    command.add_argument("--layer", required=True, help="layer name; see `inputopt layers` (none)")
    channels = different(sizes(0))
    command.add_argument("--channels", type=channels, required=True, help="channel numbers separated by commas")
    command.add_argument("--top", type=whole(), default=3, help="photo patches per channel (%(default)s)")
    _add_common(command, run_atlas, 128, 128)


def _add_model(command: argparse.ArgumentParser, size: int) -> None:
    command.add_argument(
        "--size", type=whole(), help=f"side of an image in pixels (the only one that the network takes, else {size})"
    )
    command.add_argument("--grey", action="store_true", help="make grey images (the channels that the network takes)")
    command.set_defaults(usual_size=size)
    add_common(command, "out")


def _add_common(command: argparse.ArgumentParser, run: Any, size: int, steps: int | None) -> None:
    _add_model(command, size)
    default = " (that of --quality)" if steps is None else " (%(default)s)"
    command.add_argument("--steps", type=whole(), default=steps, help=f"number of steps{default}")
    command.add_argument(
        "--canvas",
        type=choice("canvas", CANVASES),
        default="natural",
        help=f"one of {', '.join(CANVASES)} (%(default)s)",
    )
    command.add_argument(
        "--augment",
        type=number(0),
        default=1.0,
        help="strength of the random transformations at each step (%(default)s)",
    )
    command.set_defaults(run=run)


def run_visualize(options: argparse.Namespace) -> int:
    """Save one PNG per image, and a contact sheet if there are several."""
    net = find_network(options)
    objective, titles = _objective(options, net)
    files = [f"visualize-{title}.png" for title in titles]
    out = writable(options.out, *files, "visualize.png")
    paths = [out / file for file in files]
    check_photos(options.init)
    shape = _shape(net, options, len(paths) * (options.restarts or QUALITIES[options.quality].restarts))

    def preview(snapshot: Snapshot) -> None:
        if len(snapshot.x) > len(paths):  # several restarts are running
            return
        for x, path in zip(snapshot.x, paths, strict=True):
            unfinished(Picture(x, bounds=net.bounds), path.with_stem(f"{path.stem}-preview"))

    watching = Watching(options.watch, preview)
    extra = {name: getattr(options, name) for name in ("quality", "shared_frequencies", *OFF)}
    settings = _settings(options) | extra | {"colours": shape[0], "init": options.init}
    x = torch.full((1, *shape), 0.5, device=net.device)
    steps = options.steps or default_steps(net, objective, options.quality, x)
    with watching.bar("visualize", steps + 1):
        try:
            made = visualize(net, objective, shape[1:], options.steps, options.seed, **settings, watch=watching)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, paths)
            raise
    pictures = made if isinstance(made, list) else [made]
    written = _save(pictures, paths)
    if len(pictures) > 1:
        save_figure(objective_sheet(pictures, net, objective, names=titles), out / "visualize.png")
        written.append(out / "visualize.png")
    recipe = pictures[0].recipe
    used = {name: recipe["settings"][name] for name in ("steps", *settings)}
    values = {"images": titles, **used, "left_out": recipe.get("left_out", {})}
    finish(options, f"{len(paths)} image{'s' * (len(paths) > 1)} of {', '.join(titles)}", values, written, True)
    return 0


def run_evolve(options: argparse.Namespace) -> int:
    """Save one PNG per class and a contact sheet; return 1 if an image does not reach the confidence."""
    net = find_network(options)
    numbers, titles = _classes(options.classes, net.facts.class_names)
    files = [f"evolve-{title}.png" for title in titles]
    out = writable(options.out, *files, "evolve.png")
    paths = [out / file for file in files]
    rules = MapElites(population=options.population, seed=checks.seed(options.seed))
    shape = _shape(net, options, options.population)
    with stderr_bar(total=options.generations, desc="evolve", unit="generation") as bar:

        def progress(generation: int, sure: Tensor) -> None:
            bar.set_postfix_str(f"{int((sure >= options.confidence).sum())} of {len(sure)} reached", refresh=False)
            bar.update(1)

        settings: dict[str, Any] = {"confidence": options.confidence, "rules": rules, "progress": progress}
        try:
            found = evolve_images(net, numbers, shape, options.generations, options.seed, **settings)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, paths)
            raise
    written = _save(found.pictures, paths)
    if len(written) > 1:
        every = torch.stack([picture.x for picture in found.pictures])
        title = "Evolved images, with predicted class and probability"
        save_figure(contact_sheet(every, net, title, 5), out / "evolve.png")
        written.append(out / "evolve.png")
    rows = [[title, f"{float(sure):.4f}"] for title, sure in zip(titles, found.probability, strict=True)]
    text = (
        f"{table(['class', 'probability'], rows)}\n\n{found.generations} generations, {found.forwards} images evaluated"
    )
    probability = dict(zip(titles, map(float, found.probability), strict=True))
    values = {"probability": probability, "generations": found.generations, "evaluated": int(found.forwards)}
    finish(options, text, values, written, keep_earlier=True)
    return 0 if bool(found.success.all()) else 1


def _shape(net: Frozen, options: argparse.Namespace, pictures: int) -> tuple[int, int, int]:
    """The shape of an image, as given or as the network takes; images that do not fit into memory are refused."""
    init = getattr(options, "init", None)
    size = options.size or (None if init is None else tuple(read_levels(init).shape[1:]))
    shape = picture_shape(net, size, 1 if options.grey else None, options.usual_size)
    needed = pictures * bytes_a_picture(net, *shape)
    check_memory(f"{pictures:,} images of {shape[1]:,} x {shape[2]:,}", needed, "a smaller --size, or fewer")
    return shape


def _save(pictures: Sequence[Picture], paths: Sequence[Path]) -> list[Path]:
    """Save one PNG per image; return the paths."""
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    return list(paths)


def run_atlas(options: argparse.Namespace) -> int:
    """Save the atlas as one sheet."""
    out = writable(options.out, "atlas.png")
    photos = _photos(Path(options.photos))
    net = find_network(options)
    count = len(options.channels)
    shape = _shape(net, options, count)
    settings = _settings(options) | {"top": options.top, "colours": shape[0]}
    arguments = (options.layer, photos, options.channels, shape[1], options.steps, options.seed)
    watching = Watching(None, lambda snapshot: None)
    with watching.bar("atlas", options.steps + 1):
        try:
            found = atlas(net, *arguments, **settings, watch=watching)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [out / f"atlas-{channel}.png" for channel in options.channels])
            raise
    save_figure(found.sheet(), out / "atlas.png")
    text = f"{count} channels of {options.layer}, each with {options.top} patches of {len(photos)} photos"
    values = {"layer": options.layer, "channels": options.channels, "photos": len(photos)}
    finish(options, text, values, [out / "atlas.png"])
    return 0


def _photos(folder: Path) -> list[Path]:
    """Paths of the photos in a folder, after checking that each can be read."""
    with reading(folder, "a folder of photos"):
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    if not found:
        raise FileError(f"{folder} contains no images; give a folder with images.")
    for path in found:
        with reading(path, "an image"):
            read_levels(path)
    return found


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {"canvas": options.canvas, "augment": options.augment}


def _objective(options: argparse.Namespace, net: Frozen) -> tuple[Objective, list[str]]:
    """The objective, and a name for each of its images."""
    if (options.layer is None) == (options.classes is None):
        raise ValueError("Nothing to visualise; give --layer (and optionally --channels) or --classes.")
    if options.classes is not None:
        if options.channels is not None:
            raise ValueError("--channels needs --layer; omit it with --classes.")
        numbers, titles = _classes(options.classes, net.facts.class_names)
        return LogProbability(numbers, TEMPERATURE), titles
    if options.channels is None:
        return Layer(options.layer), [_file_name(options.layer)]
    layer = _file_name(options.layer)
    return Channel(options.layer, options.channels), [f"{layer}-{channel}" for channel in options.channels]


def _classes(given: Sequence[str], known: Sequence[str] | None) -> tuple[list[int], list[str]]:
    """Class indices, and names that are valid in file names; `known` are the names of the classes, ImageNet's if None.

    Raises:
        ValueError: there is no such class, or one is given twice, such as by name and by number.
    """
    numbers = [int(name) if name.isdecimal() else index_in(name, known or class_names()) for name in given]
    twice = next((name for name, each in zip(given, numbers, strict=True) if numbers.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"--classes has {twice} twice; give each only once.")
    return numbers, [_file_name(name) for name in given]


def _file_name(name: str) -> str:
    """Replace characters that are not valid in a file name."""
    return re.sub(r"[^\w.()-]+", "-", name)
