"""`inputopt nearest`: how little must an input change before the network errs?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from tqdm import tqdm

from inputopt import attacks
from inputopt.attacks.minimal_norm.base import MinimalNormAttack
from inputopt.cli.given import add_model_and_data, find_data, find_model
from inputopt.cli.robustness import show_pairs
from inputopt.cli.show import table, writable
from inputopt.evaluation.curve import RobustnessCurve, robustness_curve
from inputopt.files import save_figure, write_text
from inputopt.nets.frozen import Frozen
from inputopt.search.norms import NORMS

KINDS = {name.lower(): getattr(attacks, name) for name in attacks.__all__}
ATTACKS = {name: kind for name, kind in KINDS.items() if issubclass(kind, MinimalNormAttack)}
del ATTACKS["epsilonbisection"]  # it takes another attack


def add_commands(commands: Any) -> None:
    """Add `nearest`."""
    command = commands.add_parser("nearest", help="look for the nearest inputs that fool it, and draw the curve")
    command.add_argument(
        "--attack", choices=sorted(ATTACKS), nargs="+", default=["minimalnorm"], help="one or more (minimalnorm)"
    )
    command.add_argument("--norm", choices=list(NORMS), default="l2", help="(%(default)s)")
    command.add_argument("--queries", type=int, default=1000, help="a digit, for minimalnorm (%(default)s)")
    command.add_argument("--steps", type=int, help="for the others; their own if not given")
    command.add_argument("--levels", type=int, help="search only what a file holds: 256 for PNG")
    add_model_and_data(command, count=100)
    command.set_defaults(run=run_nearest)


def run_nearest(options: argparse.Namespace) -> int:
    """Run the attacks, and show a table, the curve, and a sheet of pairs."""
    out = writable(options.out)
    net, (x, y) = Frozen(find_model(options.model)), find_data(options.data, options.count)
    chosen = {name: _attack(name, options) for name in options.attack}
    with _attack_bar() as progress:
        curve = robustness_curve(net, x, y, options.norm, chosen, options.seed, progress=progress)
    rows = curve.rows()
    write_text(
        out / "nearest.json", json.dumps({"norm": options.norm, "inputs": len(x), "attacks": rows}, indent=2) + "\n"
    )
    print(json.dumps(rows, indent=2) if options.json else table(*curve_table(curve)))
    save_figure(curve.figure(), out / "curve.png")
    best = next(iter(curve.results.values()))
    with torch.no_grad():
        known = net(x).argmax(1) == y
    title = f"{options.attack[0]}, {options.norm}: before, after, difference"
    show_pairs(net, x, best.x, best.success & known, title, out / "nearest.png", options.json)
    if not options.json:
        print(f"wrote {out / 'curve.png'}\nwrote {out / 'nearest.json'}")
    return 0


def curve_table(curve: RobustnessCurve) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: an attack, its median distance, the area under its curve, and what it cost an input."""
    heads = ["attack", f"median {curve.norm}", "area", "failed", "forwards", "backwards", "seconds"]
    return heads, [
        [
            row["attack"],
            "none" if row["median"] is None else f"{row['median']:.4g}",
            f"{row['area']:.4g}",
            str(row["failed"]),
            *(f"{row[name]:,.0f}" if name in row else "" for name in ("forwards", "backwards")),
            f"{row['seconds']:.1f}" if "seconds" in row else "",
        ]
        for row in curve.rows()
    ]


def _attack(name: str, options: argparse.Namespace) -> MinimalNormAttack:
    kind = ATTACKS[name]
    known = {field.name for field in fields(kind)}
    settings: dict[str, Any] = {"norm": options.norm, "levels": options.levels}
    if "queries" in known:
        settings["queries"] = options.queries
    elif options.steps is not None:
        settings["steps"] = options.steps
    made: MinimalNormAttack = kind(**settings)
    return made


@contextmanager
def _attack_bar() -> Iterator[Callable[[str], None]]:
    with tqdm(unit="attack", leave=False, disable=None) as bar:

        def progress(name: str) -> None:
            bar.set_description(name)
            bar.update()

        yield progress
