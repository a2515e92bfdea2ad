"""Images, magnified differences and class probabilities as HTML, each with a text for screen readers."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from inputopt.pictures.picture import Bounds, to_image

PIXELS = 64
"""Images up to this side are shown with square pixels; larger ones are smoothed by the browser."""

MOST_BARS = 10


@dataclass(frozen=True)
class View:
    """One image with its caption; the caption is also its alternative text."""

    image: Image.Image
    caption: str


def show_images(views: Sequence[View]) -> str:
    """Images side by side, each with its caption; on a phone photos are below each other, to be seen at all."""
    kind = "" if all(max(view.image.size) <= PIXELS for view in views) else " io-photos"
    return f'<div class="io-images{kind}">{"".join(map(_figure, views))}</div>'


def _figure(view: View) -> str:
    kind = ' class="io-pixels"' if max(view.image.size) <= PIXELS else ""
    caption = escape(view.caption)
    address = data_address(view.image, lossless=max(view.image.size) <= PIXELS)
    return f'<figure><img{kind} src="{address}" alt="{caption}"/><figcaption>{caption}</figcaption></figure>'


def data_address(image: Image.Image, lossless: bool = True) -> str:
    """An image as a data address: PNG, or for photos while they change JPEG, which is encoded faster."""
    data = io.BytesIO()
    if lossless:
        image.save(data, "PNG")
    else:
        image.save(data, "JPEG", quality=90)
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{base64.b64encode(data.getvalue()).decode()}"


def png_bytes(image: Image.Image, recipe: Mapping[str, Any] | None = None) -> bytes:
    """A PNG file, with a recipe in its metadata as in `Picture.save`."""
    text, data = PngImagePlugin.PngInfo(), io.BytesIO()
    if recipe is not None:
        text.add_itxt("inputopt", json.dumps(dict(recipe)))
    image.save(data, "PNG", pnginfo=text)
    return data.getvalue()


def download(name: str, data: bytes, text: str) -> str:
    """A link that saves a PNG file; it is part of the page, so no file is left on the server."""
    address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<a class="io-download" download="{escape(name)}" href="{address}">{escape(text)}</a>'


def difference(x: Tensor, x0: Tensor, bounds: Bounds) -> tuple[Image.Image, float]:
    """The change x - x0 [C, H, W] on grey, magnified to the full range; and by which factor."""
    low, high = (torch.as_tensor(end, dtype=x.dtype) for end in bounds)
    change = (x - x0) / (high - low).reshape(-1, 1, 1)
    largest = float(change.abs().max())
    factor = 1 / largest if largest > 0 else 1.0
    return to_image(0.5 + 0.5 * factor * change), factor


def show_probabilities(names: Sequence[str], images: Mapping[str, Tensor]) -> str:
    """A table of the class probabilities [n] of one or two images, with bars; only the largest if n is large.

    Args:
        names: names of the classes.
        images: probabilities [n] by what the image is; the order of many classes is that of the last image.
    """
    columns = list(images.values())
    shown = list(range(len(names)))
    if len(names) > MOST_BARS:
        largest = torch.stack(columns).amax(0).argsort(descending=True)[: MOST_BARS // 2]
        shown = sorted(map(int, largest), key=lambda place: -float(columns[-1][place]))
    heads = "".join(
        f"<th scope='col'><span><i class='io-bar io-bar{number}'></i>{escape(what)}</span></th>"
        for number, what in enumerate(images)
    )
    rows = "".join(_bars(names[place], [100 * float(column[place]) for column in columns]) for place in shown)
    return (
        "<table class='io-table io-bars'><caption>Class probabilities</caption>"
        f"<thead><tr><th scope='col'>class</th><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _bars(name: str, percents: Sequence[float]) -> str:
    """The row of a class: a bar and a number for each image."""
    bars = "".join(
        f"<div class='io-bar io-bar{number}' style='width:{percent:.1f}%'></div>"
        for number, percent in enumerate(percents)
    )
    numbers = "".join(f"<td>{percent:.1f} %</td>" for percent in percents)
    return f"<tr><th scope='row'>{escape(name)}</th><td class='io-plot' aria-hidden='true'>{bars}</td>{numbers}</tr>"
