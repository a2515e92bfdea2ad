"""`inputopt invert` and `accentuate`: images whose activations match, or exaggerate, those of a photo."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inputopt.cli.data.image_folder import add_resize
from inputopt.cli.data.photo_resize import RESIZED, check_resize, naming_resize, scaled_photo
from inputopt.cli.live_preview import Watching, add_watch, save_interrupted, unfinished
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, provisional, writable
from inputopt.cli.parsing import choice, names, number, whole
from inputopt.cli.photo_arguments import check_photos
from inputopt.cli.verbs import add_common, add_verb
from inputopt.pictures.accentuate import accentuate
from inputopt.pictures.canvas_choice import CANVASES
from inputopt.pictures.invert import invert
from inputopt.pictures.picture import Picture
from inputopt.search.loop import Interrupted, Snapshot


def add_commands(commands: Any) -> None:
    """Add `invert` and `accentuate`."""
    command = add_verb(commands, "invert")
    _add_common(command, 256)
    command.add_argument(
        "--smooth", type=number(0), default=0.1, help="weight of the total variation against noise (%(default)s)"
    )
    add_common(command, "out")
    command.set_defaults(run=run_invert)

    command = add_verb(commands, "accentuate")
    _add_common(command, 128)
    command.add_argument(
        "--augment", type=number(0), default=0.5, help="strength of the random transformations (%(default)s)"
    )
    add_common(command, "out")
    command.set_defaults(run=run_accentuate)


def _add_common(command: argparse.ArgumentParser, steps: int) -> None:
    add_network(command)
    command.add_argument("photo", help="an image file")
    add_resize(command)
    command.add_argument("--layers", type=names, required=True, help="layer names separated by commas")
    command.add_argument("--steps", type=whole(), default=steps, help="number of steps (%(default)s)")
    command.add_argument(
        "--canvas",
        type=choice("canvas", CANVASES),
        default="fourier",
        help=f"one of {', '.join(CANVASES)} (%(default)s)",
    )
    add_watch(command)


def run_invert(options: argparse.Namespace) -> int:
    """Save the image, and print how far its activations are from the photo's."""
    picture, path = _made(options, invert, {"smooth": options.smooth})
    distance = float(picture.recipe["distance"])
    finish(options, f"remaining activation distance {distance:.3g}", {"distance": distance}, [path])
    return 0


def run_accentuate(options: argparse.Namespace) -> int:
    """Save the image."""
    _, path = _made(options, accentuate, {"augment": options.augment})
    finish(options, f"caricature of {', '.join(options.layers)}", {"layers": options.layers}, [path])
    return 0


def _made(options: argparse.Namespace, make: Callable[..., Picture], extra: dict[str, Any]) -> tuple[Picture, Path]:
    """Make and save the image, with previews if asked for; an interrupted one is saved as unfinished."""
    out = writable(options.out, f"{options.command}.png", RESIZED)
    path = out / f"{options.command}.png"
    check_resize(options)
    check_photos(options.photo)
    net = find_network(options)

    def preview(snapshot: Snapshot) -> None:
        unfinished(Picture(snapshot.x[0], bounds=net.bounds), path.with_stem(f"{path.stem}-preview"))

    watching = Watching(options.watch, preview)
    settings = {"canvas": options.canvas, **extra}
    with watching.bar(options.command, options.steps + 1), provisional(out / RESIZED):
        photo = scaled_photo(options)
        try:
            with naming_resize(net, photo):
                made = make(net, photo, options.layers, options.steps, options.seed, **settings, watch=watching)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [path])
            raise
    made.save(path)
    return made, path
