"""`inputopt completion`: scripts that complete verbs and flags in a shell."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish
from inputopt.cli.parsing import choice
from inputopt.cli.verbs import VERBS, add_common, add_verb

SHELLS = ("bash", "zsh", "fish")
WHERE = {
    "bash": "~/.local/share/bash-completion/completions/inputopt",
    "zsh": "a folder of $fpath, as _inputopt",
    "fish": "~/.config/fish/completions/inputopt.fish",
}
"""Where each shell looks for the script."""


def add_commands(commands: Any) -> None:
    """Add `completion`."""
    command = add_verb(commands, "completion")
    command.add_argument("shell", type=choice("shell", SHELLS), help=f"one of {', '.join(SHELLS)}")
    add_common(command)
    command.set_defaults(run=run_completion)


def run_completion(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    check_cpu(options)
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](verb_flags())
    finish(options, script, {"shell": options.shell, "script": script, "install": WHERE[options.shell]})
    return 0


def verb_flags() -> dict[str, list[str]]:
    """The flags of every verb."""
    from inputopt.cli.main import build_parser  # imports this module's registry

    found = {}
    for name in VERBS:
        commands: Any = next(action.choices for action in build_parser(name)._actions if action.dest == "command")
        found[name] = sorted(flag for flag in commands[name]._option_string_actions if flag.startswith("--"))
    return found


def _bash(flags: dict[str, list[str]]) -> str:
    cases = "\n".join(f"    {name}) words='{' '.join(each)}' ;;" for name, each in flags.items())
    return f"""# inputopt completion for bash; save it as {WHERE["bash"]}
_inputopt() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words=''
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W '{" ".join(flags)} --help --version' -- "$word"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{cases}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _inputopt inputopt"""


def _zsh(flags: dict[str, list[str]]) -> str:
    verbs = "\n".join(f"    {shlex.quote(f'{name}:{VERBS[name].summary}')}" for name in flags)
    cases = "\n".join(f"    {name}) words_=({' '.join(each)}) ;;" for name, each in flags.items())
    return f"""#compdef inputopt
# inputopt completion for zsh; save it in {WHERE["zsh"]}
_inputopt() {{
  local -a verbs words_
  verbs=(
{verbs}
  )
  if (( CURRENT == 2 )); then
    _describe verb verbs
    return
  fi
  case $words[2] in
{cases}
  esac
  if [[ $words[CURRENT] == -* ]]; then
    compadd -- $words_
  else
    _files
  fi
}}
_inputopt "$@\""""


def _fish(flags: dict[str, list[str]]) -> str:
    lines = [f"# inputopt completion for fish; save it as {WHERE['fish']}"]
    for name, each in flags.items():
        summary = VERBS[name].summary.replace("'", r"\'")
        lines.append(f"complete -c inputopt -f -n __fish_use_subcommand -a {name} -d '{summary}'")
        lines += [
            f"complete -c inputopt -n '__fish_seen_subcommand_from {name}' -l {flag.removeprefix('--')}"
            for flag in each
        ]
    return "\n".join(lines)
