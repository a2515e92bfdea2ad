"""Figures of searches: the images at several steps with the model's predictions, and the magnified difference."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.files import blank_figure
from inputopt.nets.class_names import name_of_class
from inputopt.nets.class_probabilities import only_class, probabilities
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.picture import Bounds, ends
from inputopt.search.inputs import box_of
from inputopt.search.loop import Snapshot, Watch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

BESIDE = 3
"""Largest number of examples whose three pictures are drawn beside each other."""

CAPTION = 26
"""Characters of a line of a caption; longer ones are wrapped."""


@dataclass(frozen=True)
class FrameRecorder:
    """A watcher that records every image of the example `id`, as `frames` of (step, [C, H, W])."""

    id: int
    frames: list[tuple[int, Tensor]] = field(default_factory=list)

    def __call__(self, snapshot: Snapshot) -> None:
        for position in (snapshot.ids == self.id).nonzero()[:, 0].tolist():
            self.frames.append((snapshot.index, snapshot.x[position].clone()))

    def stops(self, between: int) -> list[tuple[int, Tensor]]:
        """The first frame, up to `between` evenly spaced ones, and the last."""
        places = torch.linspace(0, len(self.frames) - 1, between + 2).round().long()
        return [self.frames[place] for place in dict.fromkeys(places.tolist())]


def watch_all(journeys: Sequence[FrameRecorder]) -> Watch:
    """Combine several journeys into one watcher."""

    def watch(snapshot: Snapshot) -> None:
        for journey in journeys:
            journey(snapshot)

    return watch


SPARSE = 0.2
"""Share of changed pixels below which their number is shown."""


def prediction_text(logits: Tensor, names: Sequence[str] | None = None) -> str:
    """The predicted class of one input and its probability, as text, from the logits [n].

    The class has its name in `names`, that of ImageNet for networks with as many classes, or a number.

    >>> prediction_text(torch.tensor([0.0, 5.0]))
    '1 at 99.3 %'
    >>> prediction_text(torch.tensor([-1.0, 1.0, -1.0]))  # of a model that returns only classes
    '1'
    """
    probability, best = probabilities(logits[None])[0].max(0)
    name = name_of_class(int(best), len(logits), names)
    if only_class(logits):
        return textwrap.fill(name, CAPTION)
    return textwrap.fill(f"{name} at {100 * float(probability):.1f} %", CAPTION)


def grid_shape(count: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a grid of `count` cells: as few rows as `columns` columns need, then as few columns.

    >>> grid_shape(9, 8), grid_shape(5, 8)
    ((2, 5), (1, 5))
    """
    rows = max(1, -(-count // columns))
    return rows, max(1, -(-count // rows))


def add_title(figure: Figure, title: str) -> None:
    """Set the title of a figure, wrapped to its width."""
    lines = [line for part in title.splitlines() for line in textwrap.wrap(part, int(8 * figure.get_figwidth()))]
    figure.suptitle("\n".join(lines), fontsize=11)


def blank_grid(figure: FigureBase, rows: int, columns: int) -> Any:
    """Axes [rows, columns] of a figure, all of them hidden until an image is drawn on them."""
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return grid


def sheet(journeys: Sequence[FrameRecorder], net: Frozen, title: str, between: int = 3) -> Figure:
    """A figure with one row per journey: the first image, `between` intermediate ones, the last, and last minus first.

    A journey of fewer steps than images repeats some. The difference is magnified to the full range. The title of each
    image is the predicted class and its probability.
    """
    stops = [journey.stops(between) for journey in journeys]
    images = max(map(len, stops))
    figure = blank_figure(figsize=(1.7 * (images + 1), 2.0 * len(journeys) + 0.5), layout="constrained")
    add_title(figure, title)
    grid = blank_grid(figure, len(journeys), images + 1)
    for row, frames in zip(grid, stops, strict=True):
        with torch.no_grad():
            logits = net(torch.stack([image for _, image in frames]))
        for axes, place in zip(row, torch.linspace(0, len(frames) - 1, images).round().long().tolist(), strict=False):
            index, image = frames[place]
            show(axes, image, net.bounds, f"step {index}\n{prediction_text(logits[place], net.facts.class_names)}")
        _show_difference(row[-1], frames[-1][1] - frames[0][1], net.bounds)
    return figure


@default_modes()
def pairs_sheet(
    before: Any,
    after: Any,
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    title: str = "Before, after, and the difference",
) -> Figure:
    """A figure of pairs of images: before, after, and the difference magnified to the full range.

    Up to three pairs have a row each, more have a column each. The title of each image is the predicted class and its
    probability; the class is named for networks with ImageNet's 1,000 classes. The title of each difference gives its
    magnification, its L2 norm and its largest element.

    Args:
        before: images [B, C, H, W] in the bounds, such as those that an attack was given, with one channel or three.
        after: images of the same shape, such as `Result.x`; choose up to about ten, `result.x[:8]`.
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        title: title of the figure.

    Returns:
        A matplotlib figure; `figure.savefig("pairs.png")` saves it.

    Raises:
        ValueError, TypeError: not images, images of different shapes, or outside the model's bounds.
    """
    net = frozen(model)
    before, after = (checks.block(what, x).to(net.device) for what, x in (("before", before), ("after", after)))
    if before.ndim != 4 or before.shape[1] not in (1, 3) or 0 in before.shape:
        raise ValueError(
            f"before must be images [B, C, H, W] with one channel or three, not of shape {list(before.shape)}."
        )
    if before.shape != after.shape:
        raise ValueError(f"after must have the shape of before, {list(before.shape)}, not {list(after.shape)}.")
    for x in (before, after):
        box_of(net, x, x.dtype)  # raises outside the bounds
    with torch.no_grad():
        logits_before, logits_after = net(before), net(after)
    names = net.facts.class_names
    figure, grid = triples(len(before), title)
    for number, places in enumerate(grid):
        show(places[0], before[number], net.bounds, prediction_text(logits_before[number], names))
        show(places[1], after[number], net.bounds, prediction_text(logits_after[number], names))
        _show_difference(places[2], after[number] - before[number], net.bounds)
    return figure


def triples(count: int, title: str) -> tuple[Figure, Any]:
    """A figure for three pictures of each of `count` examples, and its axes [count, 3], hidden until drawn on.

    The three are beside each other for up to `BESIDE` examples, and below each other for more.
    """
    beside = count <= BESIDE
    figure = blank_figure(figsize=(6.6, 2.5 * count + 0.5) if beside else (1.7 * count, 6.0), layout="constrained")
    add_title(figure, title)
    return figure, blank_grid(figure, count, 3) if beside else blank_grid(figure, 3, count).T


def _show_difference(axes: Axes, difference: Tensor, bounds: Bounds) -> None:
    most, size = float(difference.abs().max()), float(difference.norm())
    if not most:
        show(axes, torch.full_like(difference, 0.5), (0.0, 1.0), "no difference")
        return
    low, high = ends(difference, bounds)
    parts = difference.detach().cpu() / (high - low)
    factor = 0.5 / max(float(parts.abs().max()), torch.finfo(torch.float32).tiny)
    changed, every = int((difference != 0).any(0).sum()), difference[0].numel()
    count = f"{changed} of {every} pixels\n" if changed < SPARSE * every else ""
    caption = f"difference x {factor:.3g}\n{count}L2 {size:.3g}, max {most:.2g}"
    show(axes, 0.5 + parts * factor, (0.0, 1.0), caption)


def contact_sheet(images: Tensor, net: Frozen, title: str, columns: int = 8) -> Figure:
    """A figure with images [B, C, H, W] in a grid of at most `columns` columns, titled with the predicted class."""
    with torch.no_grad():
        logits = net(images)
    rows, columns = grid_shape(len(images), columns)
    figure = blank_figure(figsize=(1.3 * columns, 1.5 * rows + 0.5), layout="constrained")
    add_title(figure, title)
    grid = blank_grid(figure, rows, columns)
    for axes, image, logit in zip(grid.flat, images, logits, strict=False):
        show(axes, image, net.bounds, prediction_text(logit, net.facts.class_names))
    return figure


def show(axes: Axes, x: Tensor, bounds: Bounds, caption: str) -> None:
    """Draw an image [C, H, W] with a caption above it."""
    low, high = ends(x, bounds)
    values = ((x.detach().cpu() - low) / (high - low)).float().clamp(0, 1).movedim(0, -1).numpy()
    axes.imshow(values[..., 0] if values.shape[-1] == 1 else values, cmap="gray", vmin=0, vmax=1)
    axes.set_title(caption, fontsize=8)


def named_sheet(
    images: Sequence[Tensor] | Tensor,
    bounds: Bounds,
    captions: Sequence[str],
    title: str,
    columns: int = 5,
) -> Figure:
    """A figure with images [C, H, W] of any sizes in a grid of at most `columns` columns, each below its caption."""
    rows, columns = grid_shape(len(images), columns)
    figure = blank_figure(figsize=(2.4 * columns, 2.8 * rows + 0.4), layout="constrained")
    add_title(figure, title)
    grid = blank_grid(figure, rows, columns)
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        show(axes, image, bounds, caption)
    return figure
