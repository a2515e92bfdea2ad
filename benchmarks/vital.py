"""VITAL beside `visualize`: class pictures by distribution alignment with photos, and alignment as a regulariser.

    python benchmarks/vital.py photos
    python benchmarks/vital.py regulariser

VITAL (Gorgun, Schiele and Fischer, ICCV 2025) maximises no activation. It optimises pixels until the features of a
picture are distributed as those of real images of the class: at five layers, each channel's values are sorted and
compared with the mean of the sorted values of the images. Its published settings for classes are followed here: Adam
with rate 1 in units of the pixels' standard deviation, rolls of up to 30 pixels, no other regulariser, 2,000 steps.

The paper uses 50 ImageNet images of the class. There are none here, only photos of scikit-image and scikit-learn, so
`photos` compares on the five classes of `KNOWN`, with random crops of a single photo each: VITAL is given a photo of
what it is to draw, `visualize` is not. `regulariser` subtracts the distance to the distributions of all six photos from
the class logit instead, for classes that no photo shows. With `relevance`, channels are weighted by their relevance for
the class, by gradient times activation (equal to layer-wise relevance propagation in networks of ReLU without biases:
Ancona et al., 2018); the authors' code filters intermediate neurons by relevance, but not classes.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from class_pictures import DEVELOPMENT
from legibility import photos
from mobilenet_v2 import load_mobilenet
from torch import Tensor
from torch.nn import functional

import inputopt
from inputopt.cli.output import table
from inputopt.evaluation.legibility import robustness, spectrum_distance
from inputopt.files import save_figure
from inputopt.pictures.sheet import named_sheet
from inputopt.zoo.imagenet import class_name

LAYERS = ("stem", "blocks.2", "blocks.4", "blocks.10", "head")  # one a resolution, as conv1 and layers 1 to 4
KNOWN = {698: 0, 985: 1, 967: 2, 285: 3, 657: 4}  # class: which of `photos`
SIZE, STEPS, ROLL, CROPS, WARM_UP = 224, 2000, 30, 16, 100
SCENE = {"initial_scale": 0.7, "mirror": True, "skip_gradient": 0.5}  # as for logits alone, with layers beside them


def crops(photo: Tensor, seed: int = 0) -> Tensor:
    """Random square crops of 70 to 100 % of a photo [3, S, S], half of them mirrored, [CROPS, 3, S, S]."""
    drawn = torch.rand(CROPS, 3, generator=torch.Generator().manual_seed(seed)).tolist()
    side, found = photo.shape[1], []
    for number, (size, down, right) in enumerate(drawn):
        cut = round((0.7 + 0.3 * size) * side)
        top, left = round(down * (side - cut)), round(right * (side - cut))
        square = photo[None, :, top : top + cut, left : left + cut]
        square = functional.interpolate(square, (side, side), mode="bilinear", antialias=True)
        found.append(square.flip(3) if number % 2 else square)
    return torch.cat(found).clamp(0, 1)


def ranked(features: Tensor) -> Tensor:
    """The values of each channel in order, [B, C, H * W]."""
    return features.flatten(2).sort(2).values


class Alignment:
    """The squared distance between sorted activations and the mean of those of real images, summed over layers.

    Attributes:
        wanted: by layer the mean of the sorted activations, [C, H * W].
        weights: by layer the weight of each channel, [C, 1], of mean 1.
    """

    def __init__(self, net: inputopt.Frozen, images: Tensor, layers: Sequence[str], relevant_for: int | None) -> None:
        with torch.no_grad():
            found = net.features(images, layers)
        self.wanted = {layer: ranked(seen).mean(0) for layer, seen in found.items()}
        self.weights = {layer: torch.ones(len(wanted), 1) for layer, wanted in self.wanted.items()}
        if relevant_for is not None:
            for layer in layers:
                self.weights[layer] = relevance(net, images, layer, relevant_for)

    def __call__(self, seen: dict[str, Tensor], x: Tensor, problem: object) -> Tensor:
        distance = x.new_zeros(len(x))
        for layer, wanted in self.wanted.items():
            apart = (ranked(seen[layer]) - resampled(wanted, seen[layer][0, 0].numel())).square() * self.weights[layer]
            distance = distance + apart.mean((1, 2))
        return distance


def resampled(wanted: Tensor, count: int) -> Tensor:
    """Sorted values [C, n] at `count` quantiles, for pictures that are looked at in another size."""
    return wanted if wanted.shape[1] == count else functional.interpolate(wanted[None], count, mode="linear")[0]


def relevance(net: inputopt.Frozen, images: Tensor, layer: str, number: int) -> Tensor:
    """Relevance of each channel for a class: the greatest product of activation and gradient, [C, 1], of mean 1."""
    x = images.clone().requires_grad_()
    seen = net.features(x, [layer, ""])
    grad = torch.autograd.grad(seen[""][:, number].sum(), seen[layer])[0]
    found = (grad * seen[layer]).detach().amax((2, 3)).clamp_min(0).mean(0)
    return (found / found.mean().clamp_min(1e-12))[:, None]


def vital(net: inputopt.Frozen, align: Alignment, steps: int, seed: int = 0) -> Tensor:
    """A picture [3, SIZE, SIZE] by distribution alignment alone, with the settings of the authors' code."""
    draw = torch.Generator().manual_seed(seed)
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    z = torch.randn(1, 3, SIZE, SIZE, generator=draw).requires_grad_()
    adam = torch.optim.Adam([z], lr=1.0, betas=(0.5, 0.9))
    for step in range(steps):
        warm = min(WARM_UP, steps // 20)
        late = (step - warm) / (steps - warm)
        adam.param_groups[0]["lr"] = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * late))
        down, right = torch.randint(-ROLL, ROLL + 1, (2,), generator=draw).tolist()
        x = (z * deviation + mean).roll((down, right), (2, 3))
        (z.grad,) = torch.autograd.grad(align(net.features(x, list(align.wanted)), x, None).sum(), z)
        adam.step()
        with torch.no_grad():
            z.clamp_(-mean / deviation, (1 - mean) / deviation)
    return (z * deviation + mean).detach()[0].clamp(0, 1)


