"""`inputopt evaluate`: robust accuracy within a fixed distance, by a protocol of attacks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inputopt.attacks.run import check_levels
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.data.png_rounding import rounding_note
from inputopt.cli.data.selected_data import Data
from inputopt.cli.model_arguments import add_network, find_network
from inputopt.cli.norm_argument import add_norm
from inputopt.cli.output import attack_bar, finish, table, writable
from inputopt.cli.parsing import choice, number, whole
from inputopt.cli.verbs import add_common, add_verb
from inputopt.evaluation.evaluate import evaluate
from inputopt.evaluation.indicators.indicator import STATES
from inputopt.evaluation.protocols import PRESETS, find_protocol
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_text import and_levels, eps_text, unit_range
from inputopt.files import check_writable, save_figure, stored_command
from inputopt.images import are_images
from inputopt.nets.frozen import Frozen
from inputopt.pictures.sheet import pairs_sheet
from inputopt.search.eps_range import DEFAULT_EPS, eps_or_default
from inputopt.search.norms import NORMS, find_norm
from inputopt.wilson_interval import percent, with_interval


def default_eps(norms: Iterable[str] = NORMS) -> str:
    """The default eps of each norm, for a help text."""
    return ", ".join(f"{DEFAULT_EPS[norm]:g} in {norm}" for norm in norms)


def add_commands(commands: Any) -> None:
    """Add `evaluate`."""
    command = add_verb(commands, "evaluate")
    add_network(command)
    add_data(command, count=1000)
    command.add_argument(
        "--preset",
        type=choice("preset", PRESETS),
        default="standard",
        help=f"one of {', '.join(PRESETS)} (%(default)s)",
    )
    command.add_argument(
        "--adapt",
        action=argparse.BooleanOptionalAction,
        help="apply the remedies that indicators name, such as repaired gradients (default: with --preset thorough)",
    )
    command.add_argument(
        "--report",
        metavar="FILE",
        help="also write one HTML page, for which minimal distances of up to 100 of the inputs are measured (none)",
    )
    command.add_argument(
        "--fail-under",
        type=number(0, 1),
        metavar="SHARE",
        help="exit status 1 if the robust accuracy is below this share, such as 0.4; for continuous integration (none)",
    )
    command.add_argument(
        "--fail-on-doubt",
        action="store_true",
        help="exit status 1 if an indicator gives an open reason to doubt the figure (off)",
    )
    command.add_argument("--title", help="name of the model on the page of --report (that of MODEL)")
    add_eot_samples(command)
    add_distance(command)
    command.set_defaults(run=run_evaluate)


def add_distance(command: argparse.ArgumentParser) -> None:
    """Add `--norm`, `--eps`, `--levels` and the flags of every verb."""
    add_norm(command, NORMS, "linf")
    command.add_argument(
        "--eps",
        type=number(0),
        help=f"maximum distance in units of the inputs, such as 8/255, or 8 for inputs in 0 to 255 ({default_eps()})",
    )
    add_levels(command)
    add_common(command, "out")


def add_eot_samples(command: argparse.ArgumentParser) -> None:
    """Add `--eot-samples`."""
    command.add_argument(
        "--eot-samples",
        type=whole(),
        default=1,
        help="for random networks: forwards that each gradient is averaged over (%(default)s)",
    )


def add_levels(command: argparse.ArgumentParser) -> None:
    """Add `--levels`."""
    command.add_argument(
        "--levels",
        type=level_count,
        help="number of values that a pixel may have: 256 for images in 8-bit files, so that the saved PNG files are "
        "the adversarial examples; 0 for any values (256 for inputs that are 8-bit images, else 0)",
    )


def level_count(text: str) -> int:
    """Parse a number of levels: 0, or a whole number of at least 2."""
    value = whole(0)(text)
    if value == 1:
        raise argparse.ArgumentTypeError("must be 0, or a whole number of at least 2, not '1'.")
    return value


def levels_of(options: argparse.Namespace, net: Frozen, x: Tensor) -> int | None:
    """The given number of levels; 256 for images that lie on them, else None."""
    if options.levels is not None:
        return options.levels or None
    try:
        check_levels(256, net, x, find_norm(options.norm))
    except ValueError:
        return None
    return 256 if are_images(x, net.bounds) else None


def distance(options: argparse.Namespace, unit: float = 1.0) -> float:
    """The given eps, or the norm's default for inputs whose bounds are `unit` wide.

    Raises:
        ValueError: the norm is L0 and eps is not a whole number.
    """
    eps = float(eps_or_default(options.eps, options.norm, unit))
    if options.norm == "l0" and eps != round(eps):
        raise ValueError(f"--eps must be a whole number in l0, which counts changed input elements, not {eps:g}.")
    return eps


def run_evaluate(options: argparse.Namespace) -> int:
    """Run a protocol; print one row per attack and the warnings, and save the report and a sheet of image pairs.

    Return 1 if the robust accuracy is below --fail-under, or in doubt with --fail-on-doubt.
    """
    distance(options)  # checked before anything is read
    out = writable(options.out, "evaluation.png", "evaluation/report.json", "evaluation/x.safetensors")
    page = None if options.report is None else check_writable(options.report, "choose another path with --report")
    data = chosen_data(options)
    writable(out, *(f"evaluation/{name}.png" for name in data.names), *data.clean_files())
    net = find_network(options)
    data, x = data.read(net)
    levels, eps = levels_of(options, net, x), distance(options, net.unit)
    with attack_bar(len(find_protocol(options.preset, options.norm))) as progress:
        report = evaluate(
            net,
            x,
            data.y,
            options.norm,
            eps,
            options.preset,
            options.seed,
            levels=levels,
            eot_samples=options.eot_samples,
            adapt=options.adapt,
            progress=progress,
        )
    report = replace(report, settings=report.settings | _origin(data, options.seed))
    report.save(out / "evaluation", data.names)
    fooled = (report.x != x).flatten(1).any(1)
    title = f"{options.norm} {eps_text(eps, net.unit == 1)}, {options.preset}: before, after, difference"
    written = save_pairs(net, x, report.x, fooled, title, out / "evaluation.png")
    written += [out / "evaluation", *data.save_clean(net, x, out)]
    if page is not None:
        report.save_html(page, net, x, class_names=net.facts.class_names, title=options.title, names=data.names)
        written.append(page)
    text = f"{data.described()}\n\n{report_text(report)}{rounding_note(net, report.x, data.y, fooled, levels)}"
    reasons = failed_gates(options, report)
    finish(options, "\n\n".join([text, *reasons]), report.as_plain() | {"failed_gates": reasons}, written)
    if options.json:  # the text is not shown
        print(*reasons, sep="\n", end="\n" if reasons else "", file=sys.stderr)
    return int(bool(reasons))


def failed_gates(options: argparse.Namespace, report: Report) -> list[str]:
    """Why the exit status is 1, by --fail-under and --fail-on-doubt; empty if it is 0."""
    found = []
    if options.fail_under is not None and report.robust_accuracy < options.fail_under:
        share, least = percent(report.robust_accuracy), percent(options.fail_under)
        found.append(f"robust accuracy {share} is below {least} (--fail-under)")
    open_ones = [each.id for each in report.indicators if each.is_open]
    if options.fail_on_doubt and open_ones:
        found.append(f"indicators give reason to doubt the figure: {', '.join(open_ones)} (--fail-on-doubt)")
    return found


def _origin(data: Data, seed: int) -> dict[str, Any]:
    """Where the inputs come from, how they were chosen, and the command."""
    part = len(data.y) < data.total
    sampling = f"stratified by class, seed {seed}" if part else "all"
    return {**data.plain(), "sampling": sampling, "command": list(stored_command() or ())}


def report_text(report: Report) -> str:
    """A report as text: accuracies, one row per attack, and warnings."""
    before, interval = report.robust_accuracy_before_adapting, report.interval_before_adapting
    remedies = "" if before is None or interval is None else f"; before remedies {with_interval(before, interval)}"
    figures = [
        f"clean accuracy {with_interval(report.clean_accuracy, report.clean_interval)}",
        f"robust accuracy at most {with_interval(report.robust_accuracy, report.interval)}{remedies}, in "
        f"{report.settings['norm']} {eps_text(report.settings['eps'], unit_range(report.settings))}"
        f"{and_levels(report.settings)}, preset "
        f"{report.settings['preset']}",
    ]
    if report.certified_accuracy is not None and report.certified_interval is not None:
        figures.append(
            f"certified accuracy at least {with_interval(report.certified_accuracy, report.certified_interval)}"
        )
    if report.robust_accuracy_if_rejected is not None and report.interval_if_rejected is not None:
        share = with_interval(report.robust_accuracy_if_rejected, report.interval_if_rejected)
        figures.append(f"robust accuracy if a rejected input counts as withstood: at most {share}")
    meanings = {row.name: row.meaning for row in report.attacks}
    glossary = "\n".join(f"{name}: {meaning}" for name, meaning in meanings.items())
    parts = ["\n".join(figures), table(*report_table(report)), glossary]
    doubts = [f"Warning, {each.id} ({STATES[each.effect]}): {each}" for each in report.indicators]
    return "\n\n".join(part for part in [*parts, *doubts] if part)


def report_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Column heads, and one row per attack: inputs tried, inputs fooled, and cost."""
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


def save_pairs(net: Frozen, x: Tensor, moved: Tensor, which: Tensor, title: str, path: Path) -> list[Path]:
    """Save a sheet of up to 8 of the fooled inputs if they are images; return the paths written."""
    rows = which.nonzero()[:, 0]
    if not len(rows) or x.ndim != 4 or x.shape[1] not in (1, 3):
        return []
    rows = rows[torch.linspace(0, len(rows) - 1, min(8, len(rows))).long()]  # spread, as inputs may be in class order
    save_figure(pairs_sheet(x[rows], moved[rows], net, title), path)
    return [path]
