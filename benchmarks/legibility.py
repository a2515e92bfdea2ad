"""How legible are pictures of classes, and does evolution reach classes without a derivative?

    python benchmarks/legibility.py --out out/legibility

Sections: `classes`, twenty pictures of ImageNet's classes, made for one network and read by two others; `evolution`,
ten other classes that images evolve towards by the network's answers alone.

The classes are every fiftieth, from the twenty-fifth on, and not chosen by how they come out. The pictures are made
for EfficientNet-Lite0 alone; Lite1 and Lite2, trained apart from it, say what they see. Spectra are compared with
the six colour photos that scikit-image and scikit-learn ship.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

import inputopt
from inputopt.cli.commands.command_visualize import TEMPERATURE
from inputopt.evaluation.legibility import Legibility, legibility, spectrum_distance
from inputopt.files import save_figure
from inputopt.pictures.map_elites import MapElites
from inputopt.pictures.picture import read_photo
from inputopt.pictures.sheet import named_sheet
from inputopt.zoo.imagenet import class_name

CLASSES = tuple(range(25, 1000, 50))
EVOLVED = tuple(range(50, 1000, 100))
EVOLVED_SIDE, POPULATION = 96, 48  # evolved images have no fine detail, and small ones are quick to judge
# chosen on ten other classes (410, 460, 510, 560, 660, 760, 810, 860, 910, 960) in 128 to 448 steps
SETTINGS = {"restarts": 8, "initial_scale": 0.7, "mirror": True, "skip_gradient": 0.5}
TRANSFER, SPECTRUM, ROBUST, CONFIDENCE = 0.9, 0.6, 1.0, 0.9
PHOTOS = {
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": ("data/coffee.png", "data/chelsea.png", "data/rocket.jpg", "data/astronaut.png"),
}
SIZE, TOGETHER = 224, 5


def photos(size: int) -> Tensor:
    """The middle squares of the photos, [6, 3, size, size]."""
    found = []
    for package, names in PHOTOS.items():
        folder = Path(str(find_spec(package).origin)).parent  # type: ignore[union-attr]
        for name in names:
            x = read_photo(folder / name, 3)
            side = min(x.shape[1:])
            top, left = (x.shape[1] - side) // 2, (x.shape[2] - side) // 2
            square = x[None, :, top : top + side, left : left + side]
            found.append(torch.nn.functional.interpolate(square, (size, size), mode="bilinear", antialias=True))
    return torch.cat(found).clamp(0, 1)


def table(found: Legibility, sure: Tensor) -> str:
    """A line a class, and the means."""
    lines = [f"{'class':<24}{'logit':>7}{'lite0':>7}{'transfer':>10}{'robust':>8}{'spectrum':>10}"]
    columns = (found.activation, sure, found.transfer, found.robustness, found.spectrum)
    for number, *values in zip(CLASSES, *columns, strict=True):
        logit, own, transfer, robust, spectrum = (float(value) for value in values)
        lines.append(
            f"{class_name(number)[:23]:<24}{logit:>7.1f}{own:>7.3f}{transfer:>10.3f}{robust:>8.2f}{spectrum:>10.2f}"
        )
    logit, own, transfer, robust, spectrum = (float(column.mean()) for column in columns)
    lines.append(f"{'mean':<24}{logit:>7.1f}{own:>7.3f}{transfer:>10.3f}{robust:>8.2f}{spectrum:>10.2f}")
    worst = (
        f"{float(found.transfer.min()):>10.3f}{float(found.robustness.min()):>8.2f}{float(found.spectrum.max()):>10.2f}"
    )
    return "\n".join([*lines, f"{'worst':<24}{'':>14}{worst}"])


def legible(out: Path, steps: int, canvas: str) -> None:
    """The twenty pictures, their scores and their sheet."""
    net = inputopt.Frozen(inputopt.load("efficientnet-lite0"))
    pictures, started = [], time.perf_counter()
    for first in range(0, len(CLASSES), TOGETHER):
        numbers = CLASSES[first : first + TOGETHER]
        pictures += inputopt.visualize(
            net, inputopt.LogProbability(numbers, TEMPERATURE), SIZE, steps, canvas=canvas, **SETTINGS
        )
        print(f"{len(pictures)} of {len(CLASSES)} images after {time.perf_counter() - started:.0f} s", flush=True)
    for number, picture in zip(CLASSES, pictures, strict=True):
        picture.save(out / f"{number:03}.png")
    x, classes = torch.stack([picture.x for picture in pictures]), torch.tensor(CLASSES)
    judges = [inputopt.Frozen(inputopt.load(f"efficientnet-lite{number}")) for number in (1, 2)]
    natural = photos(SIZE)
    parts = [legibility(net, judges, x[rows], classes[rows], natural) for rows in torch.arange(len(x)).split(TOGETHER)]
    found = Legibility(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))
    with torch.no_grad():
        sure = torch.cat([net(part) for part in x.split(TOGETHER)]).softmax(1).gather(1, classes[:, None])[:, 0]
    print(table(found, sure))
    verdict("mean transfer", float(found.transfer.mean()), TRANSFER, least=True)
    verdict("worst robustness", float(found.robustness.min()), ROBUST, least=True)
    verdict("worst spectrum", float(found.spectrum.max()), SPECTRUM)
    own = ", ".join(f"{float(value):.2f}" for value in spectrum_distance(natural, natural))
    print(f"distance of each photo from the photos' mean spectrum: {own}")
    captions = [
        f"{class_name(number)[:18]}\n{float(seen):.2f} on other networks"
        for number, seen in zip(CLASSES, found.transfer, strict=True)
    ]
    save_figure(
        named_sheet(x, (0, 1), captions, f"Optimised for lite0, {canvas} canvas, {steps} steps"), out / "classes.png"
    )
    print(f"wrote {out / 'classes.png'}")


def evolution(generations: int) -> None:
    """How far evolution gets, how long it takes, and how many images it shows the network."""
    net = inputopt.Frozen(inputopt.load("efficientnet-lite0"))
    started, shape = time.perf_counter(), (3, EVOLVED_SIDE, EVOLVED_SIDE)
    found = inputopt.evolve_images(net, EVOLVED, shape, generations, rules=MapElites(population=POPULATION))
    seconds = time.perf_counter() - started
    for number, sure in zip(EVOLVED, found.probability, strict=True):
        print(f"{class_name(number)[:23]:<24}{float(sure):>7.3f}")
    print(f"{found.generations} generations, {found.forwards} forwards, {seconds:.0f} s")
    verdict(
        f"classes evolved to a probability of {CONFIDENCE}",
        int((found.probability >= CONFIDENCE).sum()),
        len(EVOLVED),
        least=True,
    )


def verdict(what: str, value: float, limit: float, least: bool = False) -> None:
    """One line: the figure, its limit, and whether it is kept."""
    kept = value >= limit if least else value <= limit
    print(f"{what}: {value:.3g}, {'at least' if least else 'at most'} {limit:g}: {'met' if kept else 'MISSED'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help="of classes, evolution; both if none is named")
    parser.add_argument("--out", type=Path, default=Path("out/legibility"), help="folder for pictures (%(default)s)")
    parser.add_argument("--steps", type=int, default=448, help="(%(default)s)")
    parser.add_argument("--canvas", default="natural", help="as for visualize (%(default)s)")
    parser.add_argument("--generations", type=int, default=1500, help="of the evolution (%(default)s)")
    options = parser.parse_args()
    unknown = set(options.sections) - {"classes", "evolution"}
    if unknown:
        parser.error(f"unknown sections {', '.join(sorted(unknown))}")
    sections = options.sections or ["classes", "evolution"]
    if "classes" in sections:
        legible(options.out, options.steps, options.canvas)
    if "evolution" in sections:
        evolution(options.generations)
