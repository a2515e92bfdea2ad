"""Progress on stderr: with the time left on a terminal, without colours, and a line each minute in a pipe."""

import re
import sys
from pathlib import Path

import pytest

from inputopt.cli import progress_lines
from inputopt.cli.main import main

LINES = {
    "attack digits-mlp digits --steps 30 --count 20": r"pgd: .* \d+/31 \[\d\d:\d\d<",
    "evaluate digits-mlp digits --preset quick --count 10": r"PGD, 8 steps, \d+ remaining: .* 0/3 \[",
    "nearest digits-mlp digits --norm l2 --queries 60 --count 10": r"minimalnorm: .* 0/1 \[",
    "train mlp table.csv --hidden 4 --epochs 20 --batch 4": r"mlp: .* \d\.\d+/80\.0 \[\d\d:\d\d<",
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("terminal", [True, False])
def test_the_time_left_is_shown_on_a_terminal_only(line, terminal, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.chdir(tmp_path)
    rows = [f"{number / 20},{1 - number / 20},{'left' if number < 10 else 'right'}" for number in range(20)]
    Path("table.csv").write_text("\n".join(["a,b,side", *rows]), encoding="utf-8")
    assert main([*line.split(), "--out", "o"]) == 0
    printed = capsys.readouterr()
    assert bool(re.search(LINES[line], printed.err.replace("\r", "\n"))) == terminal
    assert terminal or printed.err == ""
    assert "\x1b[3" not in printed.err, "colours"
    assert not re.search(r"\d/\d+ \[", printed.out)


def test_a_bar_begins_again_with_each_restart(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = "attack digits-cnn-robust digits --attack targetedapgd --steps 3 --eps 0.01 --count 10"
    assert main([*line.split(), "--out", str(tmp_path)]) == 0
    assert not re.search(r"\b([5-9]|\d\d+)/4 ", capsys.readouterr().err)


def test_long_runs_print_a_line_each_minute_into_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress_lines, "LINE_SECONDS", 0.0)
    line = ["attack", "digits-cnn-robust", "digits", "--steps", "40", "--eps", "0.01", "--count", "10"]
    assert main([*line, "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"pgd: \d+ of 41 steps, \d+ s so far, about \d+ s left, \d+ remaining", lines[-1])
    assert 1 < len(lines) <= 43
    assert main([*line, "--out", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
