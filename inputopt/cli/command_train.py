"""`inputopt train`: train a shipped network again."""

from __future__ import annotations

import argparse
from typing import Any

from inputopt.cli.output import training_bar, writable
from inputopt.cli.parsing import choice
from inputopt.zoo.training_recipes import RECIPES, write

NETWORKS = {"digits": "digits-mlp", **{name: name for name in RECIPES}}


def add_commands(commands: Any) -> None:
    """Add `train`."""
    command = commands.add_parser("train", help="train a shipped network again by its recipe")
    command.add_argument(
        "network", type=choice("network", sorted(NETWORKS)), help=f"one of {', '.join(sorted(NETWORKS))}"
    )
    command.add_argument("--out", help="folder for the weights and the card (out/NAME)")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train the network, write it, and print its accuracy; return 1 if training ended early."""
    name = NETWORKS[options.network]
    out = writable(options.out or f"out/{name}", "weights.safetensors", "card.md")
    recipe = RECIPES[name]
    with training_bar(name, recipe.steps) as progress:
        trained = recipe.make(progress)
    write(trained, out)
    wrote = f"{100 * trained.accuracy:.1f} % accuracy on held-out digits; wrote {out}/weights.safetensors and card.md"
    print(f"{name}: {wrote}{f'; {trained.cut_short}' if trained.cut_short else ''}")
    if trained.cut_short.startswith("interrupted"):
        raise KeyboardInterrupt
    return 1 if trained.cut_short else 0
