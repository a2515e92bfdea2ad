"""Deep dream (Mordvintsev, Olah and Tyka, 2015): amplify the activations of layers in a photo, octave by octave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.dream_settings import DreamSettings, Layers, channel_numbers, layer_weights, settings_for
from inputopt.pictures.photo import check_opaque, levels_for
from inputopt.pictures.picture import Photo, Picture, read_levels
from inputopt.pictures.picture_search import FiniteCheck, bind_objective, channel_entry, check_followed
from inputopt.pictures.provenance import FILE, repeatable
from inputopt.search.bounds import picture_range
from inputopt.search.channel_axes.layout import network_geometry
from inputopt.search.goals import never
from inputopt.search.loop import Interrupted, Watch, latest, optimise
from inputopt.search.objectives.guide import guided
from inputopt.search.objectives.layer_energy import channel_energy, layer_energy
from inputopt.search.objectives.objective import Objective
from inputopt.search.oracles import Autograd, Oracle, Tiled, finished, skipping_evaluation
from inputopt.search.problem import Problem
from inputopt.search.projections import anywhere
from inputopt.search.steps.directions import smooth
from inputopt.search.steps.step import Step, Stride
from inputopt.search.transforms import jitter as jittered
from inputopt.search.transforms import unchanged

WHOLE = 640
"""If `tile` is not given, images with no side longer than this many pixels are not tiled."""

TILE = 256
"""Default side of the tiles of larger images, in pixels."""

GUIDE = 224
"""A larger guide is scaled down to this shorter side, in pixels."""


@repeatable(photo=FILE, guide=FILE, mask=FILE)
def dream(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Layers,
    octaves: int | None = None,
    octave_scale: float | None = None,
    steps: int | None = None,
    *,
    channels: int | Sequence[int] | None = None,
    step_size: float | None = None,
    jitter: int | None = None,
    smoothing: float | None = None,
    guide: Photo | None = None,
    mask: Photo | None = None,
    tile: int | None = None,
    axis: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Picture:
    """Deep dream: gradient ascent on the activations of layers (after Mordvintsev, Olah and Tyka, 2015).

    Defaults are for photos, and in brackets for tiny images, with no side longer than 32 pixels.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        photo: a tensor [C, H, W] in the bounds, or a Pillow image, a path or a uint8 array; images are scaled to the
            bounds, and grey ones converted to RGB for a network of colour images.
        layers: names of modules of the model, or a mapping from names to weights; the weighted sum of their mean square
            activations is maximised.
        octaves: number of image sizes, 4 (1), the last of which is the photo's own; 1 for a model of a fixed input
            size.
        octave_scale: ratio of consecutive sizes, 1.4.
        steps: number of steps per octave, 10 (60).
        channels: a channel of the layer, or several; only their positive activations are amplified, as `atlas` shows
            them.
        step_size: mean absolute change of a pixel per step, in units of the bounds' width, 0.015 (0.01).
        jitter: roll the image by up to this many pixels before each step. If not given, 32 but at most an eighth of the
            shorter side for convolutional networks, and 0 for others (0). Tiled images are not rolled, since their
            tile boundaries move at every step.
        smoothing: standard deviation in pixels of a Gaussian blur of the gradient, which prevents dots, 1 (0); 0 for
            none.
        guide: a photo of any size; the features of this photo are amplified instead of those of `photo`.
        mask: a photo of the same size as `photo`: white regions change, black ones stay as they are.
        tile: tile side in pixels for images that are larger; if not given, 256 for images with a
            side longer than 640 pixels.
        axis: for channels or a guide: which axis of the layers' outputs [B, ...] holds their channels; detected if not
            given.
        seed: seed of the jitter and the tile boundaries.
        watch: called at every step.

    Raises:
        ValueError, TypeError: an unknown layer, invalid settings or photo, activations that are NaN or infinite, or
            infinite bounds.
        FileError: a photo cannot be read.
    """
    net = frozen(model)
    given: dict[str, Any] = {"octaves": octaves, "octave_scale": octave_scale, "steps": steps}
    given |= {"step_size": step_size, "jitter": jitter, "smoothing": smoothing}
    settings_for(0, 0, **given)  # checked before the photo is read
    if tile is not None:
        checks.whole("tile", tile, 32)
    seed, weights = checks.seed(seed), layer_weights(layers)
    numbers = None if channels is None else channel_numbers(channels, weights, guide)
    image, full_mask = levels_for(net, "photo", photo), None if mask is None else _read_mask(net, mask)
    if full_mask is not None and full_mask.shape[2:] != image.shape[2:]:
        raise ValueError(f"mask must be as large as the photo, {_size(image)}, not {_size(full_mask)}.")
    objective, recipe = _objective(net, weights, numbers, guide, axis)
    detail, full = None, (image.shape[2], image.shape[3])
    chosen = settings_for(*full, **given)
    recipe["settings"] = asdict(chosen)
    for height, width in octave_sizes(*full, chosen.octaves, chosen.octave_scale):
        small_mask = None if full_mask is None else resized(full_mask, height, width)
        small = scaled(net, image, height, width)
        if detail is not None:
            detail = resized(detail, height, width)
            small = detail.add_(small) if small_mask is None else small + small_mask * detail
        detail = None
        if (height, width) == full:
            image = image[:, :, :1, :1].clone()  # the last octave needs it no more: free its memory
        start = [small]
        try:
            objective, axes = bind_objective(net, objective, small)
            recipe |= axes
            finite = FiniteCheck(objective)
            oracle, step = _search(net, finite.objective, small, chosen, tile, seed, small_mask)
            del small
            dreamt = _optimised(oracle, step, start, chosen.steps, watch)
        except Interrupted as stopped:
            stopped.pictures = [intermediate_dream(net, photo, stopped.result.x)]
            raise
        except ValueError as error:
            smaller = (height, width) != full and not _takes(net, scaled(net, image, height, width), weights)
            if smaller and _takes(net, scaled(net, image, *full), weights):
                raise ValueError(f"{str(error).rstrip('.')}, or set octaves=1 for a fixed input size.") from error
            raise
        finite.check(dreamt)
        if (height, width) != full:
            detail = dreamt - scaled(net, image, height, width)
    return Picture(dreamt[0], recipe, net.bounds)


def _takes(net: Frozen, x: Tensor, layers: Mapping[str, float]) -> bool:
    """Whether the network accepts images like `x` [B, C, H, W]."""
    try:
        with torch.no_grad():
            net.features(x, list(layers))
    except ValueError:
        return False
    return True


def _optimised(oracle: Oracle, step: Step, start: list[Tensor], steps: int, watch: Watch | None) -> Tensor:
    """Optimise the image [1, C, H, W] in the list `start`; it is removed from the list to free its memory early."""
    ids = torch.zeros(1, dtype=torch.int64, device=start[0].device)
    nothing = start[0].new_zeros(1).expand(start[0].shape)  # x0 is unused, since distances are not measured
    problem = Problem(nothing, ids, ids)
    found = optimise(
        skipping_evaluation(oracle, steps),
        step,
        anywhere,
        problem,
        start.pop(),
        steps=steps,
        select=latest,
        watch=watch,
        size=_unmeasured,
    )
    check_followed(found)
    return found.x


def _unmeasured(change: Tensor) -> Tensor:
    return change.new_zeros(len(change))


def intermediate_dream(net: Frozen, photo: Photo, x: Tensor) -> Picture:
    """The dream at the photo's size, from an intermediate image `x` [1, C, h, w] of any octave."""
    image = levels_for(net, "photo", photo)
    whole = scaled(net, image, *image.shape[2:])
    detail = x - scaled(net, image, *x.shape[2:])
    found = picture_range(net, whole.shape[1:]).clamp(whole + resized(detail, *whole.shape[2:]))
    return Picture(found[0], bounds=net.bounds)


