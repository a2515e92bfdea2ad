"""`inputopt evolve`: images evolved without gradients."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.cli.live_preview import save_interrupted
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, stderr_bar, table, writable
from inputopt.cli.parsing import names, probability, whole
from inputopt.cli.picture_arguments import add_image_size, image_shape, save_each
from inputopt.cli.typed_classes import file_names, typed_indices
from inputopt.cli.verbs import add_verb
from inputopt.files import save_figure
from inputopt.pictures.map_elites import MapElites, evolve_images
from inputopt.pictures.sheet import contact_sheet
from inputopt.search.loop import Interrupted


def add_commands(commands: Any) -> None:
    """Add `evolve`."""
    command = add_verb(commands, "evolve")
    add_network(command)
    command.add_argument("--classes", type=names, required=True, help="class names or indices separated by commas")
    command.add_argument(
        "--generations", type=whole(), default=1000, help="maximum number of generations (%(default)s)"
    )
    command.add_argument("--population", type=whole(), default=64, help="children per generation (%(default)s)")
    command.add_argument("--confidence", type=probability, default=0.9, help="class probability to reach (%(default)s)")
    add_image_size(command, 96)
    command.set_defaults(run=run_evolve)


def run_evolve(options: argparse.Namespace) -> int:
    """Save one PNG per class and a contact sheet; return 1 if an image does not reach the confidence."""
    net = find_network(options)
    numbers = typed_indices(options.classes, net.facts.class_names)
    titles = file_names(options.classes, numbers)
    files = [f"evolve-{title}.png" for title in titles]
    out = writable(options.out, *files, "evolve.png")
    paths = [out / file for file in files]
    rules = MapElites(population=options.population, seed=checks.seed(options.seed))
    shape = image_shape(net, options, options.population)
    with stderr_bar(total=options.generations, desc="evolve", unit="generation") as bar:

        def progress(generation: int, sure: Tensor) -> None:
            bar.set_postfix_str(f"{int((sure >= options.confidence).sum())} of {len(sure)} reached", refresh=False)
            bar.update(1)

        settings: dict[str, Any] = {"confidence": options.confidence, "rules": rules, "progress": progress}
        try:
            found = evolve_images(net, numbers, shape, options.generations, options.seed, **settings)
        except Interrupted as stopped:
            save_interrupted(stopped.pictures, paths)
            raise
    written = save_each(found.pictures, paths)
    if len(written) > 1:
        every = torch.stack([picture.x for picture in found.pictures])
        title = "Evolved images, with predicted class and probability"
        save_figure(contact_sheet(every, net, title, 5), out / "evolve.png")
        written.append(out / "evolve.png")
    rows = [[title, f"{float(sure):.4f}"] for title, sure in zip(titles, found.probability, strict=True)]
    text = (
        f"{table(['class', 'probability'], rows)}\n\n{found.generations} generations, {found.forwards} images evaluated"
    )
    probability = dict(zip(titles, map(float, found.probability), strict=True))
    values = {"probability": probability, "generations": found.generations, "evaluated": int(found.forwards)}
    finish(options, text, values, written, keep_earlier=True)
    return 0 if bool(found.success.all()) else 1
