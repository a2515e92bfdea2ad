"""`inputopt dream`, `zoom` and `repeat`: pictures that grow from a photo, and any picture made again."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from inputopt import checks
from inputopt.cli.given import find_model
from inputopt.cli.show import writable
from inputopt.cli.watching import Watching, add_watch, save_interrupted, unfinished
from inputopt.files import FileError, replacing, save_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.dream import dream, so_far
from inputopt.pictures.picture import to_image
from inputopt.pictures.recipe import read_recipe, remade, versions
from inputopt.pictures.sheet import Journey, sheet
from inputopt.pictures.zoom import film, zoom
from inputopt.search.loop import Interrupted, Snapshot
from inputopt.zoo.digits import load_digits
from inputopt.zoo.imagenet import SCALES

LAYERS = {"digits-mlp": "layers.0", "digits-cnn": "conv2", "digits-cnn-robust": "conv2"} | dict.fromkeys(
    SCALES, "blocks.8"
)
"""What is dreamt of where nothing is said."""

ON_DIGITS = {"steps": 60, "octaves": 1, "octave_scale": 1.4, "step_size": 0.01, "smoothing": 0.0}
ON_PHOTOS = {"steps": 10, "octaves": 4, "octave_scale": 1.4, "step_size": 0.015, "smoothing": 1.0}


def add_commands(commands: Any) -> None:
    """Add `dream`, `zoom` and `repeat`."""
    command = commands.add_parser("dream", help="make more of what a layer sees in a picture")
    _add_common(command)
    command.add_argument("--steps", type=int, help="at each size (10, on digits 60)")
    command.add_argument("--octaves", type=int, help="sizes to dream at (4, on digits 1)")
    command.add_argument("--octave-scale", type=float, help="ratio of one size to the next (1.4)")
    command.add_argument("--step-size", type=float, help="mean change of a pixel in a step (0.015, on digits 0.01)")
    command.add_argument("--smoothing", type=float, help="blur the gradient by so many pixels (1, on digits 0)")
    command.add_argument("--jitter", type=int, help="roll the picture by up to so many pixels before each step")
    command.add_argument("--guide", help="a photo: make more of what the layers see in it")
    command.add_argument("--mask", help="a photo: white is dreamt in, black stays")
    command.add_argument("--tile", type=int, help="side of the tiles that a large photo is cut into")
    add_watch(command)
    command.set_defaults(run=run_dream)

    command = commands.add_parser("zoom", help="a film that goes into a dream; one that was stopped goes on")
    _add_common(command)
    command.add_argument("--frames", type=int, default=60, help="(%(default)s)")
    command.add_argument("--factor", type=float, default=1.04, help="how much nearer a frame is (%(default)s)")
    command.add_argument("--steps", type=int, default=4, help="of each frame (%(default)s)")
    command.add_argument("--film", default="zoom.webp", help="a .webp, .gif or .mp4 (%(default)s)")
    command.set_defaults(run=run_zoom)

    command = commands.add_parser("repeat", help="make a picture again from the recipe that it carries")
    command.add_argument("picture", help="a PNG that inputopt wrote")
    command.add_argument("--model", help="the network, where its name is not enough")
    command.add_argument(
        "--file", action="append", default=[], metavar="NAME=PATH", help="a file that has moved: photo=china.jpg"
    )
    command.add_argument("--out", default="again", help="folder for the picture (%(default)s)")
    command.set_defaults(run=run_repeat)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="digits-mlp", help="a shipped network or a file (%(default)s)")
    command.add_argument("--photo", help="a picture; a digit if not given")
    command.add_argument(
        "--layers", help="names with commas between them, each may have a weight: blocks.5,blocks.8=0.5"
    )
    command.add_argument("--seed", type=int, default=0, help="what all chance is drawn from (%(default)s)")
    command.add_argument("--out", default="out", help="folder for the pictures (%(default)s)")


def run_dream(options: argparse.Namespace) -> int:
    """Dream, and on digits show the way there."""
    out = writable(options.out)
    net = Frozen(find_model(options.model))
    layers = _layers(options)
    usual = ON_DIGITS if options.model.startswith("digits") else ON_PHOTOS
    settings: dict[str, Any] = {
        name: usual[name] if getattr(options, name) is None else getattr(options, name) for name in usual
    }
    settings |= {name: getattr(options, name) for name in ("jitter", "guide", "mask", "tile")}
    photo = options.photo or _digit(options, out / "photo.png")
    settings["seed"] = options.seed
    steps = max(0, int(settings["octaves"])) * (max(0, int(settings["steps"])) + 1)
    journey = Journey(0) if usual is ON_DIGITS and settings["octaves"] == 1 else None

    def preview(snapshot: Snapshot) -> None:
        unfinished(so_far(net, photo, snapshot.x), out / "dream-preview.png")

    seen = Watching(options.watch, preview)

    def watch(snapshot: Snapshot) -> None:
        seen(snapshot)
        if journey is not None:
            journey(snapshot)

    with seen.bar("dream", steps):
        try:
            picture = dream(net, photo, layers, **settings, watch=watch)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [out / "dream.png"])
            raise
        except (ValueError, TypeError):
            if options.photo is None:
                Path(photo).unlink()  # nothing came of it
            raise
    picture.save(out / "dream.png")
    print(f"wrote {out / 'dream.png'}")
    if journey is not None:
        path = out / "dream-steps.png"
        save_figure(sheet([journey], net, f"More of what {', '.join(layers)} sees"), path)
        print(f"wrote {path}")
    return 0


def run_zoom(options: argparse.Namespace) -> int:
    """Write the frames, and the film of them."""
    out = writable(options.out)
    checks.whole("--frames", options.frames)
    checks.one_of("kind of film", Path(options.film).suffix, [".webp", ".gif", ".mp4"])
    net = Frozen(find_model(options.model))
    photo = options.photo or _digit(options, out / "photo.png")
    digits = {"octaves": 1} if options.model.startswith("digits") else {}
    settings = {"factor": options.factor, "steps": options.steps, "seed": options.seed, **digits}
    with tqdm(total=options.frames - 1, desc="zoom", unit="frame", leave=False, disable=None) as bar:
        frames = zoom(
            net, photo, _layers(options), out / "frames", options.frames, progress=lambda _: bar.update(1), **settings
        )
    film(frames, out / options.film)
    print(f"wrote {out / options.film}, {len(frames)} frames")
    return 0


def run_repeat(options: argparse.Namespace) -> int:
    """Make a picture again; 0 if the bytes are the same."""
    picture = Path(options.picture)
    recipe = read_recipe(picture)
    out = writable(options.out) / picture.name
    if out.exists() and os.path.samefile(out, picture):
        raise FileError(f"{picture} would be written over; choose another folder with --out.")
    made = recipe.get("versions")
    before, threads = torch.get_num_threads(), made.get("threads") if isinstance(made, dict) else None
    torch.set_num_threads(min(checks.whole("threads", threads or before), os.cpu_count() or 1))
    try:
        if "arguments" in recipe:
            _typed_again(recipe["arguments"], out, options.again)
        else:
            remade(recipe, lambda name: _find(name, options.model), _given(options.file)).save(out)
        now = versions()
    finally:
        torch.set_num_threads(before)
    if out.read_bytes() == picture.read_bytes():
        print(f"wrote {out}, the same bytes as {picture}")
        return 0
    others = [f"{name} {made[name]} and now {now[name]}" for name in now if isinstance(made, dict) and name in made]
    changed = [text for text in others if text.split()[1] != text.split()[-1]]
    why = f": it was made with {', '.join(changed)}" if changed else ""
    print(f"wrote {out}, which differs from {picture}{why}")
    return 1


def _given(files: list[str]) -> dict[str, str]:
    given = {}
    for text in files:
        name, equals, path = text.partition("=")
        if not equals:
            raise ValueError(f"--file must be NAME=PATH, such as photo=china.jpg, not {text!r}.")
        given[name] = path
    return given


def _typed_again(arguments: Any, out: Path, run: Callable[[list[str], str], int]) -> None:
    """Run the command that made a figure in a folder of its own, and take the figure from there.

    Raises:
        ValueError: the command runs code by its name, or does not make that figure.
    """
    words = [str(word) for word in arguments]
    line = f"inputopt {' '.join(words)}"
    if any(":" in word for word in words):
        raise ValueError(f"The figure was made by a command that runs code of its own; type it yourself: {line}")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            run(words, folder)
        except SystemExit as error:
            raise ValueError(f"The figure was not made by a command of this version: {line}") from error
        found = sorted(Path(folder).rglob(out.name))
        if not found:
            raise ValueError(f"The command does not make {out.name} any more: {line}")
        with replacing(out) as temporary:
            temporary.write_bytes(found[0].read_bytes())


def _find(name: str, given: str | None) -> nn.Module:
    """The network of a recipe; code is run for it only if the user names it."""
    if given is not None:
        return find_model(given)
    if ":" in name:
        raise ValueError(f"The picture was made by a network that {name} builds; say --model {name} to run that code.")
    return find_model(name)


def _layers(options: argparse.Namespace) -> dict[str, float]:
    """Names with their weights."""
    text = options.layers or LAYERS.get(options.model)
    if text is None:
        raise ValueError(f"Say which --layers to dream of; `inputopt layers {options.model}` lists them.")
    weights = {}
    for part in text.split(","):
        name, equals, weight = part.partition("=")
        try:
            weights[name] = float(weight) if equals else 1.0
        except ValueError as error:
            raise ValueError(f"--layers must be names or name=weight, not {part!r}.") from error
    return weights


def _digit(options: argparse.Namespace, path: Path) -> str:
    """A digit as a file, for the recipe to name."""
    if not options.model.startswith("digits"):
        raise ValueError("Name a picture with --photo.")
    image: Image.Image = to_image(load_digits().held_x[options.seed % 1000])
    image.save(path)
    return str(path)
