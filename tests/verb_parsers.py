"""The argument parser of each verb of the command line, and a function that runs one."""

from inputopt.cli.main import build_parser, main
from inputopt.cli.verbs import VERBS


def verb_parser(name):
    """The parser of a verb's own arguments."""
    (every,) = [action for action in build_parser(name)._actions if action.dest == "command"]
    return every.choices[name]


def verb_parsers():
    """The parsers of all verbs, by name."""
    return {name: verb_parser(name) for name in VERBS}


def command_runner(capsys):
    """A function that runs a command, which must end with `status` and write nothing to stderr; returns its output."""

    def run(*arguments, status=0):
        assert main([str(argument) for argument in arguments]) == status
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run
