"""Charts as SVG that follow the page's theme: text and axes take the page's colour, in light and in dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

INK = "#123456"
"""Stands for the page's text colour, which an inline SVG knows only as `currentColor`."""
BLUE, ORANGE, GREEN, PURPLE, GREY = "#3b82c4", "#d9822b", "#3a9d5d", "#9467bd", "#888888"
STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, PURPLE, GREY]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "font.size": 10,
    "legend.frameon": False,
    "svg.hashsalt": "inputopt",  # the same bytes every time
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def chart(folder: Path, name: str, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, written to `folder` as NAME.svg when it has been drawn."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
