"""`inputopt gradcheck`: the differentiation methods compared on a random network."""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish, table
from inputopt.cli.parsing import choice, sizes, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.derivatives.agreement import Agreement
from inputopt.derivatives.gradcheck import gradcheck
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.costs import COSTS
from inputopt.nets.mlp import MLP

LIMITS = {"backprop": 1e-10, "dual": 1e-10, "differences": 1e-6}


def add_commands(commands: Any) -> None:
    """Add `gradcheck`."""
    check = add_verb(commands, "gradcheck")
    add_network(check, "20,30,20,10")
    check.add_argument("--batch", type=whole(), default=7, help="number of examples (%(default)s)")
    add_common(check)
    check.set_defaults(run=run_gradcheck)


def add_network(command: argparse.ArgumentParser, default_sizes: str | None) -> None:
    """Add --sizes, --activation, --output and --cost."""
    known = choice("activation", ACTIVATIONS)
    words = ", ".join(ACTIVATIONS)
    command.add_argument(
        "--sizes",
        type=sizes(),
        default=default_sizes,
        help=f"neurons per layer, inputs first: 2,3,1 ({default_sizes or 'those of --example'})",
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
    count = count_parameters(layer_sizes)
    variables = count + layer_sizes[0]  # a dual number has a gradient entry for each
    check_memory("Dual numbers", 24.0 * variables * (count + batch * sum(layer_sizes)), "smaller --sizes or --batch")
    net = MLP(layer_sizes, activation, output, seed=seed)
    return gradcheck(net, cost=cost, batch=batch, seed=seed)  # type: ignore[arg-type]  # a name of COSTS


def count_parameters(layer_sizes: list[int]) -> int:
    """Number of weights and biases of a network of these sizes."""
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
