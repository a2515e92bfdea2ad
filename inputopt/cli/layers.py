"""`inputopt layers`: what the layers of a network are called, and how large they are."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from inputopt.cli.given import find_model
from inputopt.cli.show import table
from inputopt.nets.errors import InputShapeError, first_line
from inputopt.nets.frozen import Frozen
from inputopt.nets.layers import Layer
from inputopt.zoo.imagenet import TRAINED_AT


def add_commands(commands: Any) -> None:
    """Add `layers`."""
    command = commands.add_parser(
        "layers", help="the names of a network's layers, with the shapes of what they put out"
    )
    command.add_argument("model", help="a shipped network, a file, or package.module:function")
    command.add_argument("--size", help="of the input, such as 224, 224x160, 3x224x160 or 784")
    command.set_defaults(run=run_layers)


def run_layers(options: argparse.Namespace) -> int:
    """Print a tree; the indented names are whole, as every command takes them."""
    net = Frozen(find_model(options.model))
    shape = input_shape(net, options.size)
    try:
        layers = net.layers(torch.zeros(1, *shape, dtype=net.dtype, device=net.device))
    except InputShapeError as error:
        raise ValueError(
            f"The model does not take inputs of {_times(shape)} ({first_line(error.__cause__ or error)}); say --size."
        ) from error
    print(f"for inputs of {_times(shape)}\n")
    print(table(["layer", "puts out", "kind"], [row for layer in layers for row in _rows(layer)]))
    return 0


def input_shape(net: Frozen, size: str | None) -> tuple[int, ...]:
    """The shape of one input: as given, its channels filled in, or what the first weights and the model's name suggest.

    Raises:
        ValueError: the size is not whole numbers with x between them.
    """
    first = net.first_weights()
    channels = () if first is None or len(first) < 3 else (first[1],)
    if size is not None:
        try:
            given = tuple(int(part) for part in size.lower().split("x"))
        except ValueError as error:
            raise ValueError(f"--size must be whole numbers with x between them, not {size!r}.") from error
        if min(given) < 1:
            raise ValueError(f"--size must be at least 1 each way, not {size}.")
        if len(given) < 3 and channels:
            return (*channels, given[0], given[-1])
        return given
    if not channels:
        return () if first is None else (first[1],)
    side = TRAINED_AT.get(net.name or "", 28 if channels == (1,) else 224)
    return (*channels, side, side)


def _rows(layer: Layer) -> list[list[str]]:
    indent = "  " * layer.name.count(".")
    if not layer.shapes:
        return [[indent + layer.name, "never called", layer.kind]]
    return [
        [indent + call, "several" if shape is None else _times(shape), layer.kind]
        for call, shape in zip(layer.calls(), layer.shapes, strict=True)
    ]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
