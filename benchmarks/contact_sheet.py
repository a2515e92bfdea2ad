"""Sheets of what the pictures look like: fooling images, evolved and descended, an atlas, inversions and caricatures.

    python benchmarks/contact_sheet.py --out out/sheets

Everything is made by EfficientNet-Lite0 from the photos that scikit-image and scikit-learn ship. The twenty classes
have a sheet of their own, which benchmarks/legibility.py makes, and so has the tank (demos/05_sunny_tank.py).
"""

import argparse
import time
from pathlib import Path

import torch
from legibility import photos
from torch import Tensor

import inputopt
from inputopt.files import save_figure
from inputopt.pictures.map_elites import MapElites
from inputopt.pictures.sheet import named_sheet
from inputopt.zoo.imagenet import class_name

TARGETS = tuple(range(50, 1000, 100))
EVOLVED = 96  # the side of evolved images: they have no fine detail, and small ones are quick to judge
LAYERS = ("stem", "blocks.4", "blocks.8", "blocks.12", "head")


def belief(net: inputopt.Frozen, x: Tensor) -> list[str]:
    """What the network sees in images [B, C, H, W], in words."""
    with torch.no_grad():
        sure, best = net(x).softmax(1).max(1)
    return [f"{class_name(int(number))[:20]}\n{float(share):.3f}" for number, share in zip(best, sure, strict=True)]


def evolved(net: inputopt.Frozen, generations: int, side: int) -> Tensor:
    """Ten classes without a derivative."""
    started = time.perf_counter()
    found = inputopt.evolve_images(net, TARGETS, (3, side, side), generations, rules=MapElites(population=48))
    print(
        f"evolution: {int(found.success.sum())} of {len(TARGETS)} classes reached a probability of 0.9 after "
        f"{found.generations} generations, {found.forwards} images and {time.perf_counter() - started:.0f} s; "
        f"{', '.join(f'{float(share):.2f}' for share in found.probability)}"
    )
    return found.x


def fooled(net: inputopt.Frozen, side: int) -> Tensor:
    """The same ten by descent, half from static and half from waves."""
    found = [
        inputopt.fool(net, target, (3, side, side), 1, start="static" if place < 5 else "fourier")
        for place, target in enumerate(TARGETS)
    ]
    least = min(float(result.logits.softmax(1)[0, target]) for result, target in zip(found, TARGETS, strict=True))
    steps = [int(result.forwards[0]) - 1 for result in found]
    print(f"gradient descent: lowest target probability {least:.4f}; {min(steps)} to {max(steps)} steps")
    return torch.cat([result.x for result in found])


def main(out: Path, generations: int, side: int, steps: int) -> None:
    net = inputopt.Frozen(inputopt.load("efficientnet-lite0"))
    natural = photos(side)
    china, cat = natural[0], natural[3]
    x = evolved(net, generations, EVOLVED)
    save_figure(named_sheet(x, (0, 1), belief(net, x), "Evolved without gradients"), out / "evolved.png")
    x = fooled(net, side)
    title = "Gradient descent from uniform noise (above) and from natural-spectrum noise (below)"
    save_figure(named_sheet(x, (0, 1), belief(net, x), title), out / "fooled.png")
    atlas = inputopt.atlas(net, "blocks.8", list(natural), range(0, 96, 8), side, steps, top=2)
    save_figure(atlas.sheet(), out / "atlas.png")
    inverted = [inputopt.invert(net, china, [layer], steps * 2) for layer in LAYERS]
    captions = [
        f"from {layer}\ndistance {picture.recipe['distance']:.3f}"
        for layer, picture in zip(LAYERS, inverted, strict=True)
    ]
    drawn = [inputopt.accentuate(net, cat, [layer], steps) for layer in LAYERS[1:]]
    images = [*(picture.x for picture in inverted), cat, *(picture.x for picture in drawn)]
    captions += ["the photo", *(f"caricature\n{layer}" for layer in LAYERS[1:])]
    save_figure(named_sheet(images, (0, 1), captions, "Inversions of layers, and caricatures"), out / "recalled.png")
    label = [285]  # Egyptian cat
    methods = ("gradient", "gradient_x_input", "integrated", "smoothgrad", "occlusion")
    maps = [inputopt.saliency(net, cat[None], label, method, samples=16, window=16) for method in methods]
    shown = [found.abs().sum(1) / found.abs().sum(1).quantile(0.995) for found in maps]
    save_figure(named_sheet(shown, (0, 1), methods, f"Why {class_name(label[0])}?"), out / "saliency.png")
    print(f"wrote {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/sheets"), help="folder for the sheets (%(default)s)")
    parser.add_argument("--generations", type=int, default=1500, help="of the evolution (%(default)s)")
    parser.add_argument("--side", type=int, default=128, help="of the pictures (%(default)s)")
    parser.add_argument("--steps", type=int, default=128, help="of the atlas and the caricatures (%(default)s)")
    options = parser.parse_args()
    main(options.out, options.generations, options.side, options.steps)
