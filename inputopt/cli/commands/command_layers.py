"""`inputopt layers`: names, output shapes and kinds of a network's layers."""

from __future__ import annotations

import argparse
from math import prod
from typing import Any

from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, table
from inputopt.cli.parsing import side_or_shape
from inputopt.cli.verbs import add_common, add_verb
from inputopt.nets.layers import Layer
from inputopt.nets.model_errors import InputShapeError, first_line, in_words
from inputopt.zoo.layer_shapes import input_shape, layers


def add_commands(commands: Any) -> None:
    """Add `layers`."""
    command = add_verb(commands, "layers")
    add_network(command)
    command.add_argument(
        "--size",
        type=side_or_shape,
        help="size of the input, such as 224, 224x160, 3x224x160 or 784 (that of the network, if it has only one)",
    )
    add_common(command)
    command.set_defaults(run=run_layers)


def run_layers(options: argparse.Namespace) -> int:
    """Print the layers as a tree of full names, as other commands take them; then the optimisations."""
    net = find_network(options)
    shape = input_shape(net, options.size)
    check_memory(f"An input of {in_words(shape)}", 40.0 * prod(shape), "a smaller --size")
    try:
        found = layers(net, shape)
    except InputShapeError as error:
        said = first_line(error.__cause__ or error)
        raise ValueError(
            f"The model does not accept inputs of shape {in_words(shape)} ({said}); give --size."
        ) from error
    if not found:
        raise ValueError(f"{options.model} has no named layers; give a torch module that contains submodules.")
    text = [
        f"for inputs of {in_words(shape)}",
        table(["layer", "output shape", "type"], [row for layer in found for row in _rows(layer)]),
        "optimisations of the private copy, used only where they do not change outputs or gradients:",
        "\n".join(f"{change}: {said}" for change, said in net.optimisations.items()),
    ]
    values = {
        "input": list(shape),
        "layers": [
            {"name": call, "shape": None if size is None else list(size), "type": layer.kind}
            for layer in found
            for call, size in zip(layer.calls(), layer.shapes, strict=True)
        ],
        "optimisations": dict(net.optimisations),
    }
    finish(options, "\n\n".join(text), values)
    return 0


def _rows(layer: Layer) -> list[list[str]]:
    indent = "  " * layer.name.count(".")
    if not layer.shapes:
        return [[indent + layer.name, "never called", layer.kind]]
    return [
        [indent + call, "not one tensor" if shape is None else in_words(shape), layer.kind]
        for call, shape in zip(layer.calls(), layer.shapes, strict=True)
    ]
