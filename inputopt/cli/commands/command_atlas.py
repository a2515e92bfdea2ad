"""`inputopt atlas`: feature visualisations of channels, beside the photo patches that activate them most."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from inputopt.cli.data.image_folder import IMAGES
from inputopt.cli.live_preview import Watching, save_interrupted
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, writable
from inputopt.cli.parsing import indices, whole
from inputopt.cli.picture_arguments import add_search, image_shape, search_settings
from inputopt.cli.verbs import add_verb
from inputopt.files import FileError, reading, save_figure
from inputopt.pictures.atlas import DEFAULT_CHANNELS, atlas, spread_channels
from inputopt.pictures.photo import photo_in_range
from inputopt.pictures.picture import read_levels
from inputopt.search.loop import Interrupted


def add_commands(commands: Any) -> None:
    """Add `atlas`."""
    command = add_verb(commands, "atlas")
    add_network(command)
    command.add_argument("photos", help="a folder of photos")
    command.add_argument("--layer", required=True, help="layer name; see `inputopt layers` (none)")
    command.add_argument(
        "--channels",
        type=indices,
        help="channel numbers separated by commas, or a range: 4,7 or 0-11 (12 that are spread over the layer)",
    )
    command.add_argument("--top", type=whole(), default=3, help="photo patches per channel (%(default)s)")
    add_search(command, run_atlas, 128, 128)


def run_atlas(options: argparse.Namespace) -> int:
    """Save the atlas as one sheet."""
    out = writable(options.out, "atlas.png")
    photos = _photos(Path(options.photos))
    net = find_network(options)
    shape = image_shape(net, options, len(options.channels or range(DEFAULT_CHANNELS)))
    settings = search_settings(options) | {"top": options.top, "colours": shape[0]}
    channels = options.channels
    if channels is None:
        channels = spread_channels(net, options.layer, photo_in_range(net, photos[0]))
    arguments = (options.layer, photos, channels, shape[1], options.steps, options.seed)
    watching = Watching(None, lambda snapshot: None)
    with watching.bar("atlas", options.steps + 1):
        try:
            found = atlas(net, *arguments, **settings, watch=watching)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [out / f"atlas-{channel}.png" for channel in channels])
            raise
    save_figure(found.sheet(), out / "atlas.png")
    text = f"{len(channels)} channels of {options.layer}, each with {options.top} patches of {len(photos)} photos"
    values = {"layer": options.layer, "channels": channels, "photos": len(photos)}
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
