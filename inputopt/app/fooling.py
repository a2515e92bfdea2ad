"""The searches of the Fool tab: settings, the search, the 8-bit image that still fools, and the code to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from inputopt import checks
from inputopt.app.image_views import png_bytes
from inputopt.app.uploads import as_digit, decode
from inputopt.attacks import PGD, MinimalNorm
from inputopt.nets.frozen import Frozen
from inputopt.pictures.ascend import ascend
from inputopt.pictures.fool import fool
from inputopt.pictures.picture import read_photo, to_image
from inputopt.search.norms import NormName
from inputopt.search.result import Result
from inputopt.zoo.imagenet import TRAINED_AT, class_names
from inputopt.zoo.imagenet_photo import imagenet_input
from inputopt.zoo.library import load

DIGITS = ("digits-mlp", "digits-cnn", "digits-cnn-robust")
PHOTOS = ("efficientnet-lite0",)
MODES = {
    "within": "Within a distance (PGD)",
    "nearest": "Nearest misclassified image",
    "static": "From static, towards a class",
    "ascend": "Ascend until unrecognised",
}
NORMS: dict[NormName, str] = {
    "linf": "linf: largest change of a pixel",
    "l2": "l2: Euclidean length of the change",
    "l1": "l1: sum of the changes",
    "l0": "l0: number of changed values",
}
DISTANCES = {
    DIGITS: {"linf": (0.5, 0.15), "l2": (6.0, 2.0), "l1": (60.0, 15.0), "l0": (200.0, 30.0)},
    PHOTOS: {"linf": (0.1, 0.016), "l2": (20.0, 2.0), "l1": (4000.0, 400.0), "l0": (5000.0, 500.0)},
}
"""Per group of networks and norm: largest and default distance."""

MOST_STEPS = 2_000
STRETCHES = (1.0, 1.01, 1.02, 1.05, 1.1, 1.2, 1.4, 1.7, 2.0)
"""Factors by which a change is enlarged until its rounding to 8 bits is misclassified too."""


@dataclass(frozen=True)
class FoolSettings:
    """What the user chose.

    Attributes:
        network: name of the network.
        mode: a key of `MODES`.
        norm, eps: of "within"; the norm also of "nearest".
        target: the wanted class; None for any wrong one.
        steps: number of steps; for "nearest" the number of forward and backward passes.
        seed: random seed.
        keep_going: for "within", whether to go on after the first success, up to the last step.

    Raises:
        ValueError, TypeError: an unknown name, or a number out of range.
    """

    network: str
    mode: str = "within"
    norm: NormName = "linf"
    eps: float = 0.15
    target: int | None = None
    steps: int = 100
    seed: int = 0
    keep_going: bool = True

    def __post_init__(self) -> None:
        checks.one_of("network", self.network, (*DIGITS, *PHOTOS))
        checks.one_of("mode", self.mode, MODES)
        if checks.whole("steps", self.steps) > MOST_STEPS:
            raise ValueError(f"Give at most {MOST_STEPS:,} steps, not {self.steps:,}.")
        checks.seed(self.seed)
        if self.mode == "static" and self.target is None:
            raise ValueError("Choose a target class: a search from static needs a class to go to.")

    def attack(self) -> PGD | MinimalNorm:
        """The attack of the modes "within" and "nearest"; both search images that a PNG file can hold."""
        if self.mode == "nearest":
            return MinimalNorm(self.norm, queries=self.steps, levels=256)
        return PGD(self.norm, self.eps, steps=self.steps, levels=256, stop_on_success=not self.keep_going)


def load_frozen(network: str) -> Frozen:
    """Load a network, frozen.

    Raises:
        ModuleNotFoundError: its extra is not installed.
    """
    return Frozen(load(checks.one_of("network", network, (*DIGITS, *PHOTOS))))


def classes(network: str) -> tuple[str, ...]:
    """Names of the classes of a network.

    Raises:
        ModuleNotFoundError: the names of ImageNet's classes are not installed.
    """
    return tuple(map(str, range(10))) if network in DIGITS else class_names()


def prepared(network: str, image: Image.Image) -> Tensor:
    """An image as the network takes it, [1, C, H, W] in [0, 1] on 256 levels; one of its size is kept as it is."""
    if network in DIGITS:
        return read_photo(as_digit(image), 1)[None]
    side = TRAINED_AT[network]
    return read_photo(image, 3)[None] if image.size == (side, side) else imagenet_input(image, network)


def image_shape(network: str) -> tuple[int, int, int]:
    """Shape (C, H, W) of an input of the network."""
    return (1, 28, 28) if network in DIGITS else (3, TRAINED_AT[network], TRAINED_AT[network])


def search(net: Frozen, settings: FoolSettings, x: Tensor, watch: Callable[[Any], None]) -> Result:
    """Run the search from the image x [1, C, H, W]; from static, x is not used.

    Raises:
        ValueError: the target is the class that the image has already.
    """
    if settings.mode == "static":
        assert settings.target is not None  # checked by FoolSettings
        return fool(net, settings.target, tuple(x.shape[1:]), 1, settings.seed, steps=settings.steps, watch=watch)
    label = int(net(x).argmax(1))
    if settings.target == label and settings.mode != "ascend":
        raise ValueError("The network gives this image the target class already; choose another target.")
    if settings.mode == "ascend":
        return ascend(net, x, [label], steps=settings.steps, watch=watch)
    return settings.attack()(net, x, [label], target=settings.target, seed=settings.seed, watch=watch)


@dataclass(frozen=True)
class Fooled:
    """The end of a search: the PNG file and what the network makes of it when it is read again.

    Attributes:
        png: the bytes of the file.
        x: the image as it is read from the file, [1, C, H, W].
        logits: its logits, [n].
        fools: whether it is misclassified, or has the target class.
        stretch: the factor by which the change was enlarged so that it still fools after rounding to 8 bits.
    """

    png: bytes
    x: Tensor
    logits: Tensor
    fools: bool
    stretch: float


@torch.no_grad()
def saved(net: Frozen, settings: FoolSettings, x0: Tensor, result: Result) -> Fooled:
    """Save the result as a PNG file, read it again, and look whether it still fools the network.

    "ascend" stops at the first misclassified image, which rounding may undo: the change is then enlarged a little.

    Args:
        net, settings: as for `search`.
        x0: the image that the search began with, [1, C, H, W].
        result: what it found.
    """
    label = int(result.label[0])
    found = None
    for stretch in STRETCHES if settings.mode == "ascend" and bool(result.success[0]) else STRETCHES[:1]:
        x = (x0 + stretch * (result.x - x0)).clamp(0, 1)
        png = png_bytes(to_image(x[0]))
        again = read_photo(decode(png), x.shape[1])[None]
        logits = net(again)[0]
        prediction = int(logits.argmax())
        wanted = None if settings.mode == "ascend" else settings.target
        fools = prediction != label if wanted is None else prediction == wanted
        found = Fooled(png, again, logits, fools, stretch)
        if fools:
            break
    assert found is not None
    return found


def code(settings: FoolSettings, fooled: Fooled, label: int) -> str:
    """Python code that makes the PNG file again, from `input.png` in the working folder."""
    grey = settings.network in DIGITS
    lines: Sequence[str] = (
        "import inputopt",
        "",
        f'net = inputopt.Frozen(inputopt.load("{settings.network}"))',
    )
    reading = f'x = inputopt.read_photo("input.png", channels={1 if grey else 3})[None]'
    image = "result.x[0]"
    if settings.mode == "static":
        shape = image_shape(settings.network)
        body = [
            f"result = inputopt.fool(net, {settings.target}, {shape}, count=1, seed={settings.seed}, "
            f"steps={settings.steps})"
        ]
    elif settings.mode == "ascend":
        body = [reading, f"result = inputopt.ascend(net, x, [{label}], steps={settings.steps})"]
        if fooled.stretch != 1:
            image = f"(x + {fooled.stretch} * (result.x - x)).clamp(0, 1)[0]  # still fools after rounding to 8 bits"
    else:
        body = [reading, f"attack = inputopt.attacks.{_call(settings)}"]
        body += [f"result = attack(net, x, [{label}], target={settings.target}, seed={settings.seed})"]
    image, _, note = image.partition("  # ")
    end = f'inputopt.Picture({image}).save("adversarial.png")' + (f"  # {note}" if note else "")
    return "\n".join([*lines, *body, end, ""])


def _call(settings: FoolSettings) -> str:
    if settings.mode == "nearest":
        return f'MinimalNorm("{settings.norm}", queries={settings.steps}, levels=256)'
    goes_on = ", stop_on_success=False" if settings.keep_going else ""
    return f'PGD("{settings.norm}", eps={settings.eps!r}, steps={settings.steps}, levels=256{goes_on})'
