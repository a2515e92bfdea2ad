"""Options that the verbs which make images from noise share, and the checks and files of these images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inputopt.cli.memory_limits import bytes_a_picture, check_memory
from inputopt.cli.parsing import choice, number, whole
from inputopt.cli.verbs import add_common
from inputopt.nets.frozen import Frozen
from inputopt.pictures.canvas_choice import CANVASES
from inputopt.pictures.picture import Picture, read_levels
from inputopt.pictures.picture_shape import picture_shape


def add_image_size(command: argparse.ArgumentParser, size: int) -> None:
    """Add `--size`, of this default, `--grey` and the flags of every verb."""
    command.add_argument(
        "--size",
        type=whole(),
        help=f"side of an image in pixels (that of --init, or the only one that the network takes, else {size})",
    )
    command.add_argument("--grey", action="store_true", help="make grey images (the channels that the network takes)")
    command.set_defaults(usual_size=size)
    add_common(command, "out")


def add_search(command: argparse.ArgumentParser, run: Any, size: int, steps: int | None) -> None:
    """Add the options of a search for images: size, `--steps`, `--canvas` and `--augment`."""
    add_image_size(command, size)
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


def image_shape(net: Frozen, options: argparse.Namespace, pictures: int) -> tuple[int, int, int]:
    """The shape of an image, as given or as the network takes; images that do not fit into memory are refused."""
    init = getattr(options, "init", None)
    size = options.size or (None if init is None else tuple(read_levels(init).shape[1:]))
    shape = picture_shape(net, size, 1 if options.grey else None, options.usual_size)
    needed = pictures * bytes_a_picture(net, *shape)
    check_memory(f"{pictures:,} images of {shape[1]:,} x {shape[2]:,}", needed, "a smaller --size, or fewer")
    return shape


def save_each(pictures: Sequence[Picture], paths: Sequence[Path]) -> list[Path]:
    """Save one PNG per image; return the paths."""
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    return list(paths)


def search_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of `add_search` that are arguments of `visualize`."""
    return {"canvas": options.canvas, "augment": options.augment}
