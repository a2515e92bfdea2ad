"""Parsing of the command line; every value is checked when it is parsed, and errors are one sentence."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from inputopt.errors import one_of

Value = TypeVar("Value")
Read = Callable[[str], Value]
"""Parses the text of an option; raises `argparse.ArgumentTypeError` with text that continues the option's name."""


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


# --------------------------------------------------------------------------------------------------------------- values
def whole(least: int = 1, most: int | None = None) -> Read[int]:
    """Parser for a whole number from `least` to `most`."""
    limits = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise _must(f"be a whole number {limits}", text)
        return value

    return read


def class_or_name(text: str) -> int | str:
    """Parse a class: a whole number of at least 0, or a name, which is looked up where the network is known."""
    return text if text.strip() and not text.lstrip("+-").replace(".", "").isdecimal() else whole(0)(text)


def seed(text: str) -> int:
    """Parse a seed: a whole number of any size."""
    try:
        return int(text)
    except ValueError:
        raise _must("be a whole number", text) from None


def number(least: float | None = None, most: float | None = None, *, above: float | None = None) -> Read[float]:
    """Parser for a finite number: at least `least` or above `above`, and at most `most`."""
    bounds = {"at least": least, "above": above, "at most": most}
    limits = " and ".join(f"{words} {value:g}" for words, value in bounds.items() if value is not None)

    def read(text: str) -> float:
        value = _float(text)
        low = (least is None or value >= least) and (above is None or value > above)
        if not (math.isfinite(value) and low and (most is None or value <= most)):
            raise _must(f"be a finite number {limits}".rstrip(), text)
        return value

    return read


def probability(text: str) -> float:
    """Parse a number between 0 and 1, both excluded."""
    value = _float(text)
    if not 0 < value < 1:
        raise _must("be a probability between 0 and 1", text)
    return value


def numbers(text: str) -> list[float]:
    """Parse finite numbers separated by commas.

    >>> numbers("0.05,0.1")
    [0.05, 0.1]
    """
    values = [_float(part) for part in text.split(",")]
    if not all(map(math.isfinite, values)):
        raise _must("be finite numbers separated by commas", text)
    return values


def positives(text: str) -> list[float]:
    """Parse numbers above 0 separated by commas."""
    values = [_float(part) for part in text.split(",")]
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise _must("be numbers above 0 separated by commas", text)
    return values


def bounds(text: str) -> tuple[list[float], list[float]]:
    """Parse the lowest and highest value: LOW,HIGH, or one of each per channel as LOW,LOW,LOW:HIGH,HIGH,HIGH.

    >>> bounds("-1,1"), bounds("0,0,0:1,1,255")
    (([-1.0], [1.0]), ([0.0, 0.0, 0.0], [1.0, 1.0, 255.0]))
    """
    low, colon, high = text.partition(":")
    lows, highs = ([_float(part) for part in side.split(",")] for side in (low, high or "nan"))
    if not colon and len(lows) == 2:
        lows, highs = [lows[0]], [lows[1]]
    if len(lows) != len(highs) or not all(a < b for a, b in zip(lows, highs, strict=True)):
        raise _must("be LOW,HIGH with LOW below HIGH, or one of each per channel as LOW,LOW,LOW:HIGH,HIGH,HIGH", text)
    return lows, highs


def sizes(least: int = 1, count: int | None = None, what: str = "whole numbers separated by commas") -> Read[list[int]]:
    """Parser for whole numbers separated by commas, `count` of them if given.

    >>> sizes()("2,3,1")
    [2, 3, 1]
    """

    def read(text: str) -> list[int]:
        try:
            values = [int(part) for part in text.split(",")]
        except ValueError:
            values = [least - 1]
        if min(values) < least or len(values) != (count or len(values)):
            raise _must(f"be {what}, each at least {least}", text)
        return values

    return read


def side_or_shape(text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by x.

    >>> side_or_shape("3x224x160")
    (3, 224, 160)
    """
    try:
        given = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        given = (0,)
    if min(given) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers of at least 1 separated by x, not {text[:60]!r}.")
    return given


def different(read: Read[list[Value]]) -> Read[list[Value]]:
    """Parser that reads like `read` and refuses duplicates."""

    def each(text: str) -> list[Value]:
        values = read(text)
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise argparse.ArgumentTypeError(f"has {twice} twice; give each only once.")
        return values

    return each


def names(text: str) -> list[str]:
    """Parse names separated by commas; empty and duplicate names are refused.

    >>> names("conv1, conv2")
    ['conv1', 'conv2']
    """
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise _must("be names separated by commas", text)
    return different(lambda _: values)(text)


def choice(what: str, allowed: Iterable[str]) -> Read[str]:
    """Parser for one of several words; the error for an unknown word suggests the nearest one."""
    known = list(allowed)

    def read(text: str) -> str:
        try:
            return one_of(what, text, known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _float(text: str) -> float:
    """A number or a fraction, such as 8/255; NaN for other text.

    >>> _float("8/255") == 8 / 255
    True
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _must(what: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"must {what}, not {text[:60]!r}.")
