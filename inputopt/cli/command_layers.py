"""`inputopt layers`: names, output shapes and kinds of a network's layers."""

from __future__ import annotations

import argparse
from math import prod
from typing import Any

import torch

from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, table
from inputopt.cli.verbs import add_common, add_verb
from inputopt.nets.frozen import Frozen
from inputopt.nets.layers import Layer
from inputopt.nets.model_errors import InputShapeError, first_line, in_words
from inputopt.zoo.imagenet import TRAINED_AT


def add_commands(commands: Any) -> None:
    """Add `layers`."""
    command = add_verb(commands, "layers")
    add_network(command)
    command.add_argument("--size", type=side_or_shape, help="size of the input, such as 224, 224x160, 3x224x160 or 784")
    add_common(command)
    command.set_defaults(run=run_layers)


def side_or_shape(text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by x.

    >>> side_or_shape("3x224x160")
    (3, 224, 160)
    """
    try:
        given = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        given = (0,)
    if min(given) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers of at least 1 separated by x, not {text[:60]!r}.")
    return given


def run_layers(options: argparse.Namespace) -> int:
    """Print the layers as a tree of full names, as other commands take them; then the optimisations."""
    net = find_network(options)
    shape = input_shape(net, options.size)
    check_memory(f"An input of {in_words(shape)}", 40.0 * prod(shape), "a smaller --size")
    try:
        x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0), dtype=net.dtype).to(net.device)
        layers = net.layers(x)
    except InputShapeError as error:
        said = first_line(error.__cause__ or error)
        raise ValueError(
            f"The model does not accept inputs of shape {in_words(shape)} ({said}); give --size."
        ) from error
    if not layers:
        raise ValueError(f"{options.model} has no named layers; give a torch module that contains submodules.")
    text = [
        f"for inputs of {in_words(shape)}",
        table(["layer", "output shape", "type"], [row for layer in layers for row in _rows(layer)]),
        "optimisations of the private copy, used only where they do not change outputs or gradients:",
        "\n".join(f"{change}: {said}" for change, said in net.optimisations.items()),
    ]
    values = {
        "input": list(shape),
        "layers": [
            {"name": call, "shape": None if size is None else list(size), "type": layer.kind}
            for layer in layers
            for call, size in zip(layer.calls(), layer.shapes, strict=True)
        ],
        "optimisations": dict(net.optimisations),
    }
    finish(options, "\n\n".join(text), values)
    return 0


def input_shape(net: Frozen, size: tuple[int, ...] | None) -> tuple[int, ...]:
    """Shape of one input: `size` with the channels filled in, or a guess from the first weights and the model's name.

    Raises:
        ValueError: `size` has more than three numbers, and the network is convolutional.
    """
    first = net.first_weights()
    channels = () if first is None or len(first) < 3 else (first[1],)
    if size is not None:
        if len(size) > 3 and net.convolves:
            raise ValueError(f"--size must be up to three numbers, channels x height x width, not {in_words(size)}.")
        return (*channels, size[0], size[-1]) if len(size) < 3 and channels else size
    if not channels:
        return () if first is None else (first[1],)
    side = TRAINED_AT.get(net.name or "", 28 if channels == (1,) else 224)
    return (*channels, side, side)


def _rows(layer: Layer) -> list[list[str]]:
    indent = "  " * layer.name.count(".")
    if not layer.shapes:
        return [[indent + layer.name, "never called", layer.kind]]
    return [
        [indent + call, "not one tensor" if shape is None else in_words(shape), layer.kind]
        for call, shape in zip(layer.calls(), layer.shapes, strict=True)
    ]