def _objective(
    net: Frozen, weights: Mapping[str, float], channels: list[int] | None, guide: Photo | None, axis: int | None
) -> tuple[Objective, dict[str, Any]]:
    """The objective to minimise, and the recipe entry on the layers' channel axes (empty without a guide)."""
    recipe: dict[str, Any] = {}
    if channels is not None:
        (layer,) = weights
        return channel_energy(layer, channels, axis=axis) * -weights[layer], recipe
    parts = [-layer_energy([name]) for name in weights]
    if guide is not None:
        x = levels_for(net, "guide", guide)
        factor = min(1.0, GUIDE / min(x.shape[2:]))
        resized_guide = scaled(net, x, *(max(1, round(side * factor)) for side in x.shape[2:]))
        with torch.no_grad():
            features = net.features(resized_guide, list(weights))
            geometry = network_geometry(net, resized_guide, list(weights))
        parts = [guided({name: features[name]}, axis=axis).bound(geometry) for name in weights]
        recipe = channel_entry(geometry)
    parts = [part * weight for part, weight in zip(parts, weights.values(), strict=True)]
    return sum(parts[1:], parts[0]), recipe


def _search(
    net: Frozen,
    objective: Objective,
    image: Tensor,
    settings: DreamSettings,
    tile: int | None,
    seed: int,
    mask: Tensor | None,
) -> tuple[Oracle, Step]:
    """The oracle for an image of that size, tiled if it is large, and the step rule."""
    within = picture_range(net, image.shape[1:])
    side = tile or (TILE if max(image.shape[2:]) > WHOLE else WHOLE)
    whole = max(image.shape[2:]) <= side
    jitter = settings.roll(image.shape[2], image.shape[3], net.convolves)
    roll = jittered(jitter, seed) if jitter and whole else unchanged
    oracle: Oracle = Autograd(net, objective, never, roll)
    if settings.smoothing:
        oracle = finished(oracle, smooth(settings.smoothing).function)
    oracle = oracle if whole else Tiled(oracle, side, seed)
    if isinstance(within.width, float):
        return oracle, Stride(settings.step_size * within.width, within.low, within.high, mask)
    # bounds whose width differs by element: take the gradient and the step in units of each width
    width = within.width
    return (
        finished(oracle, lambda grad: grad * width),
        Stride(settings.step_size, within.low, within.high, width if mask is None else width * mask),
    )


