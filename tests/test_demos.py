"""Every demo prints a table that shows what its docstring promises, and leaves a picture.

One is run as it is typed. The others run here on less: fewer trainings, classes or images, with which what they show
still holds; only the tank's story takes all of it, and its demo is held to its table and picture.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

DEMOS = sorted((Path(__file__).parents[1] / "demos").glob("*.py"))


def rows(printed: str, pattern: str) -> list[tuple[str, ...]]:
    """The groups of every line that `pattern` matches."""
    return [match.groups() for match in re.finditer(pattern, printed.replace(",", ""), re.MULTILINE)]


def slow_start(printed: str) -> None:
    found = rows(printed, r"^\(a\) \w+ +(saturated|fresh) +(mse|cross_entropy) .* (\d+)$")
    halved = {(start, cost): int(count) for start, cost, count in found}
    assert len(halved) == 4
    assert halved["saturated", "mse"] > 4 * halved["fresh", "mse"]
    assert halved["saturated", "cross_entropy"] < 2 * halved["fresh", "cross_entropy"]


def unstable_gradients(printed: str) -> None:
    found = rows(printed, r"^(\d) (sigmoid|relu) +\S+ +\S+ +(\S+) +\S+ +\S+ +\S+ +\d+% \(\d+% to \d+%\)$")
    ratios = {(kind, int(depth)): float(ratio) for depth, kind, ratio in found}
    assert list(ratios) == list(product(("sigmoid", "relu"), (2, 8)))
    assert 0 < ratios["sigmoid", 8] < 1e-5 < 1e-3 < ratios["sigmoid", 2]
    assert min(ratios["relu", 2], ratios["relu", 8]) > 0.5


def ways_to_train(printed: str) -> None:
    found = rows(printed, r"^(NOT|OR AND) +(\w+) +(\d+) +(\d+) +\S+ +(0\.\d+)$")
    assert len(found) == 10
    assert all(float(error) <= 0.2 for *_, error in found)
    for task in ("NOT", "OR AND"):
        trainings = [int(count) for name, way, count, *_ in found if name == task and way != "evolution"]
        assert max(trainings) - min(trainings) <= 1, "the ways find the same derivatives"


def fooled_digits(printed: str) -> None:
    found = rows(printed, r"^(\d) +(\d+) of 8 +(\S+)% .* (\d+) of 20 ")
    assert [int(digit) for digit, *_ in found] == list(range(10))
    for _, fooled, sure, lost in found:
        assert (int(fooled), int(lost)) == (8, 20)
        assert float(sure) >= 99
    ((share, low, high),) = rows(
        printed, r"Correctly classified: (\S+) % \(95 % interval: (\S+) % to (\S+) %\) of 1000 held-out"
    )
    assert float(share) >= 90
    assert float(low) < float(share) < float(high) < float(low) + 5


def sunny_tank(printed: str) -> None:
    found = rows(
        printed, r"^(cloudy tanks|any sky) +(\S+)% \(\S+ to \S+\) +(\S+)% \(\S+ to \S+\) +(\d+) of (\d+) +(\S+)%$"
    )
    assert [name for name, *_ in found] == ["cloudy tanks", "any sky"]
    assert all(0 < int(flipped) <= int(of) for *_, flipped, of, _ in found)
    assert len(printed.split("regions changed by minimal perturbations")) == 3


def looks_robust(printed: str) -> None:
    cell = r" +(\d+)% \(\d+% to \d+%\)"
    found = rows(printed, rf"^(plain|rounded|low pass){cell}{cell}{cell}  (.*)$")
    shares = {name: (int(clean), int(before), int(after)) for name, clean, before, after, _ in found}
    reasons = {name: set(fired.split(" ")) for name, *_, fired in found}  # commas are removed
    assert list(shares) == ["plain", "rounded", "low pass"]
    assert shares["plain"][1] == shares["plain"][2]
    assert reasons["plain"] == {"none"}
    assert "zero_gradient" in reasons["rounded"]
    assert "no_gradient" in reasons["low pass"]
    for name in ("rounded", "low pass"):
        clean, before, after = shares[name]
        assert clean >= before > after
        assert rows(printed, rf"^{name}: .* (\d+) more inputs: robust accuracy \S+ % .* -> .* to \S+ %\)\.")


def nearest_neighbours(printed: str) -> None:
    found = rows(printed, r"^(digits-\S+) +(l\w+) +(\d+) of 8 +(\S+) +(\S+) +(\S+) +(\d+)$")
    assert len(found) == 8
    medians = {(network, norm): float(median) for network, norm, _, _, median, _, _ in found}
    for network, norm, misread, nearest, median, furthest, queries in found:
        assert int(misread) == 8
        assert 0 < float(nearest) <= float(median) <= float(furthest)
        assert int(queries) <= 150
        assert medians["digits-cnn-robust", norm] > 1.2 * medians["digits-mlp", norm] or network == "digits-mlp"


SHOWS: dict[str, Callable[[str], None]] = {
    "01_slow_start": slow_start,
    "02_unstable_gradients": unstable_gradients,
    "03_ways_to_train": ways_to_train,
    "04_fooled_digits": fooled_digits,
    "05_sunny_tank": sunny_tank,
    "06_nearest_neighbours": nearest_neighbours,
    "07_looks_robust": looks_robust,
}


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


LESS: dict[str, Callable[[ModuleType], dict[str, Any]]] = {
    "02_unstable_gradients": lambda demo: {"DEPTHS": (2, 8), "TRAININGS": 20},
    "03_ways_to_train": lambda demo: {"TASKS": without(demo.TASKS, "XOR"), "STOP": 0.2},
    "05_sunny_tank": lambda demo: {"SHOWN": 1, "TRAINED_ON": 60, "TESTED_ON": 40, "TRAININGS": 40, "STEPS": 4},
    "04_fooled_digits": lambda demo: {"SHOWN": (2,)},
    "06_nearest_neighbours": lambda demo: {"COUNT": 8, "SHOWN": 2, "QUERIES": 150},
    "07_looks_robust": lambda demo: {"COUNT": 12, "SHOWN": 2},
}


def test_demos_are_numbered_and_all_are_checked() -> None:
    assert [path.stem for path in DEMOS] == list(SHOWS)
    assert [path.name[:3] for path in DEMOS] == [f"{number:02}_" for number in range(1, len(DEMOS) + 1)]
    assert set(SHOWS) - set(LESS) == {"01_slow_start"}


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_demo(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new" / "folder"
    if path.stem in LESS:
        spec = importlib.util.spec_from_file_location(f"demo_{path.stem}", path)
        demo = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(demo)
        for name, value in LESS[path.stem](demo).items():
            monkeypatch.setattr(demo, name, value)
        demo.main(folder)
        printed = capsys.readouterr().out
    else:
        printed = typed(path, folder)
    SHOWS[path.stem](printed)
    picture = folder / f"{path.stem}.png"
    assert f"wrote {picture}" in printed
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) >= 300
    assert pixels.min() < 64 < 192 < pixels.max()


def typed(path: Path, folder: Path) -> str:
    """What a demo prints in a process of its own, without a complaint."""
    done = subprocess.run(
        [sys.executable, "-W", "error", path, "--out", folder],
        cwd=folder.parents[1],
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
