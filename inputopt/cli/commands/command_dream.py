"""`inputopt dream` and `zoom`: DeepDream images, and films that zoom into them."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from inputopt.cli.data.image_folder import add_resize
from inputopt.cli.data.input_bounds import in_bounds
from inputopt.cli.data.photo_resize import RESIZED, check_resize, naming_resize, scaled_photo
from inputopt.cli.live_preview import Watching, add_watch, save_interrupted, unfinished
from inputopt.cli.model_arguments import add_network, answer, check_name, find_network
from inputopt.cli.output import finish, provisional, stderr_bar, writable
from inputopt.cli.parsing import different, number, sizes, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import FileError, reading, replacing, save_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.dream import dream, intermediate_dream
from inputopt.pictures.dream_settings import TINY, settings_for
from inputopt.pictures.picture import read_levels, to_image
from inputopt.pictures.sheet import FrameRecorder, sheet
from inputopt.pictures.zoom import FILMS, film, zoom
from inputopt.search.loop import Interrupted, Snapshot
from inputopt.zoo.digits import load_digits
from inputopt.zoo.imagenet import SCALES

DREAM_FILES = ("photo.png", RESIZED, "dream-preview.png", "dream.png", "dream-steps.png")
MOST_FRAMES = 99_999
"""Largest frame number that fits the five digits of the frame file names."""

DIGIT = (28, 28)
"""Size of the digit that digits networks dream of where no photo is given."""

LAYERS = {"digits-mlp": "layers.0", "digits-cnn": "conv2", "digits-cnn-robust": "conv2"} | dict.fromkeys(
    SCALES, "blocks.8"
)
"""Default layer of each network."""

SETTINGS = ("jitter", "steps", "octaves", "octave_scale", "step_size", "smoothing")
"""Options with a default that depends on the size of the photo."""


def add_commands(commands: Any) -> None:
    """Add `dream` and `zoom`."""
    command = add_verb(commands, "dream")
    _add_common(command)
    command.add_argument("--steps", type=whole(), help="steps at each octave (10; on tiny images 60)")
    command.add_argument("--octaves", type=whole(1, 100), help="number of image sizes (4; on tiny images 1)")
    command.add_argument("--octave-scale", type=number(above=1), help="ratio of consecutive image sizes (1.4)")
    command.add_argument(
        "--step-size",
        type=number(above=0),
        help="mean change of a pixel per step, as a share of the bounds' width (0.015; on tiny images 0.01)",
    )
    command.add_argument(
        "--smoothing", type=number(0), help="blur the gradient by a Gaussian of this many pixels (1; on tiny images 0)"
    )
    command.add_argument(
        "--jitter",
        type=whole(0),
        help="roll the image by up to this many pixels before each step (a share of its size; on tiny images 0)",
    )
    command.add_argument(
        "--channels",
        type=different(sizes(0)),
        help="amplify only these channels of the layer, separated by commas (all)",
    )
    command.add_argument("--guide", help="a photo: amplify the features that the layers find in it (none)")
    command.add_argument(
        "--mask", help="an image as large as the photo: white areas are changed, black areas are kept (none)"
    )
    command.add_argument(
        "--tile", type=whole(32), help="side in pixels of the tiles that a large photo is split into (not split)"
    )
    add_watch(command)
    command.set_defaults(run=run_dream)

    command = add_verb(commands, "zoom")
    _add_common(command)
    command.add_argument("--frames", type=whole(1, MOST_FRAMES), default=60, help="number of frames (%(default)s)")
    command.add_argument("--factor", type=number(above=1), default=1.04, help="zoom factor per frame (%(default)s)")
    command.add_argument("--steps", type=whole(), default=4, help="steps at each octave of a frame (%(default)s)")
    command.add_argument(
        "--film", type=film_name, default="zoom.webp", help="name of the .webp, .gif or .mp4 file (%(default)s)"
    )
    command.set_defaults(run=run_zoom)


def _add_common(command: argparse.ArgumentParser) -> None:
    add_network(command)
    add_photo(command)
    command.add_argument(
        "--layers",
        type=weights,
        help="layer names separated by commas, each with an optional weight: blocks.5,blocks.8=0.5 (layers.0, conv2 or "
        "blocks.8 of shipped networks)",
    )
    add_common(command, "out")


def add_photo(command: argparse.ArgumentParser) -> None:
    """Add the photo as a positional argument."""
    command.add_argument("photo", nargs="?", help="an image file (for digits networks: a digit)")
    add_resize(command)


def run_dream(options: argparse.Namespace) -> int:
    """Save the dream, and for digits at one octave a sheet of the steps."""
    out = writable(options.out, *DREAM_FILES)
    layers = _layers(options)
    check_resize(options)
    check_photos(options.photo, options.guide, options.mask)
    net = find_network(options)
    given = {name: getattr(options, name) for name in SETTINGS}
    height, width = DIGIT if options.photo is None else read_levels(options.photo, resize=options.resize).shape[1:]
    chosen = settings_for(height, width, **given)
    settings = asdict(chosen) | {name: getattr(options, name) for name in ("channels", "guide", "mask", "tile", "seed")}
    photo = _photo_path(options, out)
    steps = chosen.octaves * (chosen.steps + 1)
    journey = FrameRecorder(0) if max(height, width) <= TINY and chosen.octaves == 1 else None

    def preview(snapshot: Snapshot) -> None:
        unfinished(intermediate_dream(net, photo, snapshot.x), out / "dream-preview.png")

    watching = Watching(options.watch, preview)

    def watch(snapshot: Snapshot) -> None:
        watching(snapshot)
        if journey is not None:
            journey(snapshot)

    with watching.bar("dream", steps), provisional(*(out / name for name in DREAM_FILES)):
        _write_photo(options, net, layers, out)
        try:
            with naming_resize(net, photo):
                picture = dream(net, photo, layers, **settings, watch=watch)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [out / "dream.png"])
            raise
    picture.save(out / "dream.png")
    which = "" if options.channels is None else f", channels {', '.join(map(str, options.channels))}"
    title = f"DeepDream of {', '.join(layers)}{which}"
    written = [out / "dream.png"]
    if journey is not None:
        path = out / "dream-steps.png"
        save_figure(sheet([journey], net, title), path)
        written.append(path)
    finish(options, title, {"layers": layers, **settings}, written)
    return 0


def run_zoom(options: argparse.Namespace) -> int:
    """Write the frames and the film."""
    frame = Path("frames") / "frame-00000.png"
    out = writable(options.out, "photo.png", RESIZED, frame, options.film)
    if options.film.lower().endswith(".mp4") and shutil.which("ffmpeg") is None:
        raise FileError("Writing .mp4 needs ffmpeg, which is not installed; choose .webp or .gif.")
    layers = _layers(options)
    check_resize(options)
    check_photos(options.photo)
    net = find_network(options)
    photo = _photo_path(options, out)
    settings = {"factor": options.factor, "steps": options.steps, "seed": options.seed}
    bar = stderr_bar(total=options.frames - 1, desc="zoom", unit="frame")
    with bar, provisional(out / "photo.png", out / RESIZED, out / frame), naming_resize(net, photo):
        _write_photo(options, net, layers, out)
        frames = zoom(net, photo, layers, out / "frames", options.frames, progress=lambda _: bar.update(1), **settings)
    film(frames, out / options.film)
    values = {"frames": len(frames), **settings}
    finish(options, f"{len(frames)} frames", values, [out / options.film], keep_earlier=True)
    return 0


def check_photos(*photos: str | None) -> None:
    """Check that the given photos can be read, before any other work."""
    for photo in photos:
        if photo is not None:
            with reading(photo, "an image"):
                read_levels(photo)


def weights(text: str) -> dict[str, float]:
    """Parse layer names separated by commas, each with an optional `=weight` (default 1).

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
            raise argparse.ArgumentTypeError(f"must be names or name=weight separated by commas, not {part[:60]!r}.")
        if name in found:
            raise argparse.ArgumentTypeError(f"has {name} twice; give each only once.")
        found[name] = value
    return found


