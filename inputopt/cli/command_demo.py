"""`inputopt demo`: run several commands and show their results on one HTML page."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import torch

from inputopt import __version__
from inputopt.cli import command_dream, command_fool, command_gradcheck, command_reproduce
from inputopt.cli.output import table, writable
from inputopt.cli.verbs import add_common, add_verb
from inputopt.document.reproduce import reproduce
from inputopt.files import write_text

FILES = (
    "index.html",
    *(f"reproduce/{name}" for name in command_reproduce.PLOTS),
    *command_fool.FILES,
    *command_dream.DREAM_FILES,
)


def add_commands(commands: Any) -> None:
    """Add `demo`."""
    command = add_verb(commands, "demo")
    add_common(command, "out")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run all parts; return 1 if a figure does not match, or if fool, ascend or dream fails."""
    out = writable(options.out, *FILES)
    started = time.perf_counter()
    found = reproduce(watch=command_reproduce.bar, processes=command_reproduce.processes())
    command_reproduce.save(found, out / "reproduce")
    print(command_reproduce.verdict(found))
    agreed = command_gradcheck.gradcheck([20, 30, 20, 10], "sigmoid", None, "mse", batch=7, seed=0)
    print(table(*command_gradcheck.agreement_table(agreed)))
    failed = bool(found.mismatches)
    texts = {}
    for name, words in PICTURES.items():
        status, texts[name] = _captured(options.again, [*words, "--out", str(out)])
        failed |= status != 0
    evaluations = {}
    for name, eps in EVALUATED.items():
        arguments = ["evaluate", name, "digits", "--eps", str(eps), "--count", str(COUNT), "--out", str(out / name)]
        _, evaluations[name] = _captured(options.again, arguments)
    page = jinja2.Template((files("inputopt.cli") / "page.html").read_text(encoding="utf-8"), autoescape=True)
    text = page.render(
        verdict=command_reproduce.verdict(found),
        small_title=command_reproduce.SMALL_TITLE,
        tables={
            "figures": command_reproduce.figure_table(found),
            "small": command_reproduce.small_table(found),
            "agreement": command_gradcheck.agreement_table(agreed),
        },
        notes=[row.figure for row in found.rows if row.figure.contradicted],
        texts=texts,
        evaluations=evaluations,
        versions=f"inputopt {__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}",
        seconds=f"{time.perf_counter() - started:.0f}",
    )
    write_text(out / "index.html", text)
    print(f"\nAll results are shown in {(Path(out) / 'index.html').resolve()}")
    return int(failed)


PICTURES = {
    "fool": ["fool", "digits-mlp"],
    "ascend": ["ascend", "digits-mlp", "digits"],
    "dream": ["dream", "digits-mlp"],
}
COUNT = 500
EVALUATED = {"digits-mlp": 0.1, "digits-cnn-robust": 0.2}
"""The networks evaluated in the demo, each on `COUNT` digits, and the Linf eps of each."""


def _captured(run: Callable[[list[str]], int], arguments: list[str]) -> tuple[int, str]:
    """Run and print a command; return its status and its output without the "wrote" lines."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = run(arguments)
    print(printed.getvalue(), end="")
    return status, "\n".join(line for line in printed.getvalue().splitlines() if not line.startswith("wrote "))
