"""Output on a terminal, on a terminal with NO_COLOR (https://no-color.org), and in a pipe."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

STYLE = re.compile(r"\x1b\[[\d;]*m")
"""Escape sequences that set colours or styles."""

COMMANDS = {
    "--help": "usage: inputopt",
    "atack": "inputopt: Unknown verb 'atack'",
}
"""Command lines that are quick, and what each prints. Newer versions of Python colour the help on a terminal."""


def environment(no_color):
    others = {"NO_COLOR", "FORCE_COLOR", "PYTHON_COLORS", "COLUMNS"}
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return kept | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})


def on_a_terminal(line, folder, no_color):
    """Everything that a command writes to a pseudo-terminal, which is its stdout and its stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    command = [sys.executable, "-m", "inputopt", *line.split()]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, cwd=folder, env=environment(no_color), **streams) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # Linux reports the end of a pseudo-terminal as an error
                break
            if not part:
                break
            parts.append(part)
        os.close(ours)
        assert process.wait(timeout=60) in (0, 2)
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("line", COMMANDS)
def test_no_color_removes_every_style_and_nothing_else(line, tmp_path):
    usual, plain = (on_a_terminal(line, tmp_path, no_color) for no_color in (False, True))
    assert COMMANDS[line] in plain
    assert STYLE.findall(plain) == []
    assert STYLE.sub("", usual) == plain


def test_results_and_bars_have_no_styles_on_a_terminal_either(tmp_path):
    text = on_a_terminal("attack digits-mlp digits --steps 9 --count 4 --out o", tmp_path, no_color=False)
    assert STYLE.findall(text) == []
    assert re.search(r"\rpgd: .* 0/10 \[", text), "a bar shows that it is taken for a terminal"
    assert "wrote o/attack.png\n" in text


@pytest.mark.parametrize("line", COMMANDS)
def test_a_pipe_gets_no_escape_sequences(line, tmp_path):
    command = [sys.executable, "-m", "inputopt", *line.split()]
    found = subprocess.run(
        command, cwd=tmp_path, env=environment(False), capture_output=True, text=True, timeout=60, check=False
    )
    assert COMMANDS[line] in found.stdout + found.stderr
    assert not {"\x1b", "\r"} & set(found.stdout + found.stderr)
