"""The photo and the layers of `dream` and `zoom`, and the digit that stands for a photo that is not given."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image

from inputopt.cli.data.image_folder import add_resize
from inputopt.cli.data.input_bounds import in_bounds
from inputopt.cli.data.photo_resize import RESIZED, scaled_photo
from inputopt.cli.model_arguments import add_network, answer, check_name
from inputopt.cli.parsing import indices, number, whole
from inputopt.cli.verbs import add_common
from inputopt.files import reading, replacing
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import read_levels, to_image
from inputopt.zoo.digits import load_digits
from inputopt.zoo.imagenet import SCALES

DIGIT = (28, 28)
"""Size of the digit that digits networks dream of where no photo is given."""

LAYERS = {"digits-mlp": "layers.0", "digits-cnn": "conv2", "digits-cnn-robust": "conv2"} | dict.fromkeys(
    SCALES, "blocks.8"
)
"""Default layer of each network."""


def add_photo_and_layers(command: argparse.ArgumentParser) -> None:
    """Add the network, the photo, `--layers` and the flags of every verb."""
    add_network(command)
    add_photo(command)
    command.add_argument(
        "--layers",
        type=weights,
        help="layer names separated by commas, each with an optional weight: blocks.5,blocks.8=0.5 (layers.0, conv2 or "
        "blocks.8 of shipped networks)",
    )
    add_common(command, "out")


def add_ascent(command: argparse.ArgumentParser) -> None:
    """Add the options of gradient ascent that `dream` and `zoom` share, with the same defaults."""
    command.add_argument("--octave-scale", type=number(above=1), help="ratio of consecutive image sizes (1.4)")
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
        type=indices,
        help="amplify only these channels of the layer, separated by commas, or a range: 4,7 or 0-11 (all)",
    )
    command.add_argument("--guide", help="a photo: amplify the features that the layers find in it (none)")


def add_photo(command: argparse.ArgumentParser) -> None:
    """Add the photo as a positional argument."""
    command.add_argument("photo", nargs="?", help="an image file (for digits networks: a digit)")
    add_resize(command)


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


def chosen_layers(options: argparse.Namespace) -> dict[str, float]:
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


def used_photo(options: argparse.Namespace, out: Path) -> str:
    """The path of the photo as it is used."""
    if options.photo is not None and options.resize is None:
        return str(options.photo)
    return str(out / ("photo.png" if options.photo is None else RESIZED))


def write_photo(options: argparse.Namespace, net: Frozen, layers: Mapping[str, float], out: Path) -> None:
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
