"""`inputopt attack`: one attack within a fixed distance."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from inputopt import attacks
from inputopt.attacks.attack import Attack
from inputopt.cli.class_ranking import classes_text, ranked, training_size_hint
from inputopt.cli.commands.command_evaluate import add_distance, add_eot_samples, distance, levels_of, save_pairs
from inputopt.cli.data.data_arguments import add_data, chosen_data
from inputopt.cli.data.png_rounding import rounding_note
from inputopt.cli.model_arguments import add_network, answer, find_network
from inputopt.cli.output import finish, stderr_bar, table, writable
from inputopt.cli.parsing import choice, class_or_name, number, probability, whole
from inputopt.cli.typed_classes import typed_index
from inputopt.cli.verbs import add_verb
from inputopt.evaluation.glossary import explain_attack
from inputopt.evaluation.report_text import eps_text
from inputopt.files import reading
from inputopt.nets.class_probabilities import log_probabilities, only_class
from inputopt.pictures.photo import check_opaque
from inputopt.pictures.picture import read_photo
from inputopt.search.goals import Goal, confident_adversarial
from inputopt.search.loop import Snapshot
from inputopt.search.problem import Problem
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.wilson_interval import percent, wilson, with_interval

KINDS = {name.lower(): getattr(attacks, name) for name in attacks.__all__}
ATTACKS = {name: kind for name, kind in KINDS.items() if issubclass(kind, Attack)}
STEPS = {
    name: field.default for name, kind in sorted(ATTACKS.items()) for field in fields(kind) if field.name == "steps"
}
"""Default number of steps of each attack that has one."""

LISTED = 8
"""Largest number of inputs whose classes are listed before and after."""

TOP = 2
"""Number of classes that are listed of each input."""


def add_commands(commands: Any) -> None:
    """Add `attack`."""
    command = add_verb(commands, "attack")
    add_network(command)
    add_data(command, count=100)
    command.add_argument(
        "--attack",
        type=choice("attack", sorted(ATTACKS)),
        default="pgd",
        help=f"one of {', '.join(sorted(ATTACKS))} (%(default)s)",
    )
    of_each = ", ".join(f"{name} {steps}" for name, steps in STEPS.items())
    command.add_argument("--steps", type=whole(), help=f"number of steps ({of_each})")
    command.add_argument("--target", type=class_or_name, help="target class, an index or a name (untargeted)")
    command.add_argument(
        "--confidence",
        type=probability,
        metavar="SHARE",
        help="go on until the target, or any wrong class, has this probability, such as 0.9 (until it is predicted)",
    )
    command.add_argument("--restarts", type=whole(), help=f"random starts per input, for {_having('restarts')} (1)")
    command.add_argument(
        "--step-size",
        type=number(above=0),
        help=f"step size as a share of eps, for {_having('step_size')} (bim 0.2; pgd decreasing from 2 to 0.01)",
    )
    command.add_argument(
        "--mask",
        help="an image as large as the inputs, scaled as they are by --resize: only its white areas may change (all)",
    )
    add_eot_samples(command)
    add_distance(command)
    command.set_defaults(run=run_attack)


def run_attack(options: argparse.Namespace) -> int:
    """Run the attack; print a table and save a sheet of image pairs."""
    kind, settings = _attack(options)
    out = writable(options.out, "attack.png")
    data = chosen_data(options, needs_labels=False)
    writable(out, "attack/result.json", *(f"attack/{name}.png" for name in data.names), *data.clean_files())
    net = find_network(options)
    data, x = data.read(net)
    data = data.with_predicted_class(net, x)
    target = typed_index(options.target, net, answer(net, x).shape[1])
    if target is not None:  # inputs of the target class are left out
        x, data = x[data.y != target], data.without(target)
    y = data.y
    attack = kind(**{**settings, "eps": distance(options, net.unit)}, levels=levels_of(options, net, x))
    with torch.no_grad():
        clean = net(x)
    if options.confidence is not None and only_class(clean[0]):
        raise ValueError("--confidence is a probability, and the network returns only classes; omit it.")
    known = clean.argmax(1) == y
    goal = None if options.confidence is None else confident_adversarial(options.confidence, log_probabilities)
    already = _met(goal, clean, x, y, target)
    with _step_bar(options.attack, getattr(attack, "steps", None)) as watch:
        found = attack(net, x, y, target=target, goal=goal, seed=options.seed, watch=watch)
    found = unmoved(found, already, x, clean)
    moved = found.success & ~already
    tried = int((~already).sum())
    values = {
        "attack": options.attack,
        "norm": options.norm,
        "eps": attack.eps,
        "levels": attack.levels,
        **({} if options.confidence is None else {"confidence": options.confidence}),
        "inputs": len(x),
        **(_accuracies(known, found.prediction == y) if data.is_labelled else {}),
        _before(options): int(already.sum()),
        "fooled": int(moved.sum()),
        "success": int(moved.sum()) / tried if tried else None,
        "median_distance": float(found.distance[moved].median()) if bool(moved.any()) else None,
        "forwards": int(found.forwards.sum()),
        "backwards": int(found.backwards.sum()),
    }
    reached = bool(moved.any()) or not tried
    shown_as = "after" if reached else "after (not successful)"
    title = f"{options.attack}, {options.norm} {eps_text(attack.eps, net.unit == 1)}: before, {shown_as}, difference"
    shown = moved if len(x) > 1 else torch.ones_like(moved)
    written = save_pairs(net, x, found.x, shown, title, out / "attack.png")
    replace(found, made_by={**found.made_by, **data.origin()}).save(out / "attack", data.names)
    written += data.save_clean(net, x, out)
    text = f"{data.described()}\n\n{table(['', 'value'], _rows(values))}"
    if len(x) <= LISTED:
        before, after = ranked(net, clean, TOP), ranked(net, found.logits, TOP)
        values["predictions"] = [
            {"input": name, "before": first, "after": last}
            for name, first, last in zip(data.names, before, after, strict=True)
        ]
        cells = [
            [each["input"], classes_text(each["before"]), classes_text(each["after"])] for each in values["predictions"]
        ]
        text += f"\n\n{table(['input', 'before', 'after'], cells, left=3)}"
    if not reached:
        text += "\n\nno input was fooled: the files hold the best failures; try more --steps or a larger --eps"
    text += f"\n\n{options.attack}: {explain_attack(attack)}"
    text += rounding_note(net, found.x, y, moved, attack.levels, target) + training_size_hint(options.model, x)
    finish(options, text, values | data.plain(), [*written, out / "attack"])
    return 0


def _accuracies(before: Tensor, after: Tensor) -> dict[str, Any]:
    """Accuracies with their intervals, from which inputs are classified correctly before and after, bool [B]."""
    shares = {"accuracy": before, "accuracy_under_attack": after}
    means = {name: float(correct.double().mean()) for name, correct in shares.items()}
    intervals = {f"{name}_interval": wilson(mean, len(before)) for name, mean in means.items()}
    return dict(sorted((means | intervals).items()))


def _before(options: argparse.Namespace) -> str:
    """Name of the number of inputs that the attack has nothing to do with."""
    if options.confidence is not None:
        return "of_that_confidence_before"
    return "misclassified_before" if options.target is None else "of_target_class_before"


def _met(goal: Goal | None, logits: Tensor, x: Tensor, y: Tensor, target: int | None) -> Tensor:
    """Which inputs meet the goal, bool [B]; without a goal, which are of the target, or of a wrong class."""
    if goal is None:
        return logits.argmax(1) != y if target is None else logits.argmax(1) == target
    rows = torch.arange(len(x), device=logits.device)
    wanted = None if target is None else torch.full_like(rows, target)
    return goal(logits, Problem(x, y.to(logits.device), rows, wanted))


def unmoved(found: Result, which: Tensor, x: Tensor, logits: Tensor) -> Result:
    """The result with the inputs x [B, ...] themselves where they reach the goal without an attack, `which` bool [B].

    An attack returns the random point of the ball at which it started there.
    """
    rows = per_example(which, x)
    return replace(
        found,
        x=torch.where(rows, x.to(found.x), found.x),
        success=found.success | which,
        distance=found.distance.masked_fill(which, 0),
        prediction=torch.where(which, logits.argmax(1), found.prediction),
        logits=torch.where(which[:, None], logits.to(found.logits), found.logits),
    )


def _attack(options: argparse.Namespace) -> tuple[type[Attack], dict[str, Any]]:
    """The attack's class and its settings, which are checked here without levels.

    Raises:
        ValueError, FileError: an option that the attack does not have, or a mask that cannot be read.
    """
    kind = ATTACKS[options.attack]
    settings: dict[str, Any] = {"norm": options.norm, "eps": distance(options), "eot_samples": options.eot_samples}
    for name in ("steps", "restarts", "step_size"):
        if getattr(options, name) is not None:
            if name not in {field.name for field in fields(kind)}:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"{options.attack} has no {flag}, which applies to {_having(name)}; omit it.")
            settings[name] = getattr(options, name)
    if options.mask is not None:
        with reading(options.mask, "an image"):
            check_opaque("The mask", options.mask)
            settings["mask"] = read_photo(options.mask, 1, resize=options.resize) > 0.5
    kind(**settings)
    return kind, settings


def _having(name: str) -> str:
    """The attacks that have this setting."""
    return " and ".join(each for each, kind in ATTACKS.items() if name in {field.name for field in fields(kind)})


def _rows(values: dict[str, Any]) -> list[list[str]]:
    """Names and values; an accuracy is in one cell with its interval."""
    rows = []
    for key, value in values.items():
        if f"{key}_interval" in values:
            cell = with_interval(value, values[f"{key}_interval"])
        elif key == "success":
            cell = "none tried" if value is None else f"{percent(value)} of those tried"
        else:
            cell = f"{value:,.4g}" if isinstance(value, float) else "none" if value is None else str(value)
        if not key.endswith("_interval"):
            rows.append([key.replace("_", " "), cell])
    return rows


@contextmanager
def _step_bar(title: str, steps: int | None) -> Iterator[Callable[[Snapshot], None]]:
    """A bar of an attack's steps; it begins again with each batch and restart."""
    with stderr_bar(desc=title, unit="step", total=None if steps is None else steps + 1) as bar:

        def watch(snapshot: Snapshot) -> None:
            if bar.total is not None and bar.n >= bar.total:
                bar.reset()
            bar.set_postfix_str(f"{len(snapshot.ids)} remaining", refresh=False)
            bar.update()

        yield watch