def _read_mask(net: Frozen, mask: Photo) -> Tensor:
    """A mask as a tensor [1, 1, H, W] in [0, 1]."""
    levels = read_levels(mask, 1)[None].to(net.device)
    check_opaque("mask", mask)
    values = levels.to(net.dtype) / (1 if levels.is_floating_point() else 255)
    if values.shape[1] != 1 or float(values.min()) < 0 or float(values.max()) > 1:
        raise ValueError("mask must be a grey image, or values [1, H, W] from 0 to 1.")
    return values


def _size(image: Tensor) -> str:
    return f"{image.shape[2]} x {image.shape[3]}"


def octave_sizes(height: int, width: int, octaves: int, scale: float) -> list[tuple[int, int]]:
    """The sizes (height, width) of the octaves, smallest first; the last is the photo's own.

    >>> octave_sizes(100, 50, 3, 2.0)
    [(25, 12), (50, 25), (100, 50)]
    """
    factors = [scale**-power for power in reversed(range(octaves))]
    return [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in factors]


def scaled(net: Frozen, image: Tensor, height: int, width: int) -> Tensor:
    """Resize an image [1, C, H, W], given in the bounds or as uint8 levels; the result lies in the bounds."""
    if image.is_floating_point():
        return resized(image, height, width)
    levels = resized(image.to(net.dtype, copy=True), height, width)
    within = picture_range(net, levels.shape[1:])
    return levels.mul_(within.width / 255).add_(within.low).clamp_(within.low, within.high)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Resize images [B, C, H, W] bilinearly, with antialiasing."""
    if x.shape[2:] == (height, width):
        return x
    return functional.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
