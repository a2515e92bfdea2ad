"""The argument parser: one-sentence errors, and options that may come before positional arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from inputopt.errors import one_of


class UsageError(ValueError):
    """An invalid command line; the message is one sentence."""


class Noted(argparse.Action):
    """Stores a value, and records in `namespace.given` that it was given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Store `values`, with the signature that argparse requires."""
        if option_string is not None or values is not self.default:  # argparse also stores defaults of positionals
            namespace.given = {*namespace.given, self.dest}
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """An argument parser with one-sentence errors and without abbreviations that records the options given."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False} | kwargs)
        self.set_defaults(given=set())
        for name in (None, "store"):
            self.register("action", name, Noted)

    def error(self, message: str) -> NoReturn:
        """Raise argparse's error with a reworded message.

        Raises:
            UsageError: always.
        """
        needed = re.fullmatch(r"the following arguments are required: (.*)", message)
        if needed:
            raise UsageError(f"Missing {needed[1].replace(', ', ' and ')}; see `{self.prog} --help`.")
        message = re.sub(r"^argument \S+: (?=Unknown )", "", message)
        message = re.sub(r"^argument (\S+): ", r"\1 ", message)
        message = re.sub(r"expected (one|at least one) argument$", "needs a value", message)
        message = re.sub(r"ignored explicit argument '.*'$", "takes no value", message)
        raise UsageError(message if message.endswith(".") else f"{message}; see `{self.prog} --help`.")


def parse(parser: Parser, words: Sequence[str], verbs: Iterable[str]) -> argparse.Namespace:
    """Parse a command line with a parser whose subparsers have the dest "command"; `verbs` are all verbs.

    Raises:
        UsageError: the command line is invalid.
        SystemExit: for --help and --version, which are printed.
    """
    if all(word.startswith("-") for word in words) and not set(words) & {"-h", "--help", "--version"}:
        raise UsageError(f"No verb given; choose one of {', '.join(verbs)}.")
    commands: Any = next(action.choices for action in parser._actions if action.dest == "command")
    options, unknown = parser.parse_known_args(_positionals_first(_joined(words), commands))
    if not unknown:
        return options
    known = [name for name in commands[options.command]._option_string_actions if name.startswith("--")]
    flag = next((word for word in unknown if word.startswith("-")), None)
    if flag is None:
        raise UsageError(f"{options.command} does not take {unknown[0]!r}; see `inputopt {options.command} --help`.")
    _known(f"option of {options.command}", flag.partition("=")[0], known)
    raise UsageError(f"{flag} is in the wrong place; put it after {options.command}.")


def _known(what: str, word: str, allowed: Iterable[str]) -> None:
    try:
        one_of(what, word, allowed)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _joined(words: Sequence[str]) -> list[str]:
    """Join negative values, such as -1,1, to their option with `=`; argparse would take them for options."""
    joined: list[str] = []
    for word in words:
        if re.match(r"-(\d|\.\d|inf)", word) and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined


def _positionals_first(words: Sequence[str], commands: Any) -> list[str]:
    """Move a verb's positional arguments before its flags: argparse takes an optional one only from the first group."""
    verb = next((place for place, word in enumerate(words) if not word.startswith("-")), len(words))
    if verb == len(words) or words[verb] not in commands:
        return list(words)
    flags, positionals, rest = commands[words[verb]]._option_string_actions, [], list(words[verb + 1 :])
    others = []
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            positionals.append(word)
            continue
        others.append(word)
        takes = flags[word].nargs if word in flags else 0  # --flag=value is not in `flags`
        if takes is None and rest:
            others.append(rest.pop(0))
        while takes == "+" and rest and not rest[0].startswith("-"):
            others.append(rest.pop(0))
        if takes == "?" and rest and rest[0].isdecimal():
            others.append(rest.pop(0))
    return [*words[: verb + 1], *positionals, *others]
