"""Every accuracy that a verb prints has its 95 % interval beside it, and in the JSON values too."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from contracts import digits
from verb_parsers import command_runner

from inputopt.cli.data import data_arguments
from inputopt.wilson_interval import wilson

PERCENTAGE = r"(\d+(?:\.\d+)?) %"
WITH_INTERVAL = re.compile(rf"{PERCENTAGE} \(95 % interval: {PERCENTAGE} to {PERCENTAGE}\)")
LINES = {
    "attack digits-mlp digits --steps 3 --count 20": (2, {"accuracy": 20, "accuracy_under_attack": 20}),
    "evaluate digits-mlp digits --preset quick --count 20": (2, {}),
    "evaluate digits-mlp digits --preset quick --count 8 --eps 0.3 --mean 0.9 --adapt": (2, {}),
    "certify digits-mlp digits --count 12 --eps 0.01 --budget 0": (1, {"certified_accuracy": 12}),
    "certify digits-mlp digits --count 3 --norm l2 --eps 0.1 --sigma 0.1 --draws 40": (2, {"certified_accuracy": 3}),
    "train mlp table.csv --epochs 5": (2, {}),
    "models": (5, {}),
}
"""Command lines, how many accuracies each prints at least, and those in the JSON values with their inputs."""


@pytest.fixture
def run(capsys):
    return command_runner(capsys)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_arguments, "load_digits", digits)
    random = np.random.default_rng(0)
    rows = [f"{random.random()},{number % 2},{'ab'[number % 2]}" for number in range(40)]
    Path("table.csv").write_text("\n".join(["x,y,label", *rows]), encoding="utf-8")


@pytest.mark.parametrize("line", LINES)
def test_accuracies_are_printed_with_their_interval(line, run):
    least, shares = LINES[line]
    words = [*line.split(), "--out", "o"]
    printed = [row for row in run(*words).splitlines() if re.search("accura|certified in|correct", row)]
    found = [tuple(map(float, each)) for row in printed for each in WITH_INTERVAL.findall(row)]
    assert len(found) >= least
    for share, low, high in found:
        assert 0 <= low <= share <= high <= 100
        assert high - low > 0.5, "a sample is never this certain"
    assert re.findall(PERCENTAGE, WITH_INTERVAL.sub("", "\n".join(printed))) == [], "without an interval"
    values = json.loads(run(*words, "--json"))
    for name, count in shares.items():
        assert values[f"{name.removesuffix('_accuracy')}_interval"] == pytest.approx(wilson(values[name], count))
