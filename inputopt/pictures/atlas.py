"""Atlas of a layer: feature visualisations of its channels beside the photo patches that activate them most."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.files import blank_figure
from inputopt.images import thumbnail
from inputopt.nets.default_modes import default_modes
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.photo import photo_in_range
from inputopt.pictures.picture import Photo, Picture
from inputopt.pictures.sheet import blank_grid, grid_shape, show
from inputopt.pictures.visualize import check_settings, visualize
from inputopt.search.channel_axes.layout import Layout, channels_second, grid_of, network_geometry
from inputopt.search.objectives.features import Channel
from inputopt.summaries import Summarised, Summary, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Atlas(Summarised):
    """Feature visualisations and top photo patches of channels of a layer.

    Attributes:
        layer: name of the layer.
        channels: indices of the n channels.
        pictures: the feature visualisation of each channel, n of them.
        patches: for each channel the photo patches with the highest activation, highest first, [n, k, C, S, S].
        strengths: the channel's activation at the centre of each patch, [n, k].
        indexed: text that says which axis of the layer's output holds the channels.
    """

    layer: str
    channels: tuple[int, ...]
    pictures: tuple[Picture, ...]
    patches: Tensor
    strengths: Tensor
    indexed: str = ""

    def sheet(self, columns: int = 3) -> Figure:
        """A figure with at most `columns` channels per row, each with its photo patches to its right."""
        width = 1 + self.patches.shape[1]
        rows, columns = grid_shape(len(self.channels), columns)
        inches = max(7.0, 1.3 * columns * width)
        figure = blank_figure(figsize=(inches, 1.6 * rows + 1.1), layout="constrained")
        figure.suptitle(f"Atlas of {self.layer}", fontsize=11)
        explained = "\n".join(textwrap.wrap(" ".join([SHEET_TEXT, *self._indexed_sentence()]), int(13 * inches)))
        figure.supxlabel(explained, fontsize=8)
        for place, block in enumerate(_blocks(figure, rows, columns)[: len(self.channels)]):
            picture = self.pictures[place]
            first, *others = blank_grid(block, 1, width)[0]
            show(first, picture.x, picture.bounds, f"channel {self.channels[place]}")
            for axes, patch, strength in zip(others, self.patches[place], self.strengths[place], strict=True):
                show(axes, patch, picture.bounds, f"{float(strength):.3g}")
        return figure

    def _indexed_sentence(self) -> list[str]:
        return [f"The layer has {self.indexed}."] if self.indexed else []

    def _summary(self, images: bool) -> Summary:
        count, top = self.strengths.shape
        facts = [("layer", self.layer), ("", f"{count} channels"), ("", f"{top} photo patches each")]
        rows = [
            [str(channel), ", ".join(f"{strength:.3g}" for strength in strengths)]
            for channel, strengths in zip(self.channels, self.strengths.tolist(), strict=True)
        ]
        shown = zip(self.channels, self.pictures, strict=True) if images else ()
        thumbnails = [(thumbnail(picture.x, picture.bounds), f"channel {channel}") for channel, picture in shown]
        tables = [Table(["channel", "activations of its patches"], rows)]
        return Summary("Atlas", facts, tables=tables, images=thumbnails)


DEFAULT_CHANNELS = 12
"""Number of channels if none are given."""

SHEET_TEXT = (
    "Left in each group: the image that maximises the channel's mean activation. Right of it: the photo patches with "
    "the channel's highest activations; the number above a patch is the activation at its centre."
)


def _blocks(figure: Figure, rows: int, columns: int) -> list[Any]:
    """Subfigures in a grid, row by row, with space between the columns."""
    return list(np.ravel(figure.subfigures(rows, columns, squeeze=False, wspace=0.05)))


@default_modes()
def atlas(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    layer: str,
    photos: Sequence[Photo],
    channels: Sequence[int] | None = None,
    size: int = 128,
    steps: int = 128,
    seed: int = 0,
    *,
    top: int = 3,
    patch: int = 64,
    axis: int | None = None,
    **settings: Any,
) -> Atlas:
    """Visualise channels of a layer, and find the photo patches that activate them most.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        layer: name of a module whose output is a spatial grid over the image: [B, C, H, W], [B, H, W, C], or tokens
            [B, N, C] in row-major order; class tokens are left out.
        photos: tensors [C, H, W] in the bounds, Pillow images, paths or uint8 arrays; any sizes that the model accepts.
        channels: channel indices; default: 12 that are spread evenly over the layer's.
        size, steps, seed: of the feature visualisations, as for `visualize`.
        top: number of patches per channel, each from a different photo.
        patch: side of a patch in pixels.
        axis: which axis of the layer's output [B, ...] holds its channels; detected if not given.
        settings: further arguments of `visualize`.

    Raises:
        ValueError, TypeError: an unknown layer or channel, or invalid settings or photos.
        FileError: a photo cannot be read.
    """
    net = frozen(model)
    indices = [checks.whole("channel", channel, least=0) for channel in ([0] if channels is None else channels)]
    if not len(photos) or not indices:
        raise ValueError("An atlas needs at least one photo and one channel.")
    checks.whole("patch", patch)
    checks.whole("top", top)
    check_settings(net, Channel(layer, indices, axis=axis), size, steps, seed, **settings)
    images = [photo_in_range(net, photo) for photo in photos]
    if channels is None:
        indices = spread_channels(net, layer, images[0], axis)
    objective = Channel(layer, indices, axis=axis)
    patches, strengths = strongest(net, layer, images, indices, min(top, len(images)), patch, axis)
    visualised = visualize(net, objective, size, steps, seed, **settings)
    pictures = tuple(visualised) if isinstance(visualised, list) else (visualised,)
    return Atlas(layer, tuple(indices), pictures, patches, strengths, pictures[0].recipe["channels"][layer])


def spread_channels(net: Frozen, layer: str, image: Tensor, axis: int | None = None) -> list[int]:
    """`DEFAULT_CHANNELS` channels spread evenly over those of a layer, found by running the network on one image."""
    geometry = network_geometry(net, image, [layer])
    count = geometry.shapes[layer][geometry.layout(layer, axis).axis]
    return sorted({place * count // DEFAULT_CHANNELS for place in range(DEFAULT_CHANNELS)})


def strongest(
    net: Frozen,
    layer: str,
    images: Sequence[Tensor],
    channels: Sequence[int],
    top: int,
    side: int,
    axis: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The patches of images [1, C, H, W] that activate each channel most.

    Each image contributes at most one patch per channel, centred on the channel's highest activation and shifted to lie
    inside the image.

    Returns:
        The patches [n, top, C, S, S] and their activations [n, top], highest first.

    Raises:
        ValueError: the layer's positions form no grid over the images, a channel does not exist, or activations are NaN
            or infinite.
    """
    crops, values = [], []
    layouts: dict[tuple[int, ...], Layout] = {}
    for image in images:
        shape = tuple(image.shape)
        with torch.no_grad():
            if shape not in layouts:
                layouts[shape] = network_geometry(net, image, [layer]).layout(layer, axis)
            output = net.features(image, [layer])[layer]
        features = _on_grid(checks.finite(f"the output of {layer}", output), image, layouts[shape])
        if max(channels) >= features.shape[1]:
            raise ValueError(f"channel must be at most {features.shape[1] - 1} in {layer}, not {max(channels)}.")
        strength, position = features[0, list(channels)].flatten(1).max(1)
        crops.append(
            _patches_at(image, position // features.shape[3], position % features.shape[3], features.shape[2:], side)
        )
        values.append(strength)
    strengths, order = torch.stack(values, dim=1).topk(top, dim=1)
    rows = torch.arange(len(channels), device=order.device)[:, None]
    return torch.stack(crops, dim=1)[rows, order], strengths


def _on_grid(features: Tensor, image: Tensor, layout: Layout) -> Tensor:
    """A layer's output as a feature map [1, C, rows, columns] over the image.

    Raises:
        ValueError: its positions form no grid over the image.
    """
    features = channels_second(features, layout.layer, layout.axis)
    if features.ndim == 4:
        return features
    if features.ndim == 3:
        tokens = features[:, :, layout.before : features.shape[2] - layout.after]
        grid = grid_of(tokens.shape[2], *image.shape[2:])
        if grid is not None:
            return tokens.reshape(*tokens.shape[:2], *grid)
    places = " x ".join(map(str, layout.places)) or "no"
    raise ValueError(
        f"The output of {layout.layer} has {places} positions for an image of {image.shape[2]} x {image.shape[3]}, "
        "which do not form a grid over the image; choose a layer with a spatial output."
    )


def _patches_at(image: Tensor, down: Tensor, across: Tensor, grid: Sequence[int], side: int) -> Tensor:
    """The patch around each given cell of a grid over the image, [n, C, side, side]."""
    height, width = image.shape[2:]
    if min(height, width) < side:  # the photo is smaller than a patch: enlarge it
        factor = side / min(height, width)
        size = [max(side, round(length * factor)) for length in (height, width)]
        image = functional.interpolate(image, size, mode="bilinear", antialias=True)
        height, width = image.shape[2:]
    tops = ((down + 0.5) * height / grid[0] - side / 2).round().long().clamp(0, height - side)
    lefts = ((across + 0.5) * width / grid[1] - side / 2).round().long().clamp(0, width - side)
    along = torch.arange(side, device=image.device)
    rows, columns = tops[:, None, None] + along[:, None], lefts[:, None, None] + along
    return image[0][:, rows, columns].movedim(0, 1)