def film_name(text: str) -> str:
    """Parse the file name of a film; the suffix must be one of `FILMS`."""
    if Path(text).suffix.lower() not in FILMS:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(FILMS)}, not {text[:60]!r}.")
    return text


def _layers(options: argparse.Namespace) -> dict[str, float]:
    """Layer names with their weights.

    Raises:
        ValueError: no photo or no layers are given, and the network has no default.
    """
    check_name(options.model)
    if options.photo is None and not options.model.startswith("digits"):
        raise ValueError(f"{options.model} has no default photo; give an image file after the network.")
    found: dict[str, float] | None = options.layers
    if found is None and options.model not in LAYERS:
        raise ValueError(
            f"{options.model} has no default layers; give --layers (see `inputopt layers {options.model}`)."
        )
    return {LAYERS[options.model]: 1.0} if found is None else found


def _photo_path(options: argparse.Namespace, out: Path) -> str:
    """The path of the photo as it is used."""
    if options.photo is not None and options.resize is None:
        return str(options.photo)
    return str(out / ("photo.png" if options.photo is None else RESIZED))


def _write_photo(options: argparse.Namespace, net: Frozen, layers: Mapping[str, float], out: Path) -> None:
    """Write the digit that stands for a photo that is not given, or the scaled photo."""
    if options.photo is None:
        _write_digit(net, layers, options.seed, out / "photo.png")
    else:
        scaled_photo(options)


def _write_digit(net: Frozen, layers: Mapping[str, float], seed: int, path: Path) -> None:
    """Write a held-out digit to `path`, after checking that the network accepts it and has these layers."""
    digit = load_digits().held_x[seed % 1000]
    x = in_bounds(net, digit[None])
    answer(net, x)
    with torch.no_grad():
        net.features(x, list(layers))
    image: Image.Image = to_image(digit)
    with replacing(path) as temporary:
        image.save(temporary)
