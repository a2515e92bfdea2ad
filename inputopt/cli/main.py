"""The command line: `inputopt COMMAND`. Each command is a module beside this one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from inputopt import __version__
from inputopt.cli import derivatives, nearest, pictures, reproduction, robustness, teach, tour


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="inputopt", description="Train a network with checked gradients, then hold it still and move the input."
    )
    parser.add_argument("--version", action="version", version=f"inputopt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (reproduction, derivatives, teach, pictures, robustness, nearest, tour):
        module.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends in one sentence on stderr and exit status 2."""
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        print(f"inputopt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("inputopt: interrupted.", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
