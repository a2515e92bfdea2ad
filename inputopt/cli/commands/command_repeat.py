"""`inputopt repeat`: make an image again from the recipe stored in its file."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inputopt import checks
from inputopt.cli.model_arguments import find_model
from inputopt.cli.output import finish, writable
from inputopt.cli.parser import UsageError
from inputopt.cli.photo_arguments import check_photos, weights
from inputopt.cli.verbs import add_common, add_verb
from inputopt.files import FileError, reading, replacing
from inputopt.pictures.provenance import read_recipe, versions
from inputopt.pictures.reproduction import files_beside
from inputopt.search.objectives.features import objective_from_plain
from inputopt.zoo.repeat import repeat_recipe


def add_commands(commands: Any) -> None:
    """Add `repeat`."""
    command = add_verb(commands, "repeat")
    command.add_argument("picture", help="a PNG file written by inputopt")
    command.add_argument(
        "--model", help="the network, if its name in the recipe is not enough to load it (that of the recipe)"
    )
    command.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="new path of a file that the recipe uses: photo=china.jpg (those of the recipe)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one setting of the recipe and keep the others, to make a variation of the picture: seed=3, "
        'steps=64, layers={"blocks.3": 1}, objective=["Channel", "blocks.5", 7] (none)',
    )
    add_common(command, "again")
    for flag in ("--seed", "--device"):  # those of the recipe apply
        command._option_string_actions[flag].help = argparse.SUPPRESS
    command.set_defaults(run=run_repeat)


def run_repeat(options: argparse.Namespace) -> int:
    """Make an image again; return 0 if the bytes are the same, else 1; with --set make a variation of it."""
    if {"seed", "device"} & options.given:
        raise ValueError("The recipe stored in the picture sets the seed and the device; omit --seed and --device.")
    picture = Path(options.picture)
    with reading(picture, "a picture"):
        recipe = read_recipe(picture)
    out = writable(options.out, picture.name) / picture.name
    if out.exists() and os.path.samefile(out, picture):
        raise FileError(f"{picture} would be overwritten; choose another folder with --out.")
    given, changes = _moved_files(options.file, recipe), _changes(options.set, recipe)
    made = recipe.get("versions")
    before, threads = torch.get_num_threads(), made.get("threads") if isinstance(made, dict) else None
    torch.set_num_threads(min(checks.whole("threads", threads or before), os.cpu_count() or 1))
    try:
        if "arguments" in recipe:
            if given or changes or options.model is not None:
                raise ValueError(
                    "The command stored in this figure already sets all options; omit --model, --file and --set."
                )
            _run_again(recipe["arguments"], out, options.again)
        else:
            files = {**files_beside(recipe, picture.parent), **given}
            repeat_recipe(recipe, _model(recipe["model"], options.model), files, changes=changes).save(out)
        now = versions()
    finally:
        torch.set_num_threads(before)
    if changes:
        shown = ", ".join(options.set)
        values = {"picture": str(picture), "changes": options.set, "recipe": recipe["made by"]}
        finish(options, f"{out} is made as {picture} was, with {shown}", values, [out])
        return 0
    if out.read_bytes() == picture.read_bytes():
        finish(
            options,
            f"{out} has the same bytes as {picture}",
            {"picture": str(picture), "same": True},
            [out],
            keep_earlier=True,
        )
        return 0
    before_now = {name: (made[name], now[name]) for name in now if isinstance(made, dict) and name in made}
    changed = {name: pair for name, pair in before_now.items() if pair[0] != pair[1]}
    why = ", ".join(f"{name} {then} and now {today}" for name, (then, today) in changed.items())
    text = f"{out} differs from {picture}{f': it was made with {why}' if why else ''}"
    finish(options, text, {"picture": str(picture), "same": False, "changed": changed}, [out], keep_earlier=True)
    return 1


def _changes(pairs: list[str], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings given by --set: JSON values, or text where they are not; an objective in its JSON form."""
    changes: dict[str, Any] = {}
    for name, value in _named("--set", pairs, "NAME=VALUE, such as seed=3").items():
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = weights(value) if name == "layers" else value
        if name == "objective" and "settings" in recipe:
            changes[name] = objective_from_plain(changes[name])
    return changes


def _moved_files(files: list[str], recipe: Mapping[str, Any]) -> dict[str, str]:
    given = _named("--file", files, "NAME=PATH, such as photo=china.jpg")
    unused = next((name for name in given if "settings" in recipe and recipe["settings"].get(name) is None), None)
    if unused is not None:
        raise ValueError(f"The picture was made without a file {unused!r}; omit it, or change the setting with --set.")
    check_photos(*given.values())
    return given


def _named(flag: str, texts: list[str], form: str) -> dict[str, str]:
    """The values of an option that is given once for each name, by name.

    Raises:
        ValueError: a text is not a name, an equals sign and a value, or a name is given twice.
    """
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{flag} must be {form}, not {text!r}.")
        if name in given:
            raise ValueError(f"{flag} names {name} twice; give it only once.")
        given[name] = value
    return given


def _run_again(arguments: Any, out: Path, run: Callable[[list[str], str], int]) -> None:
    """Run the command that made a figure in a temporary folder, and copy the figure from there.

    Raises:
        ValueError: the command is invalid, would run code that it names, or does not make that figure.
    """
    if not isinstance(arguments, list) or "repeat" in arguments:
        raise ValueError(
            "The command stored in the figure is not a list of words, or is `repeat` itself, so the file was modified; "
            "give the original file."
        )
    words = [str(word) for word in arguments]
    line = f"inputopt {' '.join(words)}"
    if any(":" in word for before, word in pairwise(["", *words]) if "--bounds" not in (before, word.split("=")[0])):
        raise ValueError(f"The command stored in the figure runs Python code; run it yourself if you trust it: {line}")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            run(words, folder)
        except (UsageError, SystemExit) as error:
            raise ValueError(f"The command stored in the figure is not valid in this version: {line}") from error
        found = sorted(Path(folder).rglob(out.name))
        if not found:
            raise ValueError(f"The command stored in the figure no longer writes {out.name}: {line}")
        with replacing(out) as temporary:
            temporary.write_bytes(found[0].read_bytes())


def _model(described: Any, given: str | None) -> nn.Module | None:
    """The network given by `--model`, which a recipe whose network is built by code needs; else None."""
    name = described.get("name") if isinstance(described, dict) else None
    if given is None and isinstance(name, str) and ":" in name:
        raise ValueError(f"The image was made with a network built by {name}; give --model {name} to run that code.")
    found = None if given is None else find_model(given)
    if found is not None and not isinstance(found, nn.Module):
        raise ValueError(f"{given} must be a torch module, because the bounds, mean and std are taken from the image.")
    return found
