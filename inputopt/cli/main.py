"""The command line: `inputopt COMMAND`; each command is a module of `commands`.

Exit status: 0 for success, 1 if something was not found, does not match or is too low, 2 for invalid arguments or a
failure, with one sentence on stderr, and 130 if interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from inputopt import __version__
from inputopt.cli.earlier_files import add_to_record
from inputopt.cli.parser import Parser, UsageError, parse
from inputopt.cli.verbs import STATUS, VERBS, add_verb
from inputopt.errors import one_line, one_of, out_of_memory
from inputopt.files import noted_files, noting_files, storing_command


def build_parser(verb: str | None = None) -> Parser:
    """The parser: with one verb and its arguments, or with the names and summaries of all verbs.

    Only the verb's own module is imported, so that `inputopt --help` does not import torch.
    """
    parser = Parser(
        prog="inputopt",
        description="Train networks with checked gradients, and optimise the inputs of frozen networks. The model "
        "comes first, the data second; `inputopt VERB --help` shows the flags of a verb and an example.",
        epilog=STATUS,
    )
    parser.add_argument("--version", action="version", version=f"inputopt {__version__}")
    parser.add_argument("--traceback", action="store_true", help="print the traceback of an error before its message")
    commands = parser.add_subparsers(dest="command", required=True, metavar="VERB")
    if verb is None:
        for name in VERBS:
            add_verb(commands, name)
    else:
        import_module(f"inputopt.cli.commands.{VERBS[verb].module}").add_commands(commands)
    return parser


def parse_words(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line.

    Raises:
        UsageError: the command line is invalid.
        SystemExit: for --help and --version, which are printed.
    """
    first = next((place for place, word in enumerate(words) if not word.startswith("-")), len(words))
    if set(words[:first]) & {"-h", "--help", "--version"} or first == len(words):
        return parse(build_parser(), words, VERBS)
    try:
        one_of("verb", words[first], VERBS)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return parse(build_parser(words[first]), words, VERBS)


def run(words: Sequence[str], out: str | None = None, whole_process: bool = False) -> int:
    """Run a command and return its status.

    Args:
        words: the command line.
        out: replaces the output folder if given.
        whole_process: whether settings of the process may be changed, such as its memory limit.

    Raises:
        ValueError, TypeError, ...: the command failed.
        SystemExit: for --help and --version.
    """
    options = parse_words(words)
    from inputopt.cli.memory_limits import limit_memory  # these import torch
    from inputopt.cli.model_arguments import using
    from inputopt.cli.output import without_bars

    if whole_process:
        gc.freeze()  # imported objects live to the end: exclude them from garbage collection
        limit_memory()
    options.again = run  # for commands that run other commands
    if out is not None:
        options.out = out
    with storing_command(words), without_bars(options.quiet), noting_files():
        try:
            status: int = options.run(options)
        except KeyboardInterrupt:
            if options.out is not None:
                add_to_record(options.command, Path(options.out), noted_files())
            raise
        except SystemExit:
            with using("The model's own code ended the program"):
                raise
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its status; only --help and --version raise SystemExit, as in argparse.

    Without `arguments` those of the process are used, and settings of the whole process are changed, such as its
    memory limit.
    """
    words = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    try:
        try:
            with warnings_in_lines():
                return run(words, whole_process=arguments is None)
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
    """The message for an error, in one line."""
    if isinstance(error, BrokenPipeError):
        return "The output pipe was closed, so the remaining output was not printed."
    if out_of_memory(error):
        return "There is not enough memory; choose a smaller --size, --count or --batch."
    if isinstance(error, (ValueError, TypeError, ModuleNotFoundError)) and str(error):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}."
    where = "`inputopt --traceback ...` prints the traceback"
    return f"{type(error).__name__}: {one_line(error).rstrip('.')}; {where}."


@contextlib.contextmanager
def warnings_in_lines() -> Iterator[None]:
    """Inside the block, print each warning as one line on stderr, without its source line."""

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

    Python exits by a signal instead of the status if KeyboardInterrupt passed through code compiled from a string, such
    as dataclass methods, and torch's threads may abort a normal exit.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    atexit._run_exitfuncs()
    os._exit(status)


def _flush() -> None:
    """Flush stdout now, while a write error can still be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_output() -> None:
    """Redirect stdout to devnull if it cannot be written: Python would flush it at exit and print an error."""
    try:
        _flush()
    except (OSError, ValueError):
        if sys.stdout is sys.__stdout__:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
