"""`inputopt train`: a small network on a table or images, or a shipped network again by its recipe."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from inputopt.cli.data.image_folder import add_resize
from inputopt.cli.data.training_data import Examples, training_examples
from inputopt.cli.model_arguments import find_device
from inputopt.cli.output import finish, training_bar, writable
from inputopt.cli.parsing import choice, number, sizes, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import save_figure, write_text
from inputopt.nets.activations import ACTIVATIONS
from inputopt.nets.mlp import MLP
from inputopt.nets.model_errors import in_words
from inputopt.nets.network_facts import NetworkFacts, remember
from inputopt.nets.store import save
from inputopt.training.plots import plot_held_out
from inputopt.training.standardise import fold_standardisation
from inputopt.training.train import Progress, train
from inputopt.wilson_interval import wilson, with_interval
from inputopt.zoo.training_recipes import HELD_OUT_DIGITS, RECIPES, write

NETWORKS = ["mlp", *RECIPES]
FEW = 8
"""Most numbers of an example that the card writes out."""

FILES = ("weights.safetensors", "card.md", "error.png", "history.csv")
DATA = "a .csv table, an .npz file with arrays x and y, a folder with a subfolder per class, or digits"
OWN = ("label", "hidden", "activation", "epochs", "batch", "learning_rate", "holdout", "resize")
"""Options that only apply to a network of one's own."""


def add_commands(commands: Any) -> None:
    """Add `train`."""
    command = add_verb(commands, "train")
    command.add_argument(
        "model", type=choice("network", NETWORKS), help=f"mlp, or a shipped network: one of {', '.join(RECIPES)}"
    )
    command.add_argument(
        "data",
        nargs="?",
        help=f"for mlp: {DATA}",
    )
    group = command.add_argument_group("mlp")
    group.add_argument(
        "--label", help="column that holds the class: its name, or number from 1 without a header (the last one)"
    )
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
    group.add_argument(
        "--holdout",
        type=share,
        default=0.2,
        help="share of the data kept for testing (%(default)s; 1,000 of the digits)",
    )
    add_resize(group)
    add_common(command, "out")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train and write the network; return 1 if training ended early."""
    if options.model in RECIPES:
        return _run_recipe(options)
    if options.data is None:
        raise ValueError(f"mlp needs data; give {DATA}.")
    return _run_own(options)


def _run_recipe(options: argparse.Namespace) -> int:
    given = sorted({"data", "seed", "device", *OWN} & options.given)
    if given:
        what = given[0] if given[0] == "data" else f"--{given[0].replace('_', '-')}"
        raise ValueError(f"The recipe of {options.model} is fixed; omit {what}.")
    name = options.model
    options.out = options.out if "out" in options.given else f"out/{name}"
    out = writable(options.out, *FILES[:2])
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


def _run_own(options: argparse.Namespace) -> int:
    out = writable(options.out, *FILES)
    device = None if options.device is None else find_device(options.device)
    examples = training_examples(options)
    trained = ~examples.held
    net = MLP(
        [examples.x[0].numel(), *options.hidden, len(examples.labels)],
        options.activation,
        "identity",
        seed=options.seed,
    ).to(device)
    steps = options.epochs * -(-int(trained.sum()) // options.batch)
    x = examples.standardised().to(device)
    as_trained = replace(examples, x=x, y=examples.y.to(device), held=examples.held.to(device))
    errors: dict[int, dict[str, float]] = {}
    with training_bar("mlp", steps) as show:

        def progress(now: Progress) -> None:
            errors[now.index] = as_trained.misclassified(net)
            show(now)

        history = train(
            net,
            as_trained.x[~as_trained.held],
            as_trained.y[~as_trained.held],
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
    shares = {name: 1 - share for name, share in examples.misclassified(net).items()}
    intervals = {
        name: wilson(shares[name], int(rows.sum())) for name, rows in (("training", trained), ("held_out", ~trained))
    }
    errors[history.trainings] = {name: 1 - share for name, share in shares.items()}
    on_training, on_held_out = (with_interval(shares[name], intervals[name]) for name in shares)
    ended = "" if history.trainings == steps else f"{history.stopped} after {history.trainings:,} of {steps:,} updates"
    remember(net, NetworkFacts(examples.labels, examples.digest, examples.columns))
    save(net, out / FILES[0])
    accuracies = f"{on_training} training, {on_held_out} held out{_lowest(errors)}"
    write_text(out / FILES[1], _card(options, net, examples, accuracies, ended))
    save_figure(plot_held_out(history, errors), out / FILES[2])
    history.write_csv(out / FILES[3])
    text = f"{examples.described()}\naccuracy {on_training} on training data, {on_held_out} on held-out data"
    values = {
        "sizes": list(net.sizes),
        "labels": list(examples.labels),
        "examples": list(examples.counts()),
        "accuracy": shares,
        "accuracy_interval": intervals,
        "held_out_error": {str(index): each["held_out"] for index, each in sorted(errors.items())},
        "updates": history.trainings,
        "ended_early": ended,
    }
    finish(options, f"{text}{f'; {ended}' if ended else ''}", values, [out / name for name in FILES])
    return _status(history.stopped if ended else "")


def _lowest(errors: Mapping[int, Mapping[str, float]]) -> str:
    """Where the error on held-out data was lower during training than at its end."""
    held_out = {index: each["held_out"] for index, each in sorted(errors.items())}
    lowest, last = min(held_out, key=lambda index: held_out[index]), held_out[max(held_out)]
    if held_out[lowest] == last:
        return ""
    best = f"{held_out[lowest]:.1%}, after {lowest:,} updates"
    return f"; the error on held-out data was {last:.1%} at the end, and lowest, {best}"


def _card(options: argparse.Namespace, net: MLP, examples: Examples, accuracies: str, ended: str) -> str:
    inputs = "raw columns of the table (standardisation is part of the first layer)"
    resized = "" if options.resize is None else f", from images resized to {in_words(options.resize)}"
    rows = {
        "data": f"{options.data}: {len(examples.y):,} rows, {int(examples.held.sum()):,} held out, stratified by class",
        "input": inputs if examples.scaling is not None else f"{list(examples.x.shape[1:])} in [0, 1]{resized}",
        "classes": ", ".join(f"{index} {name}" for index, name in enumerate(examples.labels)),
        "network": f"MLP {'-'.join(map(str, net.sizes))}, {options.activation}",
        "training": f"softmax cross-entropy, Adam, learning rate {options.learning_rate:g}, {options.epochs} epochs "
        f"in batches of {options.batch}, seed {options.seed}{f'; NOT FINISHED: {ended}' if ended else ''}",
        "accuracy": accuracies,
        "made with": f"torch {torch.__version__}, by `inputopt train`",
    }
    row = f"torch.tensor([{[0.0] * net.sizes[0]}])" if net.sizes[0] <= FEW else f"torch.zeros(1, {net.sizes[0]})"
    use = (
        "```python\nimport inputopt, torch\n\n"
        f"net = inputopt.load({str(Path(options.out) / FILES[0])!r})\n"
        f"row = {row}  # an example, as in the data\n"
        "index = int(net(row).argmax(1))\n"
        "print(inputopt.Frozen(net).facts.class_names[index])\n```\n"
    )
    table = "".join(f"| {name} | {text} |\n" for name, text in rows.items())
    return f"# mlp\n\n| | |\n|---|---|\n{table}\nTo use it:\n\n{use}"


def _status(ended: str) -> int:
    """Exit status of a training run that ended for this reason.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    if ended.startswith("interrupted"):
        raise KeyboardInterrupt
    return 1 if ended else 0
