"""`inputopt zoom`: films that zoom into a dream."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from inputopt.cli.data.photo_resize import RESIZED, check_resize, naming_resize
from inputopt.cli.model_arguments import find_network
from inputopt.cli.output import finish, provisional, stderr_bar, writable
from inputopt.cli.parsing import number, whole
from inputopt.cli.photo_arguments import (
    add_ascent,
    add_photo_and_layers,
    check_photos,
    chosen_layers,
    used_photo,
    write_photo,
)
from inputopt.cli.verbs import add_verb
from inputopt.files import FileError
from inputopt.pictures.zoom import FILMS, film, zoom

MOST_FRAMES = 99_999
"""Largest frame number that fits the five digits of the frame file names."""


SETTINGS = (
    "factor",
    "towards",
    "steps",
    "octaves",
    "octave_scale",
    "step_size",
    "channels",
    "guide",
    "smoothing",
    "jitter",
    "seed",
)
"""Options that are arguments of `nearer`."""


def add_commands(commands: Any) -> None:
    """Add `zoom`."""
    command = add_verb(commands, "zoom")
    add_photo_and_layers(command)
    command.add_argument("--frames", type=whole(1, MOST_FRAMES), default=60, help="number of frames (%(default)s)")
    command.add_argument("--factor", type=number(above=1), default=1.04, help="zoom factor per frame (%(default)s)")
    command.add_argument(
        "--towards",
        type=point,
        default=(0.5, 0.5),
        metavar="X,Y",
        help="the point that the film zooms into, as shares of the width and the height from the top left (0.5,0.5)",
    )
    command.add_argument("--octaves", type=whole(1, 100), help="number of image sizes of a frame (2; on tiny images 1)")
    command.add_argument(
        "--step-size",
        type=number(above=0),
        default=0.01,
        help="mean change of a pixel per step, as a share of the bounds' width (%(default)s)",
    )
    add_ascent(command)
    command.add_argument(
        "--rate", type=number(above=0), default=20.0, help="frames per second of the film (%(default)g)"
    )
    command.add_argument("--steps", type=whole(), default=4, help="steps at each octave of a frame (%(default)s)")
    command.add_argument(
        "--film", type=film_name, default="zoom.webp", help="name of the .webp, .gif or .mp4 file (%(default)s)"
    )
    command.set_defaults(run=run_zoom)


def run_zoom(options: argparse.Namespace) -> int:
    """Write the frames and the film."""
    frame = Path("frames") / "frame-00000.png"
    out = writable(options.out, "photo.png", RESIZED, frame, options.film)
    if options.film.lower().endswith(".mp4") and shutil.which("ffmpeg") is None:
        raise FileError("Writing .mp4 needs ffmpeg, which is not installed; choose .webp or .gif.")
    layers = chosen_layers(options)
    check_resize(options)
    check_photos(options.photo, options.guide)
    net = find_network(options)
    photo = used_photo(options, out)
    settings = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    bar = stderr_bar(total=options.frames - 1, desc="zoom", unit="frame")
    with bar, provisional(out / "photo.png", out / RESIZED, out / frame), naming_resize(net, photo):
        write_photo(options, net, layers, out)
        frames = zoom(net, photo, layers, out / "frames", options.frames, progress=lambda _: bar.update(1), **settings)
    film(frames, out / options.film, options.rate)
    values = {"frames": len(frames), **settings}
    finish(options, f"{len(frames)} frames", values, [out / options.film], keep_earlier=True)
    return 0


def point(text: str) -> tuple[float, float]:
    """Parse a point of an image: two numbers from 0 to 1, separated by a comma.

    >>> point("0.7,0.3")
    (0.7, 0.3)
    """
    shares = [number(0, 1)(part) for part in text.split(",")]
    if len(shares) != 2:
        raise argparse.ArgumentTypeError(f"must be two numbers from 0 to 1, X,Y, not {text[:60]!r}.")
    return shares[0], shares[1]


def film_name(text: str) -> str:
    """Parse the file name of a film; the suffix must be one of `FILMS`."""
    if Path(text).suffix.lower() not in FILMS:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(FILMS)}, not {text[:60]!r}.")
    return text
