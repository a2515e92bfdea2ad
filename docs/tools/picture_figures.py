"""The figure of the page "Pictures": one photo and one network, by each of the calls that the page shows."""

from __future__ import annotations

from pathlib import Path

import inputopt
from inputopt.pictures.picture import read_photo
from skimage import data

from charts import chart


def make(folder: Path) -> None:
    """Draw the figure; a fraction of the default steps, since the page is built often."""
    net = inputopt.load("efficientnet-lite0")
    photo = data.chelsea()[20:212, 90:282]
    shown = {
        "photo": read_photo(photo),
        'dream, "blocks.5"': inputopt.dream(net, photo, ["blocks.5"], octaves=3, steps=8).x,
        'invert, "blocks.5"': inputopt.invert(net, photo, ["blocks.5"], steps=64).x,
        'accentuate, "blocks.8"': inputopt.accentuate(net, photo, ["blocks.8"], steps=48).x,
        'Channel("blocks.5", 12)': inputopt.visualize(net, inputopt.Channel("blocks.5", 12), size=128, steps=96).x,
    }
    with chart(folder, "pictures", 10, 2.4) as figure:
        for axes, (caption, x) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
            axes.imshow(x.movedim(0, -1).clamp(0, 1).numpy())
            axes.set_axis_off()
            axes.set_title(caption, fontsize=9)
