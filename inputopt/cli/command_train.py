"""`inputopt train`: a small network on a table or images, or a shipped network again by its recipe."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inputopt.cli.data_arguments import find_data, spread
from inputopt.cli.image_folder import add_resize
from inputopt.cli.model_arguments import find_device
from inputopt.cli.output import finish, training_bar, writable
from inputopt.cli.parsing import choice, number, sizes, whole
from inputopt.cli.table_data import read_table
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import save_figure, write_text
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.frozen import Frozen
from inputopt.nets.mlp import MLP
from inputopt.nets.model_errors import in_words
from inputopt.nets.store import save
from inputopt.training.plots import plot_errors
from inputopt.training.standardise import fold_standardisation
from inputopt.training.train import train
from inputopt.wilson_interval import wilson, with_interval
from inputopt.zoo.training_recipes import HELD_OUT_DIGITS, RECIPES, accuracy, write

NETWORKS = ["mlp", *RECIPES]
FILES = ("weights.safetensors", "card.md", "error.png")
OWN = ("label", "hidden", "activation", "epochs", "batch", "learning_rate", "holdout", "resize")
"""Options that only apply to a network of one's own."""


def add_commands(commands: Any) -> None:
    """Add `train`."""
    command = add_verb(commands, "train")
    command.add_argument(
        "model", type=choice("network", NETWORKS), help=f"mlp, or a shipped network: one of {', '.join(RECIPES)}"
    )
    command.add_argument(
        "data", nargs="?", help="for mlp: a .csv table, an .npz file with arrays x and y, or a folder per class"
    )
    group = command.add_argument_group("mlp")
    group.add_argument("--label", help="name of the column that holds the class (the last one)")
    group.add_argument("--hidden", type=sizes(), default=[32], help="neurons of the hidden layers: 32,16 (32)")
    group.add_argument(
        "--activation",
        type=choice("activation", ACTIVATIONS),
        default="relu",
        help=f"one of {', '.join(ACTIVATIONS)} (%(default)s)",
    )
    group.add_argument("--epochs", type=whole(), default=50, help="passes over the training data (%(default)s)")
    group.add_argument("--batch", type=whole(), default=32, help="examples per update (%(default)s)")
    group.add_argument(
        "--learning-rate", type=number(above=0), default=0.01, help="learning rate of Adam (%(default)s)"
    )
    share = number(above=0, most=0.9)
    group.add_argument("--holdout", type=share, default=0.2, help="share of the data kept for testing (%(default)s)")
    add_resize(group)
    add_common(command, "out")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train and write the network; return 1 if training ended early."""
    if options.model in RECIPES:
        return _run_recipe(options)
    if options.data is None:
        raise ValueError("mlp needs data; give a .csv table, an .npz file with arrays x and y, or a folder per class.")
    return _run_own(options)


def _run_recipe(options: argparse.Namespace) -> int:
    given = sorted({"data", "seed", "device", *OWN} & options.given)
    if given:
        what = given[0] if given[0] == "data" else f"--{given[0].replace('_', '-')}"
        raise ValueError(f"The recipe of {options.model} is fixed; omit {what}.")
    name = options.model
    out = writable(options.out if "out" in options.given else f"out/{name}", *FILES[:2])
    recipe = RECIPES[name]
    with training_bar(name, recipe.steps) as progress:
        trained = recipe.make(progress)
    write(trained, out)
    interval = wilson(trained.accuracy, HELD_OUT_DIGITS)
    text = f"{name}: accuracy {with_interval(trained.accuracy, interval)} on held-out digits"
    values: dict[str, Any] = {"model": name, "accuracy": trained.accuracy, "accuracy_interval": interval}
    values["ended_early"] = trained.cut_short
    text += f"; {trained.cut_short}" if trained.cut_short else ""
    finish(options, text, values, [out / file for file in FILES[:2]])
    return _status(trained.cut_short)


@dataclass(frozen=True)
class _Examples:
    """Inputs [B, n] or [B, C, H, W], classes int64 [B], class names, and the mean and deviation of table columns."""

    x: Tensor
    y: Tensor
    labels: tuple[str, ...]
    scaling: tuple[Tensor, Tensor] | None


def _run_own(options: argparse.Namespace) -> int:
    out = writable(options.out, *FILES)
    device = None if options.device is None else find_device(options.device)
    examples = _examples(options)
    held = spread(examples.y.numpy(), max(1, round(options.holdout * len(examples.y))), options.seed)
    is_held = torch.zeros(len(examples.y), dtype=torch.bool).index_fill(0, torch.from_numpy(held), True)
    if bool(is_held.all()) or len(set(examples.y[~is_held].tolist())) < len(examples.labels):
        raise ValueError(f"{options.data} has too few rows to hold some out of every class; add rows.")
    net = MLP(
        [examples.x[0].numel(), *options.hidden, len(examples.labels)],
        options.activation,
        "identity",
        seed=options.seed,
    ).to(device)
    steps = options.epochs * -(-int((~is_held).sum()) // options.batch)
    x = examples.x if examples.scaling is None else (examples.x - examples.scaling[0]) / examples.scaling[1]
    with training_bar("mlp", steps) as progress:
        history = train(
            net,
            x[~is_held].to(device),
            examples.y[~is_held].to(device),
            cost="cross_entropy",
            learning_rate=options.learning_rate,
            steps=steps,
            batch_size=options.batch,
            optimiser="adam",
            seed=options.seed,
            progress=progress,
        )
    net = net.cpu()
    if examples.scaling is not None:
        fold_standardisation(net, *examples.scaling)
    shares, intervals = {}, {}
    for name, rows in {"training": ~is_held, "held_out": is_held}.items():
        shares[name] = accuracy(net, examples.x[rows], examples.y[rows])
        intervals[name] = wilson(shares[name], int(rows.sum()))
    on_training, on_held_out = (with_interval(shares[name], intervals[name]) for name in shares)
    ended = "" if history.trainings == steps else f"{history.stopped} after {history.trainings:,} of {steps:,} updates"
    save(net, out / FILES[0])
    accuracies = f"{on_training} training, {on_held_out} held out"
    write_text(out / FILES[1], _card(options, net, examples, accuracies, ended))
    save_figure(plot_errors({"mlp": history}), out / FILES[2])
    text = f"accuracy {on_training} on training data, {on_held_out} on held-out data"
    values = {
        "sizes": list(net.sizes),
        "labels": list(examples.labels),
        "accuracy": shares,
        "accuracy_interval": intervals,
        "updates": history.trainings,
        "ended_early": ended,
    }
    finish(options, f"{text}{f'; {ended}' if ended else ''}", values, [out / name for name in FILES])
    return _status(history.stopped if ended else "")


def _examples(options: argparse.Namespace) -> _Examples:
    if options.data.lower().endswith(".csv") and options.resize is None:
        table = read_table(options.data, options.label)
        std = table.x.std(0)
        return _Examples(table.x, table.y, table.labels, (table.x.mean(0), torch.where(std > 0, std, 1.0)))
    if options.label is not None:
        raise ValueError("--label names a column of a .csv table; omit it.")
    data = find_data(options.data, np.iinfo(np.int64).max, options.seed, options.resize)
    classes = int(data.y.max()) + 1
    if classes < 2:
        raise ValueError(f"{options.data} has fewer than two classes; add another.")
    x = data.inputs(Frozen(lambda x: x.new_zeros(len(x), classes)))
    names = tuple(str(label) for label in range(classes))
    folder = Path(options.data)
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return _Examples(x, data.y, tuple(found) if len(found) == classes else names, None)


def _card(options: argparse.Namespace, net: MLP, examples: _Examples, accuracies: str, ended: str) -> str:
    inputs = "raw columns of the table (standardisation is part of the first layer)"
    resized = "" if options.resize is None else f", from images resized to {in_words(options.resize)}"
    rows = {
        "data": f"{options.data}: {len(examples.y):,} rows, {options.holdout:.0%} held out, stratified by class",
        "input": inputs if examples.scaling is not None else f"{list(examples.x.shape[1:])} in [0, 1]{resized}",
        "classes": ", ".join(f"{index} {name}" for index, name in enumerate(examples.labels)),
        "network": f"MLP {'-'.join(map(str, net.sizes))}, {options.activation}",
        "training": f"softmax cross-entropy, Adam, learning rate {options.learning_rate:g}, {options.epochs} epochs "
        f"in batches of {options.batch}, seed {options.seed}{f'; NOT FINISHED: {ended}' if ended else ''}",
        "accuracy": accuracies,
        "made with": f"torch {torch.__version__}, by `inputopt train`",
    }
    return "# mlp\n\n| | |\n|---|---|\n" + "".join(f"| {name} | {text} |\n" for name, text in rows.items())


def _status(ended: str) -> int:
    """Exit status of a training run that ended for this reason.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    if ended.startswith("interrupted"):
        raise KeyboardInterrupt
    return 1 if ended else 0
