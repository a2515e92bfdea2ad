"""`inputopt classify`: the most probable classes of inputs."""

from __future__ import annotations

import argparse
from typing import Any

import torch

from inputopt.cli.class_ranking import classes_text, probability_text, ranked, training_size_hint
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.data.selected_data import Data
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import finish, table
from inputopt.cli.parsing import whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.nets.class_names import name_of_class
from inputopt.nets.frozen import Frozen
from inputopt.wilson_interval import wilson, with_interval


def add_commands(commands: Any) -> None:
    """Add `classify`."""
    command = add_verb(commands, "classify")
    add_network(command)
    add_data(command, count=20)
    command.add_argument("--top", type=whole(), default=5, help="number of classes shown of each input (%(default)s)")
    add_common(command)
    command.set_defaults(run=run_classify)


def run_classify(options: argparse.Namespace) -> int:
    """Print the most probable classes of each input, and the accuracy if their classes are known."""
    data = chosen_data(options, needs_labels=False)
    net = find_network(options)
    data, x = data.read(net, bounded=False)
    with torch.no_grad():
        logits = torch.cat([net(part) for part in torch.split(x, 64)])
    rows = ranked(net, logits, options.top)
    values: dict[str, Any] = {
        "predictions": [{"input": name, "classes": row} for name, row in zip(data.names, rows, strict=True)],
        **data.plain(),
    }
    text = _single(rows[0]) if len(rows) == 1 else _several(data, net, rows)
    if data.is_labelled:
        accuracy = float((logits.argmax(1).cpu() == data.y).double().mean())
        values |= {"accuracy": accuracy, "accuracy_interval": wilson(accuracy, len(x))}
        if len(rows) > 1:
            text += f"\n\naccuracy {with_interval(accuracy, values['accuracy_interval'])}"
    finish(options, f"{data.described()}\n\n{text}{training_size_hint(options.model, x)}", values)
    return 0


def _single(row: list[dict[str, Any]]) -> str:
    cells = [[each["name"], str(each["class"]), probability_text(each)] for each in row]
    return table(["class", "number", "probability"], cells)


def _several(data: Data, net: Frozen, rows: list[list[dict[str, Any]]]) -> str:
    """One line per input: its name, its class, and its most probable classes."""
    probable = [classes_text(row) for row in rows]
    if not data.is_labelled:
        return table(
            ["input", "most probable classes"], [list(each) for each in zip(data.names, probable, strict=True)], 2
        )
    count = max(row["class"] for found in rows for row in found) + 1
    labels = [name_of_class(label, count, net.facts.class_names) for label in data.y.tolist()]
    cells = [list(each) for each in zip(data.names, labels, probable, strict=True)]
    return table(["input", "class", "most probable classes"], cells, left=3)