def scored(rows: Sequence[tuple[str, Tensor, float]], classes: Sequence[int], out: Path) -> None:
    """Print mean probabilities, robustness, spectrum distance and processor time of pictures, and save their sheet."""
    net, numbers, natural = inputopt.Frozen(inputopt.load("efficientnet-lite0")), torch.tensor(classes), photos(SIZE)
    judges = [inputopt.Frozen(inputopt.load(f"efficientnet-lite{number}")) for number in (1, 2)]
    judges = [net, *judges, load_mobilenet()]
    lines, names = [], [class_name(number)[:22] for number in classes]
    for name, x, seconds in rows:
        with torch.no_grad():
            sure = [float(judge(x).softmax(1).gather(1, numbers[:, None]).mean()) for judge in judges]
        others = [float(robustness(net, x, numbers).mean()), float(spectrum_distance(x, natural).mean())]
        lines.append([name, *(f"{value:.2f}" for value in (*sure, *others)), f"{seconds / len(x):.0f}"])
    print(table(["", "lite0", "lite1", "lite2", "mobilenet", "robust", "spectrum", "processor s"], lines))
    images, captions = torch.cat([x for _, x, _ in rows]), [f"{each}\n{row[0]}" for row in rows for each in names]
    out.parent.mkdir(parents=True, exist_ok=True)
    save_figure(named_sheet(images, (0, 1), captions, "VITAL beside visualize"), out)


def timed(make: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What a function makes, and its processor time in seconds."""
    started = time.process_time()
    made = make()
    return made, time.process_time() - started


def pictures(net: inputopt.Frozen, objective: inputopt.search.Objective, **settings: Any) -> Tensor:
    """What `visualize` makes, [count, 3, SIZE, SIZE]."""
    found = inputopt.visualize(net, objective, SIZE, **settings)
    return torch.stack([picture.x for picture in (found if isinstance(found, list) else [found])])


def on_photos(steps: int, count: int, out: Path) -> None:
    """VITAL with and without relevance, on classes that photos show, and `visualize` on the same."""
    net, natural, known = (
        inputopt.Frozen(inputopt.load("efficientnet-lite0")),
        photos(SIZE),
        dict([*KNOWN.items()][:count]),
    )
    rows = [
        ("photo", natural[list(known.values())], 0.0),
        ("visualize", *timed(lambda: pictures(net, inputopt.Class(list(known))))),
    ]
    for name, relevant in (("VITAL", False), ("VITAL, relevance", True)):

        def make(relevant: bool = relevant) -> Tensor:
            aligned = [
                Alignment(net, crops(natural[which]), LAYERS, number if relevant else None)
                for number, which in known.items()
            ]
            return torch.stack([vital(net, each, steps) for each in aligned])

        rows.append((f"{name}, {steps} steps", *timed(make)))
    scored(rows, list(known), out)


def as_regulariser(count: int, out: Path) -> None:
    """The class logit minus a multiple of the distance to the distributions of six photos."""
    net, natural, classes = inputopt.Frozen(inputopt.load("efficientnet-lite0")), photos(SIZE), DEVELOPMENT[:count]
    rows = [("visualize", *timed(lambda: pictures(net, inputopt.Class(classes))))]
    for layers, weight in ((LAYERS[:3], 10.0), (LAYERS, 10.0)):
        align = Alignment(net, natural, layers, None)
        penalty = inputopt.search.Objective(align, layers=tuple(layers), logits=False)
        objective = inputopt.Class(classes) - weight * penalty
        made = timed(lambda objective=objective: pictures(net, objective, **SCENE))
        rows.append((f"aligned at {len(layers)} layers", *made))
    scored(rows, classes, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=["photos", "regulariser"])
    parser.add_argument("--steps", type=int, default=STEPS, help="of VITAL (%(default)s)")
    parser.add_argument("--count", type=int, default=5, help="number of classes (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/vital"), help="folder for sheets (%(default)s)")
    options = parser.parse_args()
    sheet = options.out / f"{options.section}.png"
    if options.section == "photos":
        on_photos(options.steps, options.count, sheet)
    else:
        as_regulariser(options.count, sheet)
