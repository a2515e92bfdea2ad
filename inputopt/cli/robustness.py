"""`inputopt attack` and `inputopt evaluate`: how many inputs can be fooled within a distance?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from inputopt import attacks, checks
from inputopt.attacks.base import Attack
from inputopt.cli.given import add_model_and_data, find_data, find_model
from inputopt.cli.show import table, writable
from inputopt.evaluation.evaluate import evaluate
from inputopt.evaluation.protocols import PRESETS
from inputopt.evaluation.report import Report
from inputopt.files import replacing, save_figure
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import to_image
from inputopt.pictures.sheet import pairs_sheet
from inputopt.search.loop import Snapshot
from inputopt.search.norms import NORMS

KINDS = {name.lower(): getattr(attacks, name) for name in attacks.__all__}
ATTACKS = {name: kind for name, kind in KINDS.items() if issubclass(kind, Attack)}


def add_commands(commands: Any) -> None:
    """Add `attack` and `evaluate`."""
    command = commands.add_parser("attack", help="run one attack at a fixed distance")
    command.add_argument("--attack", choices=sorted(ATTACKS), default="pgd", help="(%(default)s)")
    command.add_argument("--steps", type=int, help="the attack's own if not given")
    command.add_argument("--target", type=int, help="the class to reach; any other if not given")
    _add_threat(command)
    add_model_and_data(command, count=100)
    command.set_defaults(run=run_attack)

    command = commands.add_parser("evaluate", help="how many inputs hold out against a protocol of attacks")
    command.add_argument("--preset", choices=list(PRESETS), default="standard", help="(%(default)s)")
    _add_threat(command)
    add_model_and_data(command, count=1000)
    command.set_defaults(run=run_evaluate)


def _add_threat(command: argparse.ArgumentParser) -> None:
    command.add_argument("--norm", choices=list(NORMS), default="linf", help="(%(default)s)")
    command.add_argument("--eps", type=float, default=0.1, help="the distance (%(default)s)")
    command.add_argument("--levels", type=int, help="search only what a file holds: 256 for PNG")


def run_attack(options: argparse.Namespace) -> int:
    """Run it, and show a table and a sheet of pairs."""
    out = writable(options.out)
    net, (x, y) = Frozen(find_model(options.model)), find_data(options.data, options.count)
    kind = ATTACKS[options.attack]
    settings: dict[str, Any] = {"norm": options.norm, "eps": options.eps, "levels": options.levels}
    if options.steps is not None:
        if "steps" not in {field.name for field in fields(kind)}:
            raise ValueError(f"{options.attack} takes a single step; leave --steps out.")
        settings["steps"] = options.steps
    if options.target is not None:  # who is of the target class already has nothing to reach
        x, y = x[y != options.target], y[y != options.target]
    checks.batch("the data", x)
    attack = kind(**settings)
    with torch.no_grad():
        known = net(x).argmax(1) == y
    with _step_bar(options.attack) as watch:
        found = attack(net, x, y, target=options.target, seed=options.seed, watch=watch)
    moved = found.success & (found.distance > 0)
    values = {
        "attack": options.attack,
        "norm": options.norm,
        "eps": options.eps,
        "inputs": len(x),
        "accuracy": float(known.double().mean()),
        "accuracy_under_attack": float((found.prediction == y).double().mean()),
        "success": float(found.success.double().mean()),
        "median_distance": float(found.distance[moved].median()) if bool(moved.any()) else None,
        "forwards": int(found.forwards.sum()),
        "backwards": int(found.backwards.sum()),
    }
    print(json.dumps(values, indent=2) if options.json else table(["", "value"], _rows(values)))
    title = f"{options.attack}, {options.norm} {options.eps:g}: before, after, difference"
    show_pairs(net, x, found.x, found.success & known, title, out / "attack.png", options.json)
    if options.levels == 256:
        _save_inputs(found.x, y, net.bounds, out / "attack", options.json)
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """Run a protocol, and show a row an attack, the reasons to doubt, and a sheet of pairs."""
    out = writable(options.out)
    net, (x, y) = Frozen(find_model(options.model)), find_data(options.data, options.count)
    with _stage_bar() as progress:
        report = evaluate(
            net, x, y, options.norm, options.eps, options.preset, options.seed, levels=options.levels, progress=progress
        )
    report.save(out / "evaluation")
    print(json.dumps(report.as_plain(), indent=2) if options.json else report_text(report))
    fooled = (report.x != x).flatten(1).any(1)
    title = f"{options.norm} {options.eps:g}, {options.preset}: before, after, difference"
    show_pairs(net, x, report.x, fooled, title, out / "evaluation.png", options.json)
    return 0


def report_text(report: Report) -> str:
    """A report as text: the figures, a row an attack, and the reasons to doubt."""
    parts = [
        f"clean accuracy {100 * report.clean_accuracy:.1f} %, robust accuracy at most "
        f"{100 * report.robust_accuracy:.1f} % ({report.settings['norm']} {report.settings['eps']:g}, "
        f"{report.settings['preset']})",
        table(*report_table(report)),
    ]
    return "\n\n".join([*parts, *(f"Doubt: {warning}" for warning in report.warnings)])


def report_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: an attack, how many it was tried on and fooled, and what it cost."""
    return ["attack", "tried on", "fooled", "forwards", "backwards", "seconds"], [
        [
            row.name,
            str(row.tried),
            str(len(row.fooled)),
            f"{row.forwards:,}",
            f"{row.backwards:,}",
            f"{row.seconds:.2f}",
        ]
        for row in report.attacks
    ]


def _rows(values: dict[str, Any]) -> list[list[str]]:
    return [
        [key.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else str(value)]
        for key, value in values.items()
    ]


def show_pairs(net: Frozen, x: Tensor, moved: Tensor, which: Tensor, title: str, path: Path, quiet: bool) -> None:
    """Write a sheet of the first few of those that were fooled, where they are images."""
    rows = which.nonzero()[:8, 0]
    if not len(rows) or x.ndim != 4 or x.shape[1] not in (1, 3):
        return
    save_figure(pairs_sheet(x[rows], moved[rows], net, title), path)
    if not quiet:
        print(f"wrote {path}")


def _save_inputs(x: Tensor, y: Tensor, bounds: tuple[float, float], folder: Path, quiet: bool) -> None:
    for number, (image, label) in enumerate(zip(x, y.tolist(), strict=True)):
        with replacing(folder / str(label) / f"{number:05}.png") as temporary:
            to_image(image, bounds).save(temporary)
    if not quiet:
        print(f"wrote {len(x)} images under {folder}")


@contextmanager
def _step_bar(title: str) -> Iterator[Callable[[Snapshot], None]]:
    with tqdm(desc=title, unit="step", leave=False, disable=None) as bar:

        def watch(snapshot: Snapshot) -> None:
            bar.set_postfix_str(f"{len(snapshot.ids)} standing", refresh=False)
            bar.update()

        yield watch


@contextmanager
def _stage_bar() -> Iterator[Callable[[str, int], None]]:
    with tqdm(unit="attack", leave=False, disable=None) as bar:

        def progress(name: str, standing: int) -> None:
            bar.set_description(f"{name}, {standing} standing")
            bar.update()

        yield progress
