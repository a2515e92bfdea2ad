"""`inputopt nearest`: minimal-norm attacks, and the curve of accuracy against distance."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from textwrap import fill
from typing import Any

import torch
from torch import Tensor

from inputopt import attacks
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.cli.commands.command_evaluate import add_levels, levels_of, save_pairs
from inputopt.cli.data.data_arguments import add_data, chosen_data, single_image
from inputopt.cli.data.png_rounding import rounding_note
from inputopt.cli.data.selected_data import Data
from inputopt.cli.model_arguments import add_network, answer, find_network
from inputopt.cli.norm_argument import add_norm
from inputopt.cli.output import attack_bar, finish, some_of, table, writable
from inputopt.cli.parsing import choice, class_or_name, whole
from inputopt.cli.typed_classes import typed_index
from inputopt.cli.verbs import add_common, add_verb
from inputopt.evaluation.remedies.repaired_distances import REPAIRED
from inputopt.evaluation.report_text import levels_text
from inputopt.evaluation.robustness_curve import RobustnessCurve, robustness_curve
from inputopt.files import save_figure, write_text
from inputopt.nets.frozen import Frozen
from inputopt.search.norms import NORMS
from inputopt.search.result import Result, best_of, nearer

KINDS = {name.lower(): getattr(attacks, name) for name in attacks.__all__}
ATTACKS = {name: kind for name, kind in KINDS.items() if issubclass(kind, MinimalNormAttack)}
del ATTACKS["epsilonbisection"]  # needs another attack as an argument


EXPLAINED = (
    "median: median distance, in which inputs that are misclassified as they are have distance 0 and those that were "
    "not fooled are infinitely far (inf); area: that under the curve of accuracy against "
    "distance, up to the largest distance found; failed: inputs that were not fooled"
)
FILES = ("nearest.json", "curve.png", "nearest.png")


def add_commands(commands: Any) -> None:
    """Add `nearest`."""
    command = add_verb(commands, "nearest")
    command.description = f"{command.description}\n\n{fill(f'Columns of the table: {EXPLAINED}.', 80)}"
    add_network(command)
    add_data(command, count=100)
    command.add_argument(
        "--attack",
        type=choice("attack", sorted(ATTACKS)),
        nargs="+",
        default=["minimalnorm"],
        help=f"one or more of {', '.join(sorted(ATTACKS))} (minimalnorm)",
    )
    add_norm(command, NORMS, "l2")
    command.add_argument(
        "--queries", type=whole(), default=1000, help="queries per input, for minimalnorm and hopskipjump (%(default)s)"
    )
    command.add_argument("--steps", type=whole(), help="number of steps of the other attacks (that of each attack)")
    command.add_argument("--target", type=class_or_name, help="target class, an index or a name (untargeted)")
    command.add_argument(
        "--start",
        help="an image that every search starts at, such as one of the target class; scaled by --resize (the inputs)",
    )
    command.add_argument(
        "--adapt",
        action="store_true",
        help="run each attack along repaired gradients too, where the network's own mislead, as evaluate does (off)",
    )
    add_levels(command)
    add_common(command, "out")
    command.set_defaults(run=run_nearest)


def run_nearest(options: argparse.Namespace) -> int:
    """Run the attacks; print a table, and save the results, the curve and a sheet of image pairs."""
    _attacks(options, None)  # check the settings before anything is read
    out = writable(options.out, *FILES)
    data = chosen_data(options, needs_labels=False)
    start = None if options.start is None else single_image(options.start, None, data.resize)
    writable(out, "nearest/result.json", *(f"nearest/{name}.png" for name in data.names), *data.clean_files())
    net = find_network(options)
    data, x = data.read(net)
    data = data.with_predicted_class(net, x)
    target = typed_index(options.target, net, answer(net, x).shape[1])
    if target is not None:  # inputs of the target class are left out
        x, data = x[data.y != target], data.without(target)
    levels = levels_of(options, net, x)
    chosen = _attacks(options, levels)
    with attack_bar(len(chosen)) as progress:
        curve = robustness_curve(
            net,
            x,
            data.y,
            options.norm,
            chosen,
            options.seed,
            target=target,
            start=None if start is None else _starts(start, net, x),
            adapt=options.adapt,
            progress=progress,
        )
    rows = infinite_rows(curve)
    plain = {"norm": options.norm, "levels": levels, "target": target, **data.plain(), "attacks": rows}
    write_text(out / "nearest.json", json.dumps(plain, indent=2) + "\n")
    save_figure(curve.figure(), out / "curve.png")
    best = _of_first_attack(curve, options.attack[0])
    replace(best, made_by={**best.made_by, **data.origin()}).save(out / "nearest", data.names)
    clean = data.save_clean(net, x, out)
    with torch.no_grad():
        known = net(x).argmax(1) == data.y
    title = f"{options.attack[0]}, {options.norm}: before, after, difference"
    written = save_pairs(net, x, best.x, best.success & known, title, out / "nearest.png")
    searched = levels_text({"levels": levels}) or "inputs of any values"
    text = f"{data.described()}\n\n{table(*curve_table(curve))}\n\nsearched among {searched}\n{EXPLAINED}"
    if (already := curve.lowest == 0).any():
        text += f"\nat distance 0, as they are: {some_of(data.names_at(already))}"
    if target is not None:
        text += f"\ntarget {options.target}: accuracy is the share of inputs that are not classified as the target"
    text += rounding_note(net, best.x, data.y, best.success & known, levels, target)
    finish(options, text, plain, [*written, out / "curve.png", out / "nearest.json", out / "nearest", *clean])
    return 0


def _starts(start: Data, net: Frozen, x: Tensor) -> Tensor:
    """The starting image for each input x [B, ...].

    Raises:
        FileError, ValueError: it cannot be read, or has another shape than the inputs.
    """
    image = start.read(net)[1]
    if image.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"--start {start.name} is an image of shape {list(image.shape[1:])}, and the inputs have shape "
            f"{list(x.shape[1:])}; give an image of their size, or --resize for both."
        )
    return image.expand_as(x)


def _of_first_attack(curve: RobustnessCurve, name: str) -> Result:
    """What the first attack found; by its own or by repaired gradients, whichever is nearer."""
    found = [curve.results[key] for key in (name, REPAIRED.format(name)) if key in curve.results]
    return found[0] if len(found) == 1 else best_of(found[0], found[1], nearer)


def infinite_rows(curve: RobustnessCurve) -> list[dict[str, Any]]:
    """The rows of a curve with infinite medians and areas as "inf", where half or all of the inputs were not fooled."""
    return [{name: "inf" if value is None else value for name, value in row.items()} for row in curve.rows()]


def curve_table(curve: RobustnessCurve) -> tuple[list[str], list[list[str]]]:
    """Column heads, and one row per attack: median distance, area under the curve, failures, and cost per input."""
    heads = ["attack", f"median {curve.norm}", "area", "failed", "forwards", "backwards", "seconds"]
    return heads, [
        [
            row["attack"],
            *(f"{float(row[name]):.4g}" for name in ("median", "area")),
            str(row["failed"]),
            *(f"{row[name]:,.0f}" if name in row else "" for name in ("forwards", "backwards")),
            f"{row['seconds']:.1f}" if "seconds" in row else "",
        ]
        for row in infinite_rows(curve)
    ]


def _attacks(options: argparse.Namespace, levels: int | None) -> dict[str, MinimalNormAttack]:
    """The chosen attacks by name, on inputs with so many levels.

    Raises:
        ValueError: an attack is named twice or does not support the norm, or no chosen attack takes a given option.
    """
    twice = next((name for name in options.attack if options.attack.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"--attack names {twice} twice; give each only once.")
    known = {name: {field.name for field in fields(ATTACKS[name])} for name in options.attack}
    taken = {name: "queries" if "queries" in of else "steps" for name, of in known.items()}
    for option in sorted({"queries", "steps"} & options.given):
        if option not in taken.values():
            other = "steps" if option == "queries" else "queries"
            raise ValueError(f"--{option} does not apply to {' and '.join(taken)}; use --{other} instead.")
    made = {}
    for name, option in taken.items():
        settings: dict[str, Any] = {"norm": options.norm, "levels": levels}
        if getattr(options, option) is not None:
            settings[option] = getattr(options, option)
        made[name] = ATTACKS[name](**settings)
    return made
