"""`inputopt certify`: which inputs are proven to be classified correctly in a whole ball."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from inputopt.bounds.certify import NORMS, Certificate, certify
from inputopt.bounds.smoothing import certify_smoothed
from inputopt.cli.commands.command_evaluate import default_eps, distance
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.data.selected_data import Data
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.norm_argument import add_norm
from inputopt.cli.output import finish, some_of, stderr_bar, table, writable
from inputopt.cli.parsing import number, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import write_text
from inputopt.nets.frozen import Frozen
from inputopt.wilson_interval import with_interval

FILE = "certificate.json"

FEW, SECONDS = 4, 5.0
"""Inputs that are certified at first between two updates of the progress, twice as many if they take less time."""

STAGES = ("interval", "crown", "alpha-crown", "branch and bound")
"""What proves an input, the cheapest first."""


def add_commands(commands: Any) -> None:
    """Add `certify`."""
    command = add_verb(commands, "certify")
    add_network(command)
    add_data(command, count=100)
    add_norm(command, NORMS, "linf")
    command.add_argument("--eps", type=number(0), help=f"radius of the ball, such as 8/255 ({default_eps(NORMS)})")
    command.add_argument(
        "--budget",
        type=whole(0),
        default=2000,
        help="linear bounds per input for optimisation and branch and bound; 0 for the cheap bounds only (%(default)s)",
    )
    command.add_argument(
        "--sigma",
        type=number(above=0),
        help="certify the classifier smoothed by Gaussian noise of this standard deviation, in l2 (for any network)",
    )
    command.add_argument(
        "--draws", type=whole(), default=1000, help="noisy copies per input, with --sigma (%(default)s)"
    )
    add_common(command, "out")
    command.set_defaults(run=run_certify)


def run_certify(options: argparse.Namespace) -> int:
    """Certify the inputs; print how many each method proved, and write a row for each input."""
    if options.sigma is None and "draws" in options.given:
        raise ValueError("--draws applies to a smoothed classifier; give --sigma too.")
    if options.sigma is not None and (options.norm != "l2" or "budget" in options.given):
        raise ValueError("--sigma certifies in l2 by random draws; use --norm l2, and omit --budget.")
    distance(options)  # checked before anything is read
    out = writable(options.out, FILE)
    data = chosen_data(options, needs_labels=False)
    net = find_network(options)
    eps = distance(options, net.unit)
    data, x = data.read(net)
    data = data.with_predicted_class(net, x)
    rows, text, values = (_bounds if options.sigma is None else _smoothed)(options, net, data, x, eps)
    values = {"norm": options.norm, "eps": eps, **data.plain(), **values}
    write_text(out / FILE, json.dumps({**values, "inputs": rows}, indent=2) + "\n")
    finish(options, f"{data.described()}\n\n{text}", values, [out / FILE])
    return 0


Found = tuple[list[dict[str, Any]], str, dict[str, Any]]
"""A row for each input, the text to print, and the values."""


def _bounds(options: argparse.Namespace, net: Frozen, data: Data, x: Tensor, eps: float) -> Found:
    found = _certified(options, net, x, data.y, eps)
    with torch.no_grad():
        wrong = torch.cat([net(part).argmax(1).cpu() for part in torch.split(x, 64)]) != data.y
    counts = Counter(found.method)
    others = {"misclassified": wrong, "not proven": ~found.certified & ~wrong}
    named = {what: data.names_at(rows) for what, rows in others.items() if bool(rows.any())}
    cells = [[name, str(counts[name])] for name in STAGES if counts[name]]
    cells += [[what, str(len(names))] for what, names in named.items()]
    text = "\n\n".join(
        [table(["proven by", "inputs"], cells), *(f"{what}: {some_of(names)}" for what, names in named.items())]
    )
    share = with_interval(found.accuracy, found.interval)
    text += f"\n\n{share} certified in {options.norm} {eps:g}: a lower bound of the robust accuracy"
    columns = zip(data.names, found.certified.tolist(), found.lower.tolist(), found.method, wrong.tolist(), strict=True)
    rows = [
        {"name": str(name), "certified": proven, "lower": lower, "method": method, "misclassified": off}
        for name, proven, lower, method, off in columns
    ]
    values = {"certified_accuracy": found.accuracy, "certified_interval": found.interval}
    return rows, text, {**values, "proven_by": dict(counts), "budget": options.budget}


def _certified(options: argparse.Namespace, net: Frozen, x: Tensor, y: Tensor, eps: float) -> Certificate:
    """The certificates of the inputs, a few at a time so that progress can be shown."""
    parts, first, size = list[Certificate](), 0, FEW
    with stderr_bar(total=len(x), desc="certify", unit="input") as bar:
        while first < len(x):
            started, rows = time.perf_counter(), slice(first, first + size)
            parts.append(certify(net, x[rows], y[rows], options.norm, eps, budget=options.budget))
            bar.update(len(parts[-1].certified))
            first += size
            size = 2 * size if time.perf_counter() - started < SECONDS else size
    return Certificate(
        torch.cat([part.certified for part in parts]),
        torch.cat([part.lower for part in parts]),
        tuple(name for part in parts for name in part.method),
        options.norm,
        torch.cat([part.eps for part in parts]),
    )


def _smoothed(options: argparse.Namespace, net: Frozen, data: Data, x: Tensor, eps: float) -> Found:
    found = certify_smoothed(net, x, data.y, options.sigma, draws=options.draws, seed=options.seed)
    abstained = int((found.prediction < 0).sum())
    text = (
        f"{with_interval(found.accuracy(eps), found.interval(eps))} certified in l2 {eps:g} for the classifier "
        f"smoothed with sigma {options.sigma:g}; {with_interval(found.accuracy(0), found.interval(0))} correct, "
        f"{abstained} abstentions"
    )
    columns = zip(
        data.names, found.certified(eps).tolist(), found.radius.tolist(), found.prediction.tolist(), strict=True
    )
    rows = [
        {"name": str(name), "certified": proven, "radius": radius, "prediction": prediction}
        for name, proven, radius, prediction in columns
    ]
    values = {"certified_accuracy": found.accuracy(eps), "certified_interval": found.interval(eps)}
    return rows, text, {**values, "abstained": abstained, "sigma": options.sigma, "draws": options.draws}
