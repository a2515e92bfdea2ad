"""An atlas of a layer: what each of its channels looks for, beside what in real photos excites it most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.files import blank_figure
from inputopt.nets.ambient import ambient
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.photo import photo_in_range
from inputopt.pictures.picture import Photo, Picture
from inputopt.pictures.sheet import show
from inputopt.pictures.visualize import check_settings, visualize
from inputopt.search.channel_axes.layout import Layout, channels_second, grid_of, network_geometry
from inputopt.search.objectives.features import Channel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Atlas:
    """What channels of a layer look for.

    Attributes:
        layer: its name.
        channels: which of its channels, n numbers.
        pictures: what excites each, n of them.
        patches: for each channel the squares of photos that excite it most, most first, [n, k, C, S, S].
        strengths: how strong the channel is at the middle of each square, [n, k].
        indexed: which axis of the layer's output the channels are on, in words.
    """

    layer: str
    channels: tuple[int, ...]
    pictures: tuple[Picture, ...]
    patches: Tensor
    strengths: Tensor
    indexed: str = ""

    def sheet(self, columns: int = 4) -> Figure:
        """The channels side by side, each with its photo patches on its right."""
        width = 1 + self.patches.shape[1]
        rows = -(-len(self.channels) // columns)
        figure = blank_figure(figsize=(1.15 * columns * width, 1.35 * rows + 0.4), layout="constrained")
        title = f"{self.layer}: what excites each channel, and the photo patches that excite it most"
        figure.suptitle(f"{title}\n{self.indexed}" if self.indexed else title)
        grid = figure.subplots(rows, columns * width, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for place, (channel, picture) in enumerate(zip(self.channels, self.pictures, strict=True)):
            row, column = divmod(place, columns)
            show(grid[row, column * width], picture.x, picture.bounds, f"channel {channel}")
            for rank, (patch, strength) in enumerate(zip(self.patches[place], self.strengths[place], strict=True)):
                show(grid[row, column * width + 1 + rank], patch, picture.bounds, f"{float(strength):.2g}")
        return figure


@ambient()
def atlas(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    layer: str,
    photos: Sequence[Photo],
    channels: Sequence[int],
    size: int = 128,
    steps: int = 128,
    seed: int = 0,
    *,
    top: int = 3,
    patch: int = 64,
    axis: int | None = None,
    **settings: Any,
) -> Atlas:
    """Show what channels of a layer look for, and where in photos they find it.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        layer: a module's name, whose output has places that cover the image: [B, C, H, W], [B, H, W, C], or tokens
            [B, N, C] in rows, with or without class tokens, which are left out.
        photos: numbers [C, H, W] in the bounds, Pillow images, paths or arrays of uint8; of any sizes that the model
            takes.
        channels: which.
        size, steps, seed: of the pictures, as for `visualize`.
        top: how many patches for each channel, each from another photo.
        patch: their side.
        axis: which axis of the layer's output [B, ...] holds its channels; found where it is not given.
        settings: what else `visualize` takes.

    Raises:
        ValueError, TypeError: an unknown layer or channel, or numbers or photos that make no sense.
        FileError: a photo cannot be read.
    """
    net = frozen(model)
    numbers = [checks.whole("channel", channel, least=0) for channel in channels]
    if not len(photos) or not numbers:
        raise ValueError("An atlas needs at least one photo and one channel.")
    checks.whole("patch", patch)
    checks.whole("top", top)
    objective = Channel(layer, numbers, axis=axis)
    check_settings(net, objective, size, steps, seed, **settings)
    images = [photo_in_range(net, photo) for photo in photos]
    patches, strengths = strongest(net, layer, images, numbers, min(top, len(images)), patch, axis)
    made = visualize(net, objective, size, steps, seed, **settings)
    pictures = tuple(made) if isinstance(made, list) else (made,)
    return Atlas(layer, tuple(numbers), pictures, patches, strengths, pictures[0].recipe["channels"][layer])


def strongest(
    net: Frozen,
    layer: str,
    images: Sequence[Tensor],
    channels: Sequence[int],
    top: int,
    side: int,
    axis: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The squares of images [1, C, H, W] that excite each channel most, [n, top, C, S, S], and how much, [n, top].

    At most one square an image: about the place where the channel is strongest, moved inside where it would stick out.

    Raises:
        ValueError: a layer whose places are no grid over the images, a channel that there is not, or activations that
            are no numbers.
    """
    found, values = [], []
    layouts: dict[tuple[int, ...], Layout] = {}
    for image in images:
        shape = tuple(image.shape)
        with torch.no_grad():
            if shape not in layouts:
                layouts[shape] = network_geometry(net, image, [layer]).layout(layer, axis)
            output = net.features(image, [layer])[layer]
        seen = _on_grid(checks.finite(f"what {layer} puts out", output), image, layouts[shape])
        if max(channels) >= seen.shape[1]:
            raise ValueError(f"channel must be at most {seen.shape[1] - 1} in {layer}, not {max(channels)}.")
        strength, place = seen[0, list(channels)].flatten(1).max(1)
        found.append(_squares(image, place // seen.shape[3], place % seen.shape[3], seen.shape[2:], side))
        values.append(strength)
    strengths, order = torch.stack(values, dim=1).topk(top, dim=1)
    rows = torch.arange(len(channels), device=order.device)[:, None]
    return torch.stack(found, dim=1)[rows, order], strengths


def _on_grid(seen: Tensor, image: Tensor, layout: Layout) -> Tensor:
    """A layer's output as [1, C, rows, columns] over the image.

    Raises:
        ValueError: its places are no grid over the image.
    """
    seen = channels_second(seen, layout.layer, layout.axis)
    if seen.ndim == 4:
        return seen
    if seen.ndim == 3:
        own = seen[:, :, layout.before : seen.shape[2] - layout.after]
        grid = grid_of(own.shape[2], *image.shape[2:])
        if grid is not None:
            return own.reshape(*own.shape[:2], *grid)
    places = " x ".join(map(str, layout.places)) or "no"
    raise ValueError(
        f"{layout.layer} has {places} places for an image of {image.shape[2]} x {image.shape[3]}, and they are no grid "
        "over it; choose a layer that has one."
    )


def _squares(image: Tensor, down: Tensor, across: Tensor, grid: Sequence[int], side: int) -> Tensor:
    """The square about each place of a grid over the image, [n, C, side, side]."""
    height, width = image.shape[2:]
    if min(height, width) < side:  # too small a photo to cut from: enlarge it
        factor = side / min(height, width)
        size = [max(side, round(length * factor)) for length in (height, width)]
        image = functional.interpolate(image, size, mode="bilinear", antialias=True)
        height, width = image.shape[2:]
    tops = ((down + 0.5) * height / grid[0] - side / 2).round().long().clamp(0, height - side)
    lefts = ((across + 0.5) * width / grid[1] - side / 2).round().long().clamp(0, width - side)
    along = torch.arange(side, device=image.device)
    rows, columns = tops[:, None, None] + along[:, None], lefts[:, None, None] + along
    return image[0][:, rows, columns].movedim(0, 1)
