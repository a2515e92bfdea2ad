"""`inputopt visualize`, `illuminate`, `atlas` and `spurious`: what a network looks for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from inputopt import checks
from inputopt.attribution.spurious import spurious
from inputopt.cli.given import IMAGES, find_data, find_model
from inputopt.cli.show import sizes, table, writable
from inputopt.cli.watching import Watching, add_watch, save_interrupted, unfinished
from inputopt.files import FileError, save_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.atlas import atlas
from inputopt.pictures.canvases import CANVASES
from inputopt.pictures.illuminate import MapElites, illuminate
from inputopt.pictures.picture import Picture
from inputopt.pictures.sheet import contact_sheet
from inputopt.pictures.visualize import visualize
from inputopt.search.features import Belief, Channel, Layer
from inputopt.search.loop import Interrupted, Snapshot
from inputopt.search.objectives import Objective
from inputopt.zoo.imagenet import class_index

TEMPERATURE = 4.0
"""Of the belief that a picture of a class raises: at 1 the class is sure, and nothing left to raise, too soon."""


def add_commands(commands: Any) -> None:
    """Add `visualize`, `illuminate`, `atlas` and `spurious`."""
    command = commands.add_parser("visualize", help="an image made to please a channel, a layer or a class")
    command.add_argument("--layer", help="a module of the model; see `inputopt layers`")
    command.add_argument("--channels", type=sizes, help="numbers with commas between; the whole layer if not given")
    command.add_argument("--classes", help="names or numbers with commas between them, instead of a layer")
    command.add_argument("--shared", type=int, default=0, help="waves up to here are one for all pictures (0: none)")
    command.add_argument("--starts", type=int, default=1, help="searches each picture begins with (%(default)s)")
    command.add_argument("--coarse", type=float, default=1.0, help="share of each side first shown (%(default)s)")
    command.add_argument("--mirrored", action="store_true", help="half of the looks are in a mirror; for classes")
    command.add_argument(
        "--branches", type=float, default=1.0, help="share of derivatives by way of branches (%(default)s)"
    )
    add_watch(command)
    _add_common(command, run_visualize, 224, 256)

    command = commands.add_parser("illuminate", help="images that evolve until the network takes them for classes")
    command.add_argument("--classes", required=True, help="names or numbers with commas between them")
    command.add_argument("--generations", type=int, default=1000, help="at most (%(default)s)")
    command.add_argument("--population", type=int, default=64, help="children in a generation (%(default)s)")
    command.add_argument("--confidence", type=float, default=0.9, help="the probability to reach (%(default)s)")
    _add_model(command, 96)
    command.set_defaults(run=run_illuminate)

    command = commands.add_parser("atlas", help="what a layer's channels look for, and where in photos they find it")
    command.add_argument("--layer", required=True, help="a module of the model; see `inputopt layers`")
    command.add_argument("--channels", type=sizes, required=True, help="numbers with commas between them")
    command.add_argument("--photos", required=True, help="a folder of photos")
    command.add_argument("--top", type=int, default=3, help="photo patches for each channel (%(default)s)")
    _add_common(command, run_atlas, 128, 128)

    command = commands.add_parser("spurious", help="which part of the image an answer hangs on, a class at a time")
    command.add_argument("model", help="a shipped network, a file, or package.module:function")
    command.add_argument("data", help="digits, an .npz with x and y, or a folder of classes")
    command.add_argument("--count", type=int, default=500, help="how many inputs, from the first on (%(default)s)")
    command.add_argument("--grid", type=sizes, default=[3, 3], help="rows,columns of regions (3,3)")
    command.add_argument("--steps", type=int, default=100, help="of the search for the least change (%(default)s)")
    command.add_argument("--seed", type=int, default=0, help="what all chance is drawn from (%(default)s)")
    command.set_defaults(run=run_spurious)


def _add_model(command: argparse.ArgumentParser, size: int) -> None:
    command.add_argument(
        "--model",
        default="efficientnet-lite0",
        help="a shipped network, a file, or package.module:function (%(default)s)",
    )
    command.add_argument("--size", type=int, default=size, help="the side of a picture (%(default)s)")
    command.add_argument("--grey", action="store_true", help="for networks of grey images")
    command.add_argument("--seed", type=int, default=0, help="what all chance is drawn from (%(default)s)")
    command.add_argument("--out", default="out", help="folder for the pictures (%(default)s)")


def _add_common(command: argparse.ArgumentParser, run: Any, size: int, steps: int) -> None:
    _add_model(command, size)
    command.add_argument("--steps", type=int, default=steps, help="(%(default)s)")
    command.add_argument("--canvas", default="natural", help=f"one of {', '.join(CANVASES)} (%(default)s)")
    command.add_argument("--shake", type=float, default=1.0, help="how much it moves before each look (%(default)s)")
    command.set_defaults(run=run)


def run_visualize(options: argparse.Namespace) -> int:
    """A PNG each, and a sheet of all where there are several."""
    out = writable(options.out)
    objective, names = _asked(options)
    net = Frozen(find_model(options.model))
    paths = [out / f"visualize-{name}.png" for name in names]

    def preview(snapshot: Snapshot) -> None:
        if len(snapshot.x) > len(paths):  # several starts are going
            return
        for x, path in zip(snapshot.x, paths, strict=True):
            unfinished(Picture(x, bounds=net.bounds), path.with_stem(f"{path.stem}-preview"))

    seen = Watching(options.watch, preview)
    own = {name: getattr(options, name) for name in ("shared", "starts", "coarse", "mirrored", "branches")}
    settings = _settings(options) | own
    with seen.bar("visualize", options.steps + 1):
        try:
            made = visualize(net, objective, options.size, options.steps, options.seed, **settings, watch=seen)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, paths)
            raise
    _save(made if isinstance(made, list) else [made], paths, net, out / "visualize.png")
    return 0


def run_illuminate(options: argparse.Namespace) -> int:
    """A PNG each and a sheet; 1 if the network is not sure enough of one."""
    out = writable(options.out)
    numbers, names = _classes(options.classes)
    net = Frozen(find_model(options.model))
    shape = (1 if options.grey else 3, options.size, options.size)
    rules = MapElites(population=options.population, seed=checks.seed(options.seed))
    paths = [out / f"illuminate-{name}.png" for name in names]
    with tqdm(total=options.generations, desc="illuminate", unit="generation", leave=False, disable=None) as bar:

        def progress(generation: int, sure: Tensor) -> None:
            bar.set_postfix_str(f"{int((sure >= options.confidence).sum())} of {len(sure)} reached", refresh=False)
            bar.update(1)

        settings: dict[str, Any] = {"confidence": options.confidence, "rules": rules, "progress": progress}
        try:
            found = illuminate(net, numbers, shape, options.generations, options.seed, **settings)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, paths)
            raise
    print(
        table(
            ["class", "sure"],
            [[name, f"{float(sure):.4f}"] for name, sure in zip(names, found.probability, strict=True)],
        )
    )
    print(f"\n{found.generations} generations, {found.forwards} images shown")
    _save(found.pictures, paths, net, out / "illuminate.png")
    return 0 if bool(found.success.all()) else 1


def _save(pictures: Sequence[Picture], paths: Sequence[Path], net: Frozen, sheet: Path) -> None:
    """A PNG each, and a sheet of all where there are several."""
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
        print(f"wrote {path}")
    if len(pictures) > 1:
        every = torch.stack([picture.x for picture in pictures])
        save_figure(contact_sheet(every, net, "Made to please the network", 5), sheet)
        print(f"wrote {sheet}")


def run_atlas(options: argparse.Namespace) -> int:
    """One sheet."""
    out = writable(options.out)
    folder = Path(options.photos)
    photos = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGES)
    if not photos:
        raise FileError(f"{folder} holds no images; give a folder that does.")
    net = Frozen(find_model(options.model))
    settings = _settings(options) | {"top": options.top}
    made = (options.layer, photos, options.channels, options.size, options.steps, options.seed)
    seen = Watching(None, lambda snapshot: None)
    with seen.bar("atlas", options.steps + 1):
        try:
            found = atlas(net, *made, **settings, watch=seen)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, [out / f"atlas-{channel}.png" for channel in options.channels])
            raise
    save_figure(found.sheet(), out / "atlas.png")
    print(f"wrote {out / 'atlas.png'}")
    return 0


def run_spurious(options: argparse.Namespace) -> int:
    """A line a class; 1 if one is suspicious."""
    if len(options.grid) != 2:
        raise ValueError(f"--grid must be rows,columns, not {len(options.grid)} numbers.")
    x, y = find_data(options.data, options.count)
    grid = (options.grid[0], options.grid[1])
    found = spurious(Frozen(find_model(options.model)), x, y, grid, steps=options.steps, seed=options.seed)
    print(found.table())
    suspicious = found.suspicious()
    named = ", ".join(map(str, suspicious))
    print(f"\nanswers that hang on the colour of one region: {f'class {named}' if suspicious else 'none'}")
    return 1 if suspicious else 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {"canvas": options.canvas, "shake": options.shake, "colours": 1 if options.grey else 3}


def _asked(options: argparse.Namespace) -> tuple[Objective, list[str]]:
    """The objective, and a name for each of its pictures."""
    if (options.layer is None) == (options.classes is None):
        raise ValueError("Say what to show: --layer with or without --channels, or --classes.")
    if options.classes is not None:
        numbers, names = _classes(options.classes)
        return Belief(numbers, TEMPERATURE), names
    if options.channels is None:
        return Layer(options.layer), [options.layer]
    channels = [checks.whole("--channels", channel, least=0) for channel in options.channels]
    return Channel(options.layer, channels), [f"{options.layer}-{channel}" for channel in channels]


def _classes(text: str) -> tuple[list[int], list[str]]:
    """The numbers of classes, and names that a file can have."""
    names = [name.strip() for name in text.split(",")]
    numbers = [int(name) if name.isdecimal() else class_index(name) for name in names]
    return numbers, [name.replace(" ", "-") for name in names]
