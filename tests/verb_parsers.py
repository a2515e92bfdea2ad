"""The argument parser of each verb of the command line."""

from inputopt.cli.main import build_parser
from inputopt.cli.verbs import VERBS


def verb_parser(name):
    """The parser of a verb's own arguments."""
    (every,) = [action for action in build_parser(name)._actions if action.dest == "command"]
    return every.choices[name]


def verb_parsers():
    """The parsers of all verbs, by name."""
    return {name: verb_parser(name) for name in VERBS}
