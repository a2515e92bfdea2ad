"""The command line: `inputopt COMMAND`. Each command is a module beside this one."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence

from inputopt import __version__
from inputopt.cli import derivatives, dreams, layers, nearest, pictures, reproduction, robustness, seeing, teach, tour
from inputopt.files import typed


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="inputopt", description="Train a network with checked gradients, then hold it still and move the input."
    )
    parser.add_argument("--version", action="version", version=f"inputopt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (reproduction, derivatives, teach, layers, pictures, dreams, seeing, robustness, nearest, tour):
        module.add_commands(commands)
    return parser


def run(arguments: Sequence[str], out: str | None = None) -> int:
    """Run a command, in the folder `out` instead of its own if given; what it returns."""
    options = build_parser().parse_args(arguments)
    options.again = run  # for a command that runs others
    if out is not None:
        options.out = out
    with typed(arguments):
        status: int = options.run(options)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends in one sentence on stderr and exit status 2."""
    if arguments is None:  # a process of its own: what is imported stays, and no collection need look at it again
        gc.freeze()
    try:
        status = run(sys.argv[1:] if arguments is None else arguments)
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        print(f"inputopt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("inputopt: interrupted.", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
