"""How legible are pictures of classes? Twenty of ImageNet, made for one network and read by two others.

    python benchmarks/legibility.py --out out/legibility

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
from inputopt.evaluation.legibility import Legibility, legibility, spectrum_distance
from inputopt.files import save_figure
from inputopt.recipes.pictures.picture import read_photo
from inputopt.recipes.pictures.sheet import named_sheet
from inputopt.zoo.imagenet import class_name

CLASSES = tuple(range(25, 1000, 50))
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


def main(out: Path, steps: int, canvas: str) -> None:
    net = inputopt.Frozen(inputopt.load("efficientnet-lite0"))
    pictures, started = [], time.perf_counter()
    for first in range(0, len(CLASSES), TOGETHER):
        numbers = CLASSES[first : first + TOGETHER]
        objective = inputopt.Belief(numbers) + 0.1 * inputopt.Class(numbers)
        pictures += inputopt.visualize(net, objective, SIZE, steps, canvas=canvas)
        print(f"{len(pictures)} of {len(CLASSES)} after {time.perf_counter() - started:.0f} s", flush=True)
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
    own = ", ".join(f"{float(value):.2f}" for value in spectrum_distance(natural, natural))
    print(f"photos' own distance from their mean spectrum: {own}")
    captions = [
        f"{class_name(number)[:18]}\n{float(seen):.2f} to the others"
        for number, seen in zip(CLASSES, found.transfer, strict=True)
    ]
    save_figure(
        named_sheet(x, (0, 1), captions, f"Made for lite0, {canvas} canvas, {steps} steps"), out / "classes.png"
    )
    print(f"wrote {out / 'classes.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/legibility"), help="folder for pictures (%(default)s)")
    parser.add_argument("--steps", type=int, default=256, help="(%(default)s)")
    parser.add_argument("--canvas", default="natural", help="as for visualize (%(default)s)")
    options = parser.parse_args()
    main(options.out, options.steps, options.canvas)
