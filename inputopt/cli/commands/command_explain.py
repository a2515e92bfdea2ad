"""`inputopt explain`: one training step worked out in text, and drawn on the network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inputopt.cli.commands.command_gradcheck import add_network, count_parameters
from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish, writable
from inputopt.cli.parsing import choice, number, numbers
from inputopt.cli.verbs import add_common, add_verb
from inputopt.derivatives.explain import MOST_NUMBERS, explain
from inputopt.derivatives.gradcheck import random_examples
from inputopt.derivatives.gradient_methods import gradients
from inputopt.document.networks import EXAMPLES, LEARNING_RATE
from inputopt.files import save_figure
from inputopt.nets.costs import find_cost
from inputopt.nets.mlp import MLP

PLOT = "gradients.png"
"""Plot of the gradient norm of each layer, in the folder of --out, beside a drawing of the network."""

ORDER = "layer by layer from the inputs, in a layer neuron by neuron"


@dataclass(frozen=True)
class _Task:
    """What is explained.

    Attributes:
        heading: which network it is, and where its numbers come from.
        net: the network.
        inputs: numbers [B, n].
        targets: numbers [B, m], or classes [B].
    """

    heading: str
    net: MLP
    inputs: Tensor
    targets: Tensor


def add_commands(commands: Any) -> None:
    """Add `explain`."""
    command = add_verb(commands, "explain")
    add_network(command, None)
    command.add_argument(
        "--weights",
        type=numbers,
        help=f"weights for --sizes, {ORDER}, of a neuron one per input: 0.1,0.2 for --sizes 2,1 (random)",
    )
    command.add_argument("--biases", type=numbers, help=f"biases for --sizes, {ORDER}: 0.5 for --sizes 2,1 (zeros)")
    command.add_argument(
        "--inputs", type=numbers, help="inputs of one example: 0.05,0.1 (the document's; with --sizes, random)"
    )
    command.add_argument(
        "--targets",
        type=numbers,
        help="its targets: 0.01,0.99; or its class for softmax cross-entropy (the document's; with --sizes, random)",
    )
    command.add_argument(
        "--learning-rate", type=number(above=0), default=LEARNING_RATE, help="learning rate (%(default)s)"
    )
    titles = "; ".join(f"{name}: {example.title}" for name, example in EXAMPLES.items())
    command.add_argument(
        "--example",
        type=choice("example", EXAMPLES),
        help=f"a network of the document ({titles}), with its inputs and targets (4 if --sizes is not given)",
    )
    add_common(command)
    command.set_defaults(run=run_explain)


def run_explain(options: argparse.Namespace) -> int:
    """Print one training step, with the gradient norm of each layer; draw both if --out is given."""
    check_cpu(options)
    task = _task(options)
    rows = len(task.inputs)
    drawings = ["network.png"] if rows == 1 else [f"network-row-{row}.png" for row in range(1, rows + 1)]
    if options.out is not None:
        writable(options.out, PLOT, *drawings)
    explained = explain(task.net, task.inputs, task.targets, options.cost, options.learning_rate)
    found = gradients(task.net, task.inputs, task.targets, options.cost, "backprop")
    written = []
    if options.out is not None:
        written = [Path(options.out) / name for name in (PLOT, *drawings)]
        for figure, path in zip((found.figure(), *map(explained.figure, range(rows))), written, strict=True):
            save_figure(figure, path)
    text, norms = explained.rstrip("\n"), found.norms.tolist()
    values = {"network": task.heading, "explanation": text.splitlines(), "gradient_norms": norms}
    shown = ", ".join(f"{norm:.3g}" for norm in norms)
    finish(options, f"{task.heading}\n\n{text}\n\nGRADIENT NORM by layer, from the input: {shown}", values, written)
    return 0


def _task(options: argparse.Namespace) -> _Task:
    """The network to explain, with inputs and targets: of the document, given, or random.

    Raises:
        ValueError: options that do not fit each other.
    """
    heading, net, inputs, targets = _of_document(options) if options.sizes is None else _of_sizes(options)
    if options.inputs is not None:
        inputs = torch.tensor([options.inputs], dtype=torch.float64)
    if options.targets is not None:
        targets = torch.tensor([options.targets], dtype=torch.float64)
        if find_cost(options.cost, net.output).class_targets:
            if not bool((targets == targets.round()).all()):
                raise ValueError("--targets must be a class index for cross_entropy on identity outputs.")
            targets = targets[0].long()
    return _Task(heading, net, inputs, targets)


def _of_document(options: argparse.Namespace) -> tuple[str, MLP, Tensor, Tensor]:
    """A network of the document, and its inputs and targets."""
    given = sorted({"activation", "output", "seed", "weights", "biases"} & options.given)
    if given:
        raise ValueError(f"--{given[0]} only applies with --sizes; give --sizes too, or omit it.")
    name = options.example or "4"
    example = EXAMPLES[name]
    heading = f"NETWORK {name} of the document ({example.title}){_given(options)}"
    return heading, example.network(), torch.tensor(example.inputs), torch.tensor(example.targets)


def _of_sizes(options: argparse.Namespace) -> tuple[str, MLP, Tensor, Tensor]:
    """A network of given sizes, and random inputs and targets for it."""
    if options.example is not None:
        raise ValueError("--example and --sizes specify two different networks; give only one of them.")
    count = count_parameters(options.sizes)
    if count > MOST_NUMBERS:
        raise ValueError(
            f"A network of {count:,} parameters is too large to explain; give --sizes with at most {MOST_NUMBERS}."
        )
    shapes = [(n_out, n_in) for n_in, n_out in pairwise(options.sizes)]
    weights = _split(options, "weights", shapes)
    biases = _split(options, "biases", [(n_out,) for n_out, _ in shapes])
    net = MLP(options.sizes, options.activation, options.output, weights, biases, options.seed)
    random = [what for what in ("weights", "inputs", "targets") if what not in options.given]
    drawn = f"; {', '.join(random)} at random (seed {options.seed})" if random else ""
    heading = f"NETWORK of --sizes {','.join(map(str, options.sizes))}{_given(options)}{drawn}"
    return heading, net, *random_examples(net, options.cost, 1, options.seed)


def _given(options: argparse.Namespace) -> str:
    given = [what for what in ("weights", "biases", "inputs", "targets") if what in options.given]
    return f"; {', '.join(given)} as given" if given else ""


def _split(options: argparse.Namespace, what: str, shapes: Sequence[tuple[int, ...]]) -> list[Tensor] | None:
    """The numbers of an option as a tensor per layer, row by row; None if it is not given.

    Raises:
        ValueError: too few numbers, or too many.
    """
    given = getattr(options, what)
    if given is None:
        return None
    sizes = [torch.Size(shape).numel() for shape in shapes]
    if len(given) != sum(sizes):
        raise ValueError(
            f"--{what} must be {sum(sizes)} numbers for --sizes {','.join(map(str, options.sizes))}, {ORDER}, "
            f"not {len(given)}."
        )
    parts = torch.split(torch.tensor(given), sizes)
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
