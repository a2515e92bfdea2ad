"""`inputopt gradcheck` and `inputopt explain`: differentiation methods compared, and one training step worked out."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish, table, writable
from inputopt.cli.parsing import choice, number, numbers, sizes, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.derivatives.agreement import Agreement
from inputopt.derivatives.explain import MOST_NUMBERS, explain
from inputopt.derivatives.gradcheck import gradcheck, random_examples
from inputopt.derivatives.gradient_methods import gradients
from inputopt.document.networks import EXAMPLES, LEARNING_RATE
from inputopt.files import save_figure
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.costs import COSTS, find_cost
from inputopt.nets.mlp import MLP

PLOT = "gradients.png"
"""Plot of the gradient norm of each layer, in the folder of --out."""

LIMITS = {"backprop": 1e-10, "dual": 1e-10, "differences": 1e-6}


def add_commands(commands: Any) -> None:
    """Add `gradcheck` and `explain`."""
    check = add_verb(commands, "gradcheck")
    _add_network(check, "20,30,20,10")
    check.add_argument("--batch", type=whole(), default=7, help="number of examples (%(default)s)")
    add_common(check)
    check.set_defaults(run=run_gradcheck)

    command = add_verb(commands, "explain")
    _add_network(command, None)
    command.add_argument("--inputs", type=numbers, help="inputs of one example: 0.05,0.1 (those of the example)")
    command.add_argument(
        "--targets",
        type=numbers,
        help="its targets: 0.01,0.99; or its class for softmax cross-entropy (those of the example)",
    )
    command.add_argument(
        "--learning-rate", type=number(above=0), default=LEARNING_RATE, help="learning rate (%(default)s)"
    )
    command.add_argument(
        "--example",
        type=choice("example", EXAMPLES),
        help=f"a network of the document, one of {', '.join(EXAMPLES)} (4 if --sizes is not given)",
    )
    add_common(command)
    command.set_defaults(run=run_explain)


def _add_network(command: argparse.ArgumentParser, default_sizes: str | None) -> None:
    known = choice("activation", ACTIVATIONS)
    words = ", ".join(ACTIVATIONS)
    command.add_argument(
        "--sizes",
        type=sizes(),
        default=default_sizes,
        help=f"neurons per layer, inputs first: 2,3,1 ({default_sizes or 'those of the example'})",
    )
    command.add_argument("--activation", type=known, default="sigmoid", help=f"one of {words} (%(default)s)")
    command.add_argument("--output", type=known, help="activation of the last layer (default: as the other layers)")
    command.add_argument(
        "--cost", type=choice("cost", COSTS), default="mse", help=f"one of {', '.join(COSTS)} (%(default)s)"
    )


def run_gradcheck(options: argparse.Namespace) -> int:
    """Print the disagreement of each method; return 1 if one exceeds its limit."""
    check_cpu(options)
    found = check_network(options.sizes, options.activation, options.output, options.cost, options.batch, options.seed)
    what = "Largest difference from autograd, relative to the largest gradient entry of the layer, in float64."
    methods = [
        {"method": each.method, "layers": list(each.layers), "inputs": each.inputs, "seconds": each.seconds}
        for each in found
    ]
    finish(options, f"{table(*agreement_table(found))}\n\n{what}", {"methods": methods})
    return 0 if all(way.largest <= LIMITS.get(way.method, float("inf")) for way in found) else 1


def check_network(
    layer_sizes: list[int], activation: str, output: str | None, cost: str, batch: int, seed: int
) -> list[Agreement]:
    """Compare all methods on a random network and random examples, if dual numbers fit into memory."""
    count = _parameters(layer_sizes)
    variables = count + layer_sizes[0]  # a dual number has a gradient entry for each
    check_memory("Dual numbers", 24.0 * variables * (count + batch * sum(layer_sizes)), "smaller --sizes or --batch")
    net = MLP(layer_sizes, activation, output, seed=seed)
    return gradcheck(net, cost=cost, batch=batch, seed=seed)  # type: ignore[arg-type]  # a name of COSTS


def _parameters(layer_sizes: list[int]) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_sizes))


def agreement_table(found: list[Agreement]) -> tuple[list[str], list[list[str]]]:
    """Column heads, and one row per method: its disagreement in each layer, and its cost."""
    layers = [f"layer {index + 1}" for index in range(len(found[0].layers))]
    return ["method", *layers, "inputs", "milliseconds", "evaluations"], [
        [
            way.method,
            *(f"{value:.1e}" for value in (*way.layers, way.inputs)),
            f"{1000 * way.seconds:.2f}",
            f"{way.evaluations:,}",
        ]
        for way in found
    ]


def _network_and_example(options: argparse.Namespace) -> tuple[MLP, Tensor, Tensor]:
    """The network to explain, with inputs and targets: an example of the document, or random."""
    if options.sizes is None:
        given = sorted({"activation", "output", "seed"} & options.given)
        if given:
            raise ValueError(f"--{given[0]} only applies with --sizes; give --sizes too, or omit it.")
        example = EXAMPLES[options.example or "4"]
        return example.network(), torch.tensor(example.inputs), torch.tensor(example.targets)
    if options.example is not None:
        raise ValueError("--example and --sizes specify two different networks; give only one of them.")
    count = _parameters(options.sizes)
    if count > MOST_NUMBERS:
        raise ValueError(
            f"A network of {count:,} parameters is too large to explain; give --sizes with at most {MOST_NUMBERS}."
        )
    net = MLP(options.sizes, options.activation, options.output, seed=options.seed)
    return net, *random_examples(net, options.cost, 1, options.seed)


def run_explain(options: argparse.Namespace) -> int:
    """Print one training step, with the gradient norm of each layer; plot these if --out is given."""
    check_cpu(options)
    if options.out is not None:
        writable(options.out, PLOT)
    net, inputs, targets = _network_and_example(options)
    if options.inputs is not None:
        inputs = torch.tensor([options.inputs], dtype=torch.float64)
    if options.targets is not None:
        targets = torch.tensor([options.targets], dtype=torch.float64)
        if find_cost(options.cost, net.output).class_targets:
            if not bool((targets == targets.round()).all()):
                raise ValueError("--targets must be a class index for cross_entropy on identity outputs.")
            targets = targets[0].long()
    text = explain(net, inputs, targets, options.cost, options.learning_rate).rstrip("\n")
    found = gradients(net, inputs, targets, options.cost, "backprop")
    norms = ", ".join(f"{norm:.3g}" for norm in found.norms.tolist())
    written = []
    if options.out is not None:
        written.append(Path(options.out) / PLOT)
        save_figure(found.figure(), written[0])
    values = {"explanation": text.splitlines(), "gradient_norms": found.norms.tolist()}
    finish(options, f"{text}\n\nGRADIENT NORM by layer, from the input: {norms}", values, written)
    return 0
