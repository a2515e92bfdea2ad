"""`inputopt spurious`: which image region drives the predictions of each class."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from typing import Any

from inputopt.attribution.spurious import spurious
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish
from inputopt.cli.parsing import sizes, whole
from inputopt.cli.typed_classes import class_text
from inputopt.cli.verbs import add_common, add_verb


def add_commands(commands: Any) -> None:
    """Add `spurious`."""
    command = add_verb(commands, "spurious")
    add_network(command)
    add_data(command, count=500)
    command.add_argument(
        "--grid", type=sizes(1, 2, "rows,columns"), default=[3, 3], help="rows,columns of the grid of regions (3,3)"
    )
    command.add_argument("--steps", type=whole(), default=100, help="steps of the minimal-norm search (%(default)s)")
    add_common(command)
    command.set_defaults(run=run_spurious)


def run_spurious(options: argparse.Namespace) -> int:
    """Print one line per class; return 1 if a class is suspicious."""
    data = chosen_data(options)
    net = find_network(options)
    data, x = data.read(net)
    grid = (options.grid[0], options.grid[1])
    if x.ndim != 4 or grid[0] > x.shape[2] or grid[1] > x.shape[3]:
        shape = " x ".join(map(str, x.shape[1:]))
        raise ValueError(
            f"--grid {grid[0]},{grid[1]} needs images with at least as many rows and columns, not {shape}."
        )
    found = spurious(net, x, data.y, grid, steps=options.steps, seed=options.seed)
    suspicious = found.suspicious()
    shown = partial(class_text, names=net.facts.class_names)
    named = ", ".join(map(shown, suspicious)) or "none"
    verdict = f"classes whose predictions depend on the colour of one region: {named}"
    values = {"findings": [asdict(row) for row in found.findings], "suspicious": suspicious, **data.plain()}
    finish(options, f"{data.described()}\n\n{found.table(shown)}\n\n{verdict}", values)
    return 1 if suspicious else 0
