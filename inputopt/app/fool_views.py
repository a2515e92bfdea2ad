"""What the Fool tab shows of a search: the images, the class probabilities, and the result in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inputopt.app.chosen_image import Chosen
from inputopt.app.fooling import Fooled, FoolSettings, classes, prepared
from inputopt.app.image_views import View, difference, show_images, show_probabilities
from inputopt.app.live_search import Ended
from inputopt.app.messages import said
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.frozen import Frozen
from inputopt.pictures.picture import to_image
from inputopt.search.result import Result


@dataclass(frozen=True)
class Shown:
    """What the views of one search have in common.

    Attributes:
        names: names of the classes.
        name: what the image is that the search begins with, in one word.
        source: where that image comes from, in words; empty if nowhere.
        x0: that image, [1, C, H, W].
        before: its class probabilities, [n].
    """

    names: tuple[str, ...]
    name: str
    source: str
    x0: Tensor
    before: Tensor

    def input_alone(self) -> str:
        """The image that the search begins with, and its class probabilities."""
        return show_images([self._input()]) + show_probabilities(self.names, {self.name: self.before})

    def views(self, x: Tensor, now: Tensor, what: str) -> str:
        """The views at an image x [1, C, H, W] that is called `what`, with class probabilities `now` [n]."""
        change, factor = difference(x[0], self.x0[0], (0.0, 1.0))
        images = [
            self._input(),
            View(to_image(x[0]), f"{what}: {self.top(now)}"),
            View(change, f"Difference, magnified {factor:.3g} times" if factor != 1 else "Difference: none"),
        ]
        return show_images(images) + show_probabilities(self.names, {self.name: self.before, what: now})

    def top(self, probabilities: Tensor) -> str:
        """The class with the highest probability."""
        return f"{self.names[int(probabilities.argmax())]} ({100 * float(probabilities.max()):.1f}\u00a0%)"

    def _input(self) -> View:
        source = f", {self.source}" if self.source else ""
        return View(to_image(self.x0[0]), f"{self.name}{source}: {self.top(self.before)}")


class LiveView:
    """Makes the views of a step; from static, the first step's image is the start."""

    def __init__(self, shown: Shown, settings: FoolSettings, net: Frozen) -> None:
        self.shown, self._net, self._static = shown, net, settings.mode == "static"

    def __call__(self, step: Any) -> str:
        if self._static:
            self.shown, self._static = _shown(self._net, self.shown.names, "Static", "", step.x[:1].clone()), False
        return self.shown.views(step.x[:1], probabilities(step.outputs[:1])[0], "Changed image")


def shown_input(net: Frozen, network: str, chosen: Chosen) -> Shown:
    """What the views of a search from an image have in common."""
    return _shown(net, classes(network), "Input", chosen.source, prepared(network, chosen.image))


@torch.no_grad()
def _shown(net: Frozen, names: tuple[str, ...], name: str, source: str, x: Tensor) -> Shown:
    return Shown(names, name, source, x, probabilities(net(x))[0])


def views_of(net: Frozen, network: str, chosen: Chosen) -> tuple[str, str]:
    """What the network makes of an image: a sentence, and the image with the class probabilities."""
    shown = shown_input(net, network, chosen)
    text = (
        f"The network predicts {shown.top(shown.before)} for {chosen.source}. Press Start to fool it with this image."
    )
    return said(text), shown.input_alone()


def result_views(shown: Shown, fooled: Fooled) -> str:
    """The views of the result as it is read back from its file."""
    what = "Adversarial image" if fooled.fools else "Changed image"
    return shown.views(fooled.x, probabilities(fooled.logits[None])[0], what)


def result_text(settings: FoolSettings, shown: Shown, fooled: Fooled, end: Ended) -> str:
    """What the search found, in words."""
    result: Result = end.result
    norm = settings.norm if settings.mode in ("within", "nearest") else "l2"
    passes = f"{int(result.forwards[0]):,} forward and {int(result.backwards[0]):,} backward passes."
    distance = f"{norm} distance {float(result.distance[0]):.3f}, {passes}"
    now, before = shown.top(probabilities(fooled.logits[None])[0]), shown.top(shown.before)
    if fooled.fools:
        check = "The PNG was read back and still fools the network."
        return f"{'Stopped. ' if end.stopped else ''}Fooled: {before} became {now}; {distance} {check}"
    if bool(result.success[0]):
        return f"Fooled, but rounding to 8 bits undid it, so the PNG does not fool the network; {distance}"
    more = {"within": "a larger distance or more steps", "nearest": "more passes"}.get(settings.mode, "more steps")
    what = "Stopped before it was fooled" if end.stopped else f"Not fooled: allow {more}"
    return f"{what}; the network predicts {now}; {passes}"
