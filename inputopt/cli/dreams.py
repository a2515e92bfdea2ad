"""`inputopt dream`, `zoom` and `repeat`: pictures that grow from a photo, and any picture made again."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from inputopt import checks
from inputopt.cli.data import in_bounds
from inputopt.cli.network import add_network, answer, check_name, find_model, find_network
from inputopt.cli.parsing import UsageError, number, seed, whole
from inputopt.cli.show import provisional, writable, wrote
from inputopt.cli.watching import Watching, add_watch, save_interrupted, unfinished
from inputopt.files import FileError, reading, replacing, save_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.dream import dream, so_far
from inputopt.pictures.picture import read_levels, to_image
from inputopt.pictures.recipe import read_recipe, remade, versions
from inputopt.pictures.sheet import Journey, sheet
from inputopt.pictures.zoom import FILMS, film, zoom
from inputopt.search.loop import Interrupted, Snapshot
from inputopt.zoo.digits import load_digits
from inputopt.zoo.imagenet import SCALES

DREAM_FILES = ("photo.png", "dream-preview.png", "dream.png", "dream-steps.png")
MOST_FRAMES = 99_999
"""As many as the files of frames are numbered."""

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
    command.add_argument("--steps", type=whole(), help="at each size (10, on digits 60)")
    command.add_argument("--octaves", type=whole(1, 100), help="sizes to dream at (4, on digits 1)")
    command.add_argument("--octave-scale", type=number(above=1), help="ratio of one size to the next (1.4)")
    command.add_argument(
        "--step-size", type=number(above=0), help="mean change of a pixel in a step (0.015, on digits 0.01)"
    )
    command.add_argument("--smoothing", type=number(0), help="blur the gradient by so many pixels (1, on digits 0)")
    command.add_argument("--jitter", type=whole(0), help="roll the picture by up to so many pixels before each step")
    command.add_argument("--guide", help="a photo: make more of what the layers see in it")
    command.add_argument("--mask", help="a photo: white is dreamt in, black stays")
    command.add_argument("--tile", type=whole(32), help="side of the tiles that a large photo is cut into")
    add_watch(command)
    command.set_defaults(run=run_dream)

    command = commands.add_parser("zoom", help="a film that goes into a dream; one that was stopped goes on")
    _add_common(command)
    command.add_argument("--frames", type=whole(1, MOST_FRAMES), default=60, help="(%(default)s)")
    command.add_argument(
        "--factor", type=number(above=1), default=1.04, help="how much nearer a frame is (%(default)s)"
    )
    command.add_argument("--steps", type=whole(), default=4, help="of each frame (%(default)s)")
    command.add_argument("--film", type=film_name, default="zoom.webp", help="a .webp, .gif or .mp4 (%(default)s)")
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
    add_network(command, "digits-mlp")
    command.add_argument("--photo", help="a picture; a digit if not given")
    command.add_argument(
        "--layers",
        type=weights,
        help="names with commas between them, each may have a weight: blocks.5,blocks.8=0.5",
    )
    command.add_argument("--seed", type=seed, default=0, help="what all chance is drawn from (%(default)s)")
    command.add_argument("--out", default="out", help="folder for the pictures (%(default)s)")


def run_dream(options: argparse.Namespace) -> int:
    """Dream, and on digits show the way there."""
    out = writable(options.out, *DREAM_FILES)
    layers = _layers(options)
    _check_photos(options.photo, options.guide, options.mask)
    net = find_network(options)
    usual = ON_DIGITS if options.model.startswith("digits") else ON_PHOTOS
    settings: dict[str, Any] = {
        name: usual[name] if getattr(options, name) is None else getattr(options, name) for name in usual
    }
    settings |= {name: getattr(options, name) for name in ("jitter", "guide", "mask", "tile")}
    photo = options.photo or str(out / "photo.png")
    settings["seed"] = options.seed
    steps = settings["octaves"] * (settings["steps"] + 1)
    journey = Journey(0) if usual is ON_DIGITS and settings["octaves"] == 1 else None

    def preview(snapshot: Snapshot) -> None:
        unfinished(so_far(net, photo, snapshot.x), out / "dream-preview.png")

    seen = Watching(options.watch, preview)

    def watch(snapshot: Snapshot) -> None:
        seen(snapshot)
        if journey is not None:
            journey(snapshot)

    with seen.bar("dream", steps), provisional(*(out / name for name in DREAM_FILES)):
        if options.photo is None:
            _write_digit(net, layers, options.seed, out / "photo.png")
        try:
            picture = dream(net, photo, layers, **settings, watch=watch)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [out / "dream.png"])
            raise
    picture.save(out / "dream.png")
    wrote(out / "dream.png")
    if journey is not None:
        path = out / "dream-steps.png"
        save_figure(sheet([journey], net, f"More of what {', '.join(layers)} sees"), path)
        wrote(path)
    return 0


def run_zoom(options: argparse.Namespace) -> int:
    """Write the frames, and the film of them."""
    frame = Path("frames") / "frame-00000.png"
    out = writable(options.out, "photo.png", frame, options.film)
    if options.film.lower().endswith(".mp4") and shutil.which("ffmpeg") is None:
        raise FileError("An mp4 needs ffmpeg, which is not installed; make a .webp or a .gif.")
    layers = _layers(options)
    _check_photos(options.photo)
    net = find_network(options)
    photo = options.photo or str(out / "photo.png")
    digits = {"octaves": 1} if options.model.startswith("digits") else {}
    settings = {"factor": options.factor, "steps": options.steps, "seed": options.seed, **digits}
    bar = tqdm(total=options.frames - 1, desc="zoom", unit="frame", leave=False, disable=None)
    with bar, provisional(out / "photo.png", out / frame):
        if options.photo is None:
            _write_digit(net, layers, options.seed, out / "photo.png")
        frames = zoom(net, photo, layers, out / "frames", options.frames, progress=lambda _: bar.update(1), **settings)
    film(frames, out / options.film)
    print(f"wrote {out / options.film}, {len(frames)} frames")
    return 0


def run_repeat(options: argparse.Namespace) -> int:
    """Make a picture again; 0 if the bytes are the same."""
    picture = Path(options.picture)
    with reading(picture, "a picture"):
        recipe = read_recipe(picture)
    out = writable(options.out, picture.name) / picture.name
    if out.exists() and os.path.samefile(out, picture):
        raise FileError(f"{picture} would be written over; choose another folder with --out.")
    given = _given(options.file)
    made = recipe.get("versions")
    before, threads = torch.get_num_threads(), made.get("threads") if isinstance(made, dict) else None
    torch.set_num_threads(min(checks.whole("threads", threads or before), os.cpu_count() or 1))
    try:
        if "arguments" in recipe:
            if given or options.model is not None:
                raise ValueError("A command made this figure, which says all by itself; leave out --model and --file.")
            _typed_again(recipe["arguments"], out, options.again)
        else:
            remade(recipe, lambda name: _find(name, options.model), given).save(out)
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
    given: dict[str, str] = {}
    for text in files:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ValueError(f"--file must be NAME=PATH, such as photo=china.jpg, not {text!r}.")
        if name in given:
            raise ValueError(f"--file names {name} twice; say it once.")
        given[name] = path
    _check_photos(*given.values())
    return given


def _check_photos(*photos: str | None) -> None:
    """Have photos that are given read, before anything else is done."""
    for photo in photos:
        if photo is not None:
            with reading(photo, "an image"):
                read_levels(photo)


def _typed_again(arguments: Any, out: Path, run: Callable[[list[str], str], int]) -> None:
    """Run the command that made a figure in a folder of its own, and take the figure from there.

    Raises:
        ValueError: the command runs code by its name, or does not make that figure.
    """
    words = [str(word) for word in arguments]
    line = f"inputopt {' '.join(words)}"
    if any(":" in word for before, word in pairwise(["", *words]) if "--bounds" not in (before, word.split("=")[0])):
        raise ValueError(f"The figure was made by a command that runs code of its own; type it yourself: {line}")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            run(words, folder)
        except (UsageError, SystemExit) as error:
            raise ValueError(f"The figure was not made by a command of this version: {line}") from error
        found = sorted(Path(folder).rglob(out.name))
        if not found:
            raise ValueError(f"The command does not make {out.name} any more: {line}")
        with replacing(out) as temporary:
            temporary.write_bytes(found[0].read_bytes())


def _find(name: str, given: str | None) -> nn.Module:
    """The network of a recipe; code is run for it only if the user names it."""
    if given is None and ":" in name:
        raise ValueError(f"The picture was made by a network that {name} builds; say --model {name} to run that code.")
    found = find_model(name if given is None else given)
    if not isinstance(found, nn.Module):
        raise ValueError(f"{given} must be a torch module: the picture says itself how it was frozen.")
    return found


def weights(text: str) -> dict[str, float]:
    """Reads names of layers with commas between them, each with a weight behind = or 1.

    >>> weights("blocks.5, blocks.8=0.5")
    {'blocks.5': 1.0, 'blocks.8': 0.5}
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, weight = (piece.strip() for piece in part.partition("="))
        try:
            value = float(weight) if equals else 1.0
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"must be names, each alone or as name=weight, not {part[:60]!r}.")
        if name in found:
            raise argparse.ArgumentTypeError(f"has {name} twice; say each once.")
        found[name] = value
    return found


