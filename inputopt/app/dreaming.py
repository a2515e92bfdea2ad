"""The searches of the Dream tab: layers and channels to choose from, pictures of channels, and the dream itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from inputopt import checks
from inputopt.app.fooling import DIGITS, PHOTOS, image_shape
from inputopt.app.uploads import as_digit
from inputopt.nets.frozen import Frozen
from inputopt.pictures.dream import dream, intermediate_dream
from inputopt.pictures.dream_settings import ON_TINY
from inputopt.pictures.picture import Picture, to_image
from inputopt.pictures.visualize import visualize
from inputopt.search.loop import Snapshot
from inputopt.search.objectives.features import Channel
from inputopt.zoo.library import load

MOST_SIDE = 400
"""Larger photos are scaled down to this longer side, in pixels, so that the preview stays live."""

PER_PAGE = 8
"""Channels visualised at a time."""

LAYERS = re.compile(r"stem|blocks\.\d+|conv\d+|layers\.\d+")
"""Names of the layers that are offered."""

PHOTO_LAYERS = ("stem", *(f"blocks.{number}" for number in range(16)))
"""The layers of EfficientNet-Lite0, known before it is loaded."""

FIRST_LAYER = dict.fromkeys(PHOTOS, "blocks.5") | dict.fromkeys(DIGITS, "conv2") | {"digits-mlp": "layers.0"}


@dataclass(frozen=True)
class DreamSettings:
    """What the user chose.

    Attributes:
        network, layer: names of the network and of one of its layers.
        channel: the channel to amplify; None for the whole layer.
        octaves: number of image sizes.
        steps: steps per octave.
        step_size: mean change of a pixel per step, as a fraction of the range.
        seed: random seed.

    Raises:
        ValueError, TypeError: a number out of range.
    """

    network: str
    layer: str
    channel: int | None = None
    octaves: int = 3
    steps: int = 10
    step_size: float = 0.015
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("network", self.network, (*PHOTOS, *DIGITS))
        for what, value, most in (("octaves", self.octaves, 8), ("steps", self.steps, 200)):
            if checks.whole(what, value) > most:
                raise ValueError(f"Give at most {most} {what}, not {value}.")
        checks.positive("step size", self.step_size)
        checks.seed(self.seed)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `dream`; digits have the number of octaves of tiny images, one."""
        octaves = ON_TINY.octaves if self.network in DIGITS else self.octaves
        channel = {} if self.channel is None else {"channels": self.channel}
        every = {"octaves": octaves, "steps": self.steps, "step_size": self.step_size, "seed": self.seed}
        return channel | every

    @property
    def all_steps(self) -> int:
        """Number of steps that the watch function sees."""
        return int(self.options["octaves"]) * (self.steps + 1)


def dream_network(network: str) -> Frozen:
    """The network to dream with."""
    return Frozen(load(checks.one_of("network", network, (*PHOTOS, *DIGITS))))


def layers_of(net: Frozen, network: str) -> dict[str, int]:
    """The layers that are offered, with their numbers of channels."""
    x = torch.rand(2, *image_shape(network), generator=torch.Generator().manual_seed(0))
    return {
        layer.name: layer.shapes[0][0]
        for layer in net.layers(x)
        if LAYERS.fullmatch(layer.name) and layer.shapes and layer.shapes[0] is not None
    }


def prepared_photo(network: str, image: Image.Image) -> Image.Image:
    """A photo as it is dreamt on: at most `MOST_SIDE` pixels long, or a digit of 28 x 28 pixels."""
    if network in DIGITS:
        return as_digit(image)
    photo = image.convert("RGB")
    photo.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    return photo


def page_of(channels: int, page: int) -> range:
    """The channels of a page of the atlas; pages start again after the last.

    >>> page_of(20, 0), page_of(20, 2), page_of(20, 3)
    (range(0, 8), range(16, 20), range(0, 8))
    """
    first = page % -(-channels // PER_PAGE) * PER_PAGE
    return range(first, min(first + PER_PAGE, channels))


def channel_pictures(
    net: Frozen, network: str, layer: str, channels: range, watch: Callable[[Any], None]
) -> list[Image.Image]:
    """Small feature visualisations of channels of a layer, one image per channel."""
    digits = network in DIGITS
    made = visualize(
        net,
        Channel(layer, list(channels)),
        28 if digits else 80,
        64 if digits else 40,
        colours=1 if digits else 3,
        watch=watch,
    )
    return [to_image(picture.x, picture.bounds) for picture in (made if isinstance(made, list) else [made])]


def run_dream(net: Frozen, settings: DreamSettings, photo: Image.Image, watch: Callable[[Any], None]) -> Picture:
    """Dream on a photo from `prepared_photo`."""
    return dream(net, photo, [settings.layer], **settings.options, watch=watch)


def preview(net: Frozen, photo: Image.Image, step: Snapshot) -> Image.Image:
    """The dream so far, at the photo's size."""
    picture = intermediate_dream(net, photo, step.x)
    return to_image(picture.x, picture.bounds)


def code(settings: DreamSettings) -> str:
    """Python code that makes the dream again, from `photo.png` in the working folder."""
    options = ", ".join(f"{name}={value!r}" for name, value in settings.options.items())
    lines = ["import inputopt", "", f'net = inputopt.load("{settings.network}")']
    lines.append(f'picture = inputopt.dream(net, "photo.png", ["{settings.layer}"], {options})')
    return "\n".join([*lines, 'picture.save("dream.png")', ""])
