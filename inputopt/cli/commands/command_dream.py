"""`inputopt dream`: DeepDream images."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from inputopt.cli.data.photo_resize import (
    RESIZED,
    RESIZED_MASK,
    check_resize,
    naming_resize,
    scaled_files,
    scaled_mask,
    used_mask,
)
from inputopt.cli.live_preview import Watching, add_watch, save_interrupted, unfinished
from inputopt.cli.model_arguments import find_network
from inputopt.cli.output import finish, provisional, writable
from inputopt.cli.parsing import number, whole
from inputopt.cli.photo_arguments import (
    DIGIT,
    add_ascent,
    add_photo_and_layers,
    check_photos,
    chosen_layers,
    used_photo,
    write_photo,
)
from inputopt.cli.verbs import add_verb
from inputopt.files import save_figure
from inputopt.pictures.dream import dream, intermediate_dream
from inputopt.pictures.dream_settings import TINY, settings_for
from inputopt.pictures.picture import read_levels
from inputopt.pictures.sheet import FrameRecorder, sheet
from inputopt.search.loop import Interrupted, Snapshot

FILES = ("photo.png", RESIZED, RESIZED_MASK, "dream-preview.png", "dream.png", "dream-steps.png")
SETTINGS = ("jitter", "steps", "octaves", "octave_scale", "step_size", "smoothing")
"""Options with a default that depends on the size of the photo."""


def add_commands(commands: Any) -> None:
    """Add `dream`."""
    command = add_verb(commands, "dream")
    add_photo_and_layers(command)
    command.add_argument("--steps", type=whole(), help="steps at each octave (10; on tiny images 60)")
    command.add_argument("--octaves", type=whole(1, 100), help="number of image sizes (4; on tiny images 1)")
    command.add_argument(
        "--step-size",
        type=number(above=0),
        help="mean change of a pixel per step, as a share of the bounds' width (0.015; on tiny images 0.01)",
    )
    add_ascent(command)
    command.add_argument(
        "--mask",
        help="an image as large as the photo, scaled with it by --resize: white areas change, black ones stay (none)",
    )
    command.add_argument(
        "--tile", type=whole(32), help="side in pixels of the tiles that a large photo is split into (not split)"
    )
    add_watch(command)
    command.set_defaults(run=run_dream)


def run_dream(options: argparse.Namespace) -> int:
    """Save the dream, and for digits at one octave a sheet of the steps."""
    out = writable(options.out, *FILES)
    layers = chosen_layers(options)
    check_resize(options)
    check_photos(options.photo, options.guide, options.mask)
    net = find_network(options)
    given = {name: getattr(options, name) for name in SETTINGS}
    height, width = DIGIT if options.photo is None else read_levels(options.photo, resize=options.resize).shape[1:]
    chosen = settings_for(height, width, **given)
    settings = asdict(chosen) | {name: getattr(options, name) for name in ("channels", "guide", "tile", "seed")}
    settings["mask"] = used_mask(options)
    photo = used_photo(options, out)
    steps = chosen.octaves * (chosen.steps + 1)
    journey = FrameRecorder(0) if max(height, width) <= TINY and chosen.octaves == 1 else None

    def preview(snapshot: Snapshot) -> None:
        unfinished(intermediate_dream(net, photo, snapshot.x), out / "dream-preview.png")

    watching = Watching(options.watch, preview)

    def watch(snapshot: Snapshot) -> None:
        watching(snapshot)
        if journey is not None:
            journey(snapshot)

    with watching.bar("dream", steps), provisional(*(out / name for name in FILES)):
        write_photo(options, net, layers, out)
        scaled_mask(options)
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
    finish(options, title, {"layers": layers, **settings}, [*written, *scaled_files(options)])
    return 0
