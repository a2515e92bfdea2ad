"""Every demo runs alone, prints a table that shows what its docstring promises, and leaves a picture."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DEMOS = sorted((Path(__file__).parents[1] / "demos").glob("*.py"))


def rows(printed: str, pattern: str) -> list[tuple[str, ...]]:
    """The groups of every line that `pattern` matches."""
    return [match.groups() for match in re.finditer(pattern, printed.replace(",", ""), re.MULTILINE)]


def slow_start(printed: str) -> None:
    found = rows(printed, r"^\((a|b)\) \w+ +(saturated|fresh) +(mse|cross_entropy) .* (\d+)$")
    halved = {(case, start, cost): int(count) for case, start, cost, count in found}
    assert len(halved) == 8
    longer = {
        (case, cost): halved[case, "saturated", cost] / halved[case, "fresh", cost]
        for case, cost in product("ab", ("mse", "cross_entropy"))
    }
    assert longer["a", "mse"] > 4
    assert longer["a", "cross_entropy"] < 2
    assert longer["b", "mse"] > 10
    assert longer["b", "cross_entropy"] > 10
    # cross-entropy spares the last neuron's slope and nothing else: 1/4 at an output of a half
    assert halved["b", "saturated", "mse"] / halved["b", "saturated", "cross_entropy"] == pytest.approx(4, abs=0.1)


def unstable_gradients(printed: str) -> None:
    found = rows(printed, r"^(\d) (sigmoid|relu) +\S+ +\S+ +(\S+) +(\S+) +\S+ +\S+ +(\d+)%$")
    assert [(kind, depth) for depth, kind, *_ in found] == list(product(("sigmoid", "relu"), "2468"))
    ratios = [float(ratio) for _, _, ratio, _, _ in found]
    known = [int(share) for *_, share in found]
    for shallow, deep in pairwise(ratios[:4]):
        assert deep < shallow / 5
    assert 0 < ratios[3] < 1e-5
    assert min(ratios[4:]) > 0.5
    assert max(known[1:4]) < 30 < 70 < min(known[4:])


def ways_to_train(printed: str) -> None:
    found = rows(printed, r"^(NOT|OR AND|XOR) +(\w+) +(\d+) +(\d+) +\S+ +(0\.\d+)$")
    assert len(found) == 15
    assert all(float(error) <= 0.05 for *_, error in found)
    for task in ("NOT", "OR AND", "XOR"):
        trainings = [int(count) for name, way, count, *_ in found if name == task and way != "evolution"]
        assert max(trainings) - min(trainings) <= 0.01 * max(trainings), "the ways find the same derivatives"


def fooled_digits(printed: str) -> None:
    found = rows(printed, r"^(\d) +(\d+) of 8 +(\S+)% .* (\d+) of 20 ")
    assert [int(digit) for digit, *_ in found] == list(range(10))
    for _, fooled, sure, lost in found:
        assert (int(fooled), int(lost)) == (8, 20)
        assert float(sure) >= 99
    assert int(rows(printed, r"the network knows (\d+)")[0][0]) >= 900


def sunny_tank(printed: str) -> None:
    found = rows(printed, r"^(tanks in cloud|any sky) +(\S+)% +(\S+)% +(\d+) of (\d+) +(\S+)%$")
    assert [name for name, *_ in found] == ["tanks in cloud", "any sky"]
    cloud, sky = ({"own": float(own), "field": float(field), "outside": float(out)} for _, own, field, *_, out in found)
    assert all(flipped == of for *_, flipped, of, _ in found)
    assert min(cloud["own"], sky["own"]) > 97
    assert cloud["field"] < 60 < 97 < sky["field"]
    assert cloud["outside"] > 90
    assert sky["outside"] < 30
    confounded, sound = printed.split("what an input search moves")[1:]
    assert confounded.count("<- suspicious") == 2
    assert "suspicious" not in sound


def nearest_neighbours(printed: str) -> None:
    found = rows(printed, r"^(digits-\S+) +(l\w+) +(\d+) of 30 +(\S+) +(\S+) +(\S+) +(\d+)$")
    assert len(found) == 8
    medians = {(network, norm): float(median) for network, norm, _, _, median, _, _ in found}
    for network, norm, misread, nearest, median, furthest, queries in found:
        assert int(misread) == 30
        assert 0 < float(nearest) <= float(median) <= float(furthest)
        assert int(queries) <= 400
        assert medians["digits-cnn-robust", norm] > 1.2 * medians["digits-mlp", norm] or network == "digits-mlp"


SHOWS: dict[str, Callable[[str], None]] = {
    "01_slow_start": slow_start,
    "02_unstable_gradients": unstable_gradients,
    "03_ways_to_train": ways_to_train,
    "04_fooled_digits": fooled_digits,
    "05_sunny_tank": sunny_tank,
    "06_nearest_neighbours": nearest_neighbours,
}


def test_demos_are_numbered_and_all_are_checked() -> None:
    assert [path.stem for path in DEMOS] == list(SHOWS)
    assert [path.name[:3] for path in DEMOS] == [f"{number:02}_" for number in range(1, len(DEMOS) + 1)]


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_demo(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", path, "--out", tmp_path / "new" / "folder"],
        cwd=tmp_path,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    SHOWS[path.stem](done.stdout)
    picture = tmp_path / "new" / "folder" / f"{path.stem}.png"
    assert f"wrote {picture}" in done.stdout
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) >= 300
    assert pixels.min() < 64 < 192 < pixels.max()
