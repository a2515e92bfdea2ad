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

from inputopt import attacks
from inputopt.attacks.attack import Attack
from inputopt.cli.data_arguments import Data, add_data, find_data
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.output import table, writable, wrote
from inputopt.cli.parsing import choice, number, whole
from inputopt.evaluation.evaluate import evaluate
from inputopt.evaluation.protocols import PRESETS
from inputopt.evaluation.report import Report
from inputopt.files import replacing, save_figure, write_text
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import to_image
from inputopt.pictures.sheet import pairs_sheet
from inputopt.search.loop import Snapshot
from inputopt.search.norms import NORMS

KINDS = {name.lower(): getattr(attacks, name) for name in attacks.__all__}
ATTACKS = {name: kind for name, kind in KINDS.items() if issubclass(kind, Attack)}

EPS = {"linf": 0.1}
"""Of the norms in which a usual distance does not depend on how many numbers an input has."""


def add_commands(commands: Any) -> None:
    """Add `attack` and `evaluate`."""
    command = commands.add_parser("attack", help="run one attack at a fixed distance")
    command.add_argument(
        "--attack",
        type=choice("attack", sorted(ATTACKS)),
        default="pgd",
        help=f"of {', '.join(sorted(ATTACKS))} (%(default)s)",
    )
    command.add_argument("--steps", type=whole(), help="the attack's own if not given")
    command.add_argument("--target", type=whole(0), help="the class to reach; any other if not given")
    _add_common(command, count=100)
    command.set_defaults(run=run_attack)

    command = commands.add_parser("evaluate", help="how many inputs hold out against a protocol of attacks")
    command.add_argument(
        "--preset", type=choice("preset", PRESETS), default="standard", help=f"of {', '.join(PRESETS)} (%(default)s)"
    )
    _add_common(command, count=1000)
    command.set_defaults(run=run_evaluate)


def _add_common(command: argparse.ArgumentParser, count: int) -> None:
    command.add_argument(
        "--norm", type=choice("norm", NORMS), default="linf", help=f"of {', '.join(NORMS)} (%(default)s)"
    )
    command.add_argument("--eps", type=number(0), help="the distance (0.1 in linf, in others to be said)")
    command.add_argument("--levels", type=whole(2), help="search only what a file holds: 256 for PNG")
    add_network(command, "digits-mlp")
    add_data(command, count)
    add_output(command)


def add_output(command: argparse.ArgumentParser) -> None:
    """Where results go, and how they are printed."""
    command.add_argument("--out", default="out", help="folder for pictures and reports (%(default)s)")
    command.add_argument("--json", action="store_true", help="print plain values instead of a table")


def distance(options: argparse.Namespace) -> float:
    """The distance asked for, or the norm's own.

    Raises:
        ValueError: the norm has none, or it counts and the distance is no whole number.
    """
    if options.eps is None and options.norm not in EPS:
        raise ValueError(
            f"Say --eps for {options.norm}: how far is far there depends on how many numbers an input has; "
            "`inputopt nearest` measures it."
        )
    eps: float = EPS[options.norm] if options.eps is None else options.eps
    if options.norm == "l0" and eps != round(eps):
        raise ValueError(f"--eps must be whole in l0, which counts the numbers that change, not {eps:g}.")
    return eps


def run_attack(options: argparse.Namespace) -> int:
    """Run it, and show a table and a sheet of pairs."""
    attack = _attack(options)
    out = writable(options.out, "attack.png")
    data = find_data(options.data, options.count, options.seed)
    if options.target is not None:  # who is of the target class already has nothing to reach
        data = data.without(options.target)
    paths = _places(data, out) if options.levels == 256 else []
    net = find_network(options)
    x, y = data.inputs(net), data.y
    with torch.no_grad():
        known = net(x).argmax(1) == y
    with _step_bar(options.attack) as watch:
        found = attack(net, x, y, target=options.target, seed=options.seed, watch=watch)
    moved = found.success & (found.distance > 0)
    values = {
        "attack": options.attack,
        "norm": options.norm,
        "eps": attack.eps,
        "inputs": len(x),
        "accuracy": float(known.double().mean()),
        "accuracy_under_attack": float((found.prediction == y).double().mean()),
        "success": float(found.success.double().mean()),
        "median_distance": float(found.distance[moved].median()) if bool(moved.any()) else None,
        "forwards": int(found.forwards.sum()),
        "backwards": int(found.backwards.sum()),
    }
    title = f"{options.attack}, {options.norm} {attack.eps:g}: before, after, difference"
    written = save_pairs(net, x, found.x, found.success & known, title, out / "attack.png")
    for image, path in zip(found.x, paths, strict=bool(paths)):
        with replacing(path) as temporary:
            to_image(image, net.bounds).save(temporary)
    if options.json:
        print(json.dumps(values | data.plain(), indent=2))
        return 0
    print(f"{data.described()}\n\n{table(['', 'value'], _rows(values))}")
    wrote(*written)
    if paths:
        print(f"wrote {len(paths)} images under {out / 'attack'}")
    return 0


def _attack(options: argparse.Namespace) -> Attack:
    kind = ATTACKS[options.attack]
    settings: dict[str, Any] = {"norm": options.norm, "eps": distance(options), "levels": options.levels}
    if options.steps is not None:
        if "steps" not in {field.name for field in fields(kind)}:
            raise ValueError(f"{options.attack} takes a single step; leave --steps out.")
        settings["steps"] = options.steps
    made: Attack = kind(**settings)
    return made


def _places(data: Data, out: Path) -> list[Path]:
    """Where each image is written: a folder a class, by its position among all that there are to choose from."""
    names = [f"attack/{label}/{place:05}.png" for label, place in zip(data.y.tolist(), data.positions, strict=True)]
    writable(out, *names)
    return [out / name for name in names]


def run_evaluate(options: argparse.Namespace) -> int:
    """Run a protocol, and show a row an attack, the reasons to doubt, and a sheet of pairs."""
    eps = distance(options)
    out = writable(options.out, "evaluation.png", "evaluation/report.json", "evaluation/x.safetensors")
    data = find_data(options.data, options.count, options.seed)
    net = find_network(options)
    x = data.inputs(net)
    with _stage_bar() as progress:
        report = evaluate(
            net, x, data.y, options.norm, eps, options.preset, options.seed, levels=options.levels, progress=progress
        )
    plain = report.as_plain() | data.plain()
    report.save(out / "evaluation")
    write_text(out / "evaluation" / "report.json", json.dumps(plain, indent=2) + "\n")  # with what it was run on
    fooled = (report.x != x).flatten(1).any(1)
    title = f"{options.norm} {eps:g}, {options.preset}: before, after, difference"
    written = save_pairs(net, x, report.x, fooled, title, out / "evaluation.png")
    if options.json:
        print(json.dumps(plain, indent=2))
        return 0
    print(f"{data.described()}\n\n{report_text(report)}")
    wrote(*written)
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


def save_pairs(net: Frozen, x: Tensor, moved: Tensor, which: Tensor, title: str, path: Path) -> list[Path]:
    """Write a sheet of some of those that were fooled, where they are images; the paths of what was written."""
    rows = which.nonzero()[:, 0]
    if not len(rows) or x.ndim != 4 or x.shape[1] not in (1, 3):
        return []
    rows = rows[torch.linspace(0, len(rows) - 1, min(8, len(rows))).long()]  # spread, as the classes follow each other
    save_figure(pairs_sheet(x[rows], moved[rows], net, title), path)
    return [path]


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
