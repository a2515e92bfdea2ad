"""The command line: `inputopt COMMAND`. Each command is a module beside this one.

Whatever happens ends in a status and, where it went wrong, in one sentence on stderr: 0 done, 1 done but not found or
not agreed, 2 something given makes no sense or failed, 130 interrupted.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from inputopt import __version__
from inputopt.cli import (
    command_demo,
    command_dream,
    command_evaluate,
    command_fool,
    command_gradcheck,
    command_layers,
    command_nearest,
    command_repeat,
    command_reproduce,
    command_train,
    command_visualize,
)
from inputopt.cli.memory_limits import limit_memory
from inputopt.cli.model_arguments import using
from inputopt.cli.parsing import Parser, parse
from inputopt.errors import one_line, out_of_memory
from inputopt.files import typed

MODULES = (
    command_reproduce,
    command_gradcheck,
    command_train,
    command_layers,
    command_fool,
    command_dream,
    command_repeat,
    command_visualize,
    command_evaluate,
    command_nearest,
    command_demo,
)
STATUS = "Ends with 0 when all went well, 1 when something was not found, 2 when something failed, 130 on Ctrl-C."


def build_parser() -> Parser:
    """All commands with their options."""
    parser = Parser(
        prog="inputopt",
        description="Train a network with checked gradients, then hold it still and move the input.",
        epilog=STATUS,
    )
    parser.add_argument("--version", action="version", version=f"inputopt {__version__}")
    parser.add_argument("--traceback", action="store_true", help="before a sentence, show where an error came from")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in MODULES:
        module.add_commands(commands)
    return parser


def run(words: Sequence[str], out: str | None = None) -> int:
    """Run a command, in the folder `out` instead of its own if given; what it returns.

    Raises:
        ValueError, TypeError, ...: anything that went wrong.
        SystemExit: help or the version was asked for.
    """
    options = parse(build_parser(), words)
    options.again = run  # for a command that runs others
    if out is not None:
        options.out = out
    with typed(words):
        try:
            status: int = options.run(options)
        except SystemExit:
            with using("The model's own code ended the program"):
                raise
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its status. Only --help and --version raise SystemExit, as argparse does.

    Without arguments those of the process are taken, which then belongs to the command alone.
    """
    words = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    if arguments is None:
        gc.freeze()  # what is imported stays, and no collection need look at it again
        limit_memory()
    try:
        try:
            with warnings_in_lines():
                return run(words)
        finally:
            _flush()
    except KeyboardInterrupt:
        _say("interrupted.")
        if arguments is None:
            _leave(130)
        return 130
    except Exception as error:
        if "--traceback" in words:
            traceback.print_exception(error, file=sys.stderr)
        _say(sentence(error))
        _forget_output()
        return 2


def sentence(error: Exception) -> str:
    """What to tell of an error, in one line."""
    if isinstance(error, BrokenPipeError):
        return "Nobody reads the output any more, so that the rest of it was not printed."
    if out_of_memory(error):
        return "There is not enough memory for this; choose a smaller --size, --count or --batch."
    if isinstance(error, (ValueError, TypeError, ModuleNotFoundError)) and str(error):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}."
    where = "`inputopt --traceback ...` shows where it came from"
    return f"{type(error).__name__}: {one_line(error).rstrip('.')}; {where}."


@contextlib.contextmanager
def warnings_in_lines() -> Iterator[None]:
    """Inside, a warning is a line on stderr without the code that it came from."""

    def show(message: Warning | str, *rest: Any, **others: Any) -> None:
        _say(f"warning: {one_line(Warning(str(message)))}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed
        print(f"inputopt: {text}", file=sys.stderr)


def _leave(status: int) -> NoReturn:
    """End the process at once.

    Python ends by a signal instead of the status where an interrupt came through code that was made from a string, as
    dataclasses are, and threads of torch may abort an end that they do not expect.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    atexit._run_exitfuncs()
    os._exit(status)


def _flush() -> None:
    """Have what was printed really written, while it can still be told that it cannot."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_output() -> None:
    """Where nothing can be printed, give up: Python would try once more at its end, and complain."""
    try:
        _flush()
    except (OSError, ValueError):
        if sys.stdout is sys.__stdout__:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