def film_name(text: str) -> str:
    """Reads the name of a film."""
    if Path(text).suffix.lower() not in FILMS:
        raise argparse.ArgumentTypeError(
            f"must be a kind of film that is known, of {', '.join(FILMS)}, not {text[:60]!r}."
        )
    return text


def _layers(options: argparse.Namespace) -> dict[str, float]:
    """Names with their weights, of a network that has a picture to dream of.

    Raises:
        ValueError: neither is said, and the network has no usual ones.
    """
    check_name(options.model)
    if options.photo is None and not options.model.startswith("digits"):
        raise ValueError("Name a picture with --photo.")
    found: dict[str, float] | None = options.layers
    if found is None and options.model not in LAYERS:
        raise ValueError(f"Say which --layers to dream of; `inputopt layers {options.model}` lists them.")
    return {LAYERS[options.model]: 1.0} if found is None else found


def _write_digit(net: Frozen, layers: Mapping[str, float], seed: int, path: Path) -> None:
    """A digit as a file, for the recipe to name, if the network takes it and has such layers."""
    digit = load_digits().held_x[seed % 1000]
    x = in_bounds(net, digit[None])
    answer(net, x)
    with torch.no_grad():
        net.features(x, list(layers))
    image: Image.Image = to_image(digit)
    with replacing(path) as temporary:
        image.save(temporary)
