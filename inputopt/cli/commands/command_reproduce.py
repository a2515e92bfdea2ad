"""`inputopt reproduce`: train the document's networks and compare every printed figure."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish, table, training_bar, writable
from inputopt.cli.parsing import choice
from inputopt.cli.verbs import add_common, add_verb
from inputopt.derivatives.gradient_methods import GRADIENT_METHODS
from inputopt.document import SOURCES
from inputopt.document.networks import EXAMPLES
from inputopt.document.reproduce import METHODS, Reproduction, Row, reproduce, write
from inputopt.files import save_figure
from inputopt.training.plots import plot_errors, plot_gradient_sizes
from inputopt.training.train import Progress

PLOTS = ("error.png", "gradients.png")
FINAL_TITLE = "The last weights and biases of the networks of which the document prints none:"
SMALL_TITLE = (
    "The small networks by the slower methods, and by the genetic algorithm down to the error of gradient descent:"
)
NETWORKS = (
    f"The networks: {'; '.join(f'{name}, {example.title}' for name, example in EXAMPLES.items())}, which are held as "
    "in the walk-through. Numbers are named weight LAYER[NEURON,INPUT] and bias LAYER[NEURON], each counted from 0."
)
"""What the names in the tables mean."""


def add_commands(commands: Any) -> None:
    """Add `reproduce`."""
    command = add_verb(commands, "reproduce")
    sources = "\n".join(f"  {title}\n  {address}" for title, address in SOURCES.items())
    command.description = f"{command.description}\n\nThe document, and the walk-through that it links to:\n{sources}"
    command.add_argument(
        "--method",
        type=choice("method", GRADIENT_METHODS),
        help=f"one differentiation method, of {', '.join(GRADIENT_METHODS)} (autograd and backprop)",
    )
    add_common(command, "out/reproduce")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables; return 1 if a derived figure differs from the printed one."""
    check_cpu(options)
    out = writable(options.out, *PLOTS)
    methods = METHODS if options.method is None else (options.method,)
    found = reproduce(methods, small=options.method is None, watch=bar, processes=processes())
    written = save(found, out)
    heads, rows = figure_table(found)
    values = {
        "figures": [dict(zip(heads, row, strict=True)) for row in rows],
        "mismatches": len(found.mismatches),
        "final_numbers": final_numbers(found),
    }
    finish(options, as_text(found), values, written)
    return 1 if found.mismatches else 0


def processes() -> int:
    """Number of processes: one per processor."""
    return os.cpu_count() or 1


def bar(example: str, method: str, trainings: int) -> AbstractContextManager[Callable[[Progress], None]]:
    """Progress bar of one training run."""
    return training_bar(f"network {example} by {method}", trainings)


def save(found: Reproduction, out: Path) -> list[Path]:
    """Write the logs, and the plots of the first method's training runs; return their paths."""
    method = next(iter(found.histories))[0]
    first = {name: history for (way, name), history in found.histories.items() if way == method}
    titled = {f"network {name}: {EXAMPLES[name].title}": history for name, history in first.items()}
    plots = (plot_errors(titled), plot_gradient_sizes({"network 4": first["4"]}, "The early layer learns more slowly"))
    for name, figure in zip(PLOTS, plots, strict=True):
        save_figure(figure, out / name)
    return [*write(found, out), *(out / name for name in PLOTS)]


def as_text(found: Reproduction) -> str:
    """All tables as text."""
    heads, rows = figure_table(found)
    parts = [table(heads, rows), NETWORKS]
    notes = [row.figure for row in found.rows if row.figure.contradicted]
    parts.append("\n".join(f"network {figure.example}, {figure.figure}: {figure.note}" for figure in notes))
    parts.append(verdict(found))
    parts.append("\n".join([FINAL_TITLE, *map(_in_a_line, final_numbers(found).items())]))
    if found.small:
        parts.append(SMALL_TITLE)
        parts.append(table(*small_table(found)))
    return "\n\n".join(parts)


def verdict(found: Reproduction) -> str:
    """Summary of the comparison in one sentence."""
    contradicted = sum(bool(row.figure.contradicted) for row in found.rows)
    total, differing = len(found.rows), len(found.mismatches)
    differ = f"; {differing} differ" if differing else ""
    return (
        f"{total - differing - contradicted} of {total} figures reproduced to the last printed digit; the other "
        f"{contradicted} contradict the document's formulas in print, and the formulas' results are compared{differ}."
    )


def final_numbers(found: Reproduction) -> dict[str, dict[str, float]]:
    """The last weights and biases of each network of which the document prints none, by the first method."""
    printed = {row.figure.example for row in found.rows if row.figure.figure.startswith("last weight")}
    method = next(iter(found.histories))[0]
    return {
        name: {
            what: value for what, value in history.samples[-1].details.items() if what.startswith(("weight ", "bias "))
        }
        for (way, name), history in found.histories.items()
        if way == method and name not in printed
    }


def _in_a_line(network: tuple[str, dict[str, float]]) -> str:
    name, numbers = network
    return f"network {name}: {', '.join(f'{what} {value:.6f}' for what, value in numbers.items())}"


def figure_table(found: Reproduction) -> tuple[list[str], list[list[str]]]:
    """Column heads and rows: network, figure, printed value, one column per method, verdict."""
    methods = list(dict.fromkeys(way for way, _ in found.histories))
    return ["network", "figure", "printed", *methods, "verdict"], [_cells(row, methods) for row in found.rows]


def _cells(row: Row, methods: list[str]) -> list[str]:
    figure = row.figure
    result = "DIFFERENT" if not row.agrees else "contradicts itself" if figure.contradicted else "same"
    derived = [figure.as_printed(row.derived[method]) for method in methods]
    return [figure.example, figure.figure, figure.contradicted or figure.printed, *derived, result]


def small_table(found: Reproduction) -> tuple[list[str], list[list[str]]]:
    """Column heads and rows of the small networks' runs."""
    heads = ["network", "method", "updates or generations", "evaluations", "seconds", "final error"]
    return heads, [
        [
            run.example,
            run.method,
            f"{run.trainings:,}",
            f"{run.evaluations:,}",
            f"{run.seconds:.2f}",
            f"{run.error:.6f}",
        ]
        for run in found.small
    ]
