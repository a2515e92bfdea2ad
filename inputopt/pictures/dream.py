"""Deep dream: make more of what a layer sees in a photo, coarse shapes first and fine ones on top."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.photo import levels_for
from inputopt.pictures.picture import Photo, Picture, read_levels
from inputopt.pictures.picture_search import FiniteBounds, check_followed, indexed
from inputopt.pictures.provenance import FILE, repeatable
from inputopt.search.bounds import picture_range
from inputopt.search.channel_axes.layout import network_geometry
from inputopt.search.goals import never
from inputopt.search.loop import Interrupted, Watch, latest, optimise
from inputopt.search.objectives.guide import guided
from inputopt.search.objectives.layer_energy import layer_energy
from inputopt.search.objectives.objective import Objective
from inputopt.search.oracles import Autograd, Oracle, Tiled, finished, unjudged
from inputopt.search.problem import Problem
from inputopt.search.projections import anywhere
from inputopt.search.steps.directions import smooth
from inputopt.search.steps.step import Step, Stride
from inputopt.search.transforms import jitter as jittered
from inputopt.search.transforms import unchanged

Layers = Sequence[str] | Mapping[str, float]

WHOLE = 640
"""Images with no side longer than this are derived at once if `tile` is not given."""

TILE = 256
"""The side of the tiles that larger ones are cut into."""

JITTER = 32
"""How many pixels an image is rolled by at most if `jitter` is not given."""

GUIDE = 224
"""The shorter side that a larger guide is scaled down to."""


@repeatable(photo=FILE, guide=FILE, mask=FILE)
def dream(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Photo,
    layers: Layers,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    *,
    step_size: float = 0.015,
    jitter: int | None = None,
    smoothing: float = 1.0,
    guide: Photo | None = None,
    mask: Photo | None = None,
    tile: int | None = None,
    axis: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Picture:
    """Move a photo along what the named layers see in it (after Mordvintsev, Olah and Tyka, 2015).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        photo: numbers [C, H, W] in the bounds, or a Pillow image, a path or an array of uint8; images are scaled to the
            bounds, and grey ones coloured for a network of colours.
        layers: names of modules of the model, or names with a weight each; the mean square of what they put out is
            ascended.
        octaves: how many sizes to dream at, the last is the photo's own; 1 for a model that takes one size only.
        octave_scale: the ratio of one size to the next.
        steps: how many steps at each size.
        step_size: the mean change of a pixel in a step, in parts of the bounds' width.
        jitter: roll the image by up to this many pixels before each step. If not given, 32 but no more than an eighth
            of the shorter side for a network that convolves images, and 0 for others. Tiles, whose cuts move, need
            none.
        smoothing: blur the gradient by a Gaussian of this many pixels, against dots; 0 for none.
        guide: a photo, any size: what the layers see in it is made more of, instead of what they see in `photo`.
        mask: a photo of the same size: white is dreamt in, black stays as it is.
        tile: the side of the tiles that an image is cut into if it is larger; `TILE` if not given, for images larger
            than `WHOLE`.
        axis: for a guide: which axis of what the layers put out [B, ...] holds their channels; found if not given.
        seed: what the jitter and the cuts are drawn from.
        watch: shown every step.

    Raises:
        ValueError, TypeError: an unknown layer, numbers or a photo that make no sense, activations that are no numbers,
            or infinite bounds.
        FileError: a photo cannot be read.
    """
    net = frozen(model)
    _check(octaves, octave_scale, steps, step_size, jitter, smoothing, tile)
    seed, weights = checks.seed(seed), _weights(layers)
    image, where = levels_for(net, "photo", photo), None if mask is None else _read_mask(net, mask)
    if where is not None and where.shape[2:] != image.shape[2:]:
        raise ValueError(f"mask must be as large as the photo, {_size(image)}, not {_size(where)}.")
    objective, said = _objective(net, weights, guide, axis)
    detail, full = None, (image.shape[2], image.shape[3])
    for height, across in octave_sizes(*full, octaves, octave_scale):
        share = None if where is None else resized(where, height, across)
        small = scaled(net, image, height, across)
        if detail is not None:
            detail = resized(detail, height, across)
            small = detail.add_(small) if share is None else small + share * detail
        detail = None
        if (height, across) == full:
            image = image[:, :, :1, :1].clone()  # nobody needs it any more, and of a large image every copy counts
        roll = (min(JITTER, min(height, across) // 8) if net.convolves else 0) if jitter is None else jitter
        finite = FiniteBounds(objective)
        oracle, step = _search(net, finite.objective, small, step_size, roll, smoothing, tile, seed, share)
        started = [small]
        del small
        try:
            dreamt = _moved(oracle, step, started, steps, watch)
        except Interrupted as stopped:
            stopped.pictures = [so_far(net, photo, stopped.result.x)]
            raise
        except ValueError as error:
            if (height, across) != full and _takes(net, scaled(net, image, *full), weights):
                raise ValueError(f"{error} A model of one size wants octaves=1.") from error
            raise
        finite.check(dreamt)
        if (height, across) != full:
            detail = dreamt - scaled(net, image, height, across)
    return Picture(dreamt[0], said, net.bounds)


def _takes(net: Frozen, x: Tensor, layers: Mapping[str, float]) -> bool:
    """Whether the network takes such images."""
    try:
        with torch.no_grad():
            net.features(x, list(layers))
    except ValueError:
        return False
    return True


def _check(
    octaves: int, scale: float, steps: int, step_size: float, jitter: int | None, smoothing: float, tile: int | None
) -> None:
    for what, value, least in (("octaves", octaves, 1), ("steps", steps, 1), ("jitter", jitter, 0), ("tile", tile, 32)):
        if value is not None:
            checks.whole(what, value, least)
    checks.positive("step_size", step_size)
    if checks.positive("octave_scale", scale) <= 1:
        raise ValueError(f"octave_scale must be above 1, not {scale}.")
    if smoothing != 0:
        checks.positive("smoothing", smoothing)


def _moved(oracle: Oracle, step: Step, started: list[Tensor], steps: int, watch: Watch | None) -> Tensor:
    """Where the image in `started` is led; it is taken out of there, so that nobody but the loop keeps it."""
    ids = torch.zeros(1, dtype=torch.int64, device=started[0].device)
    nothing = started[0].new_zeros(1).expand(started[0].shape)  # distances are not asked for
    problem = Problem(nothing, ids, ids)
    found = optimise(
        unjudged(oracle, steps),
        step,
        anywhere,
        problem,
        started.pop(),
        steps=steps,
        select=latest,
        watch=watch,
        size=_unmeasured,
    )
    check_followed(found)
    return found.x


def _unmeasured(change: Tensor) -> Tensor:
    return change.new_zeros(len(change))


def so_far(net: Frozen, photo: Photo, x: Tensor) -> Picture:
    """The dream at the photo's size, from what a watcher was shown of it, `x` [1, C, h, w] of any octave."""
    image = levels_for(net, "photo", photo)
    whole = scaled(net, image, *image.shape[2:])
    detail = x - scaled(net, image, *x.shape[2:])
    found = picture_range(net, whole.shape[1:]).clamp(whole + resized(detail, *whole.shape[2:]))
    return Picture(found[0], bounds=net.bounds)


def _weights(layers: Layers) -> dict[str, float]:
    """The layers with a weight each."""
    if isinstance(layers, str) or not layers:
        raise ValueError("layers must be a list of names, at least one.")
    if not isinstance(layers, Mapping):
        return dict.fromkeys(layers, 1.0)
    for weight in layers.values():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
            raise ValueError(f"The weights of layers must be finite numbers, not {weight!r}.")
    return {name: float(weight) for name, weight in layers.items()}


def _objective(
    net: Frozen, weights: Mapping[str, float], guide: Photo | None, axis: int | None
) -> tuple[Objective, dict[str, Any]]:
    """What is made more of, negated; and what the recipe says of the layers whose channels a guide is compared in."""
    said: dict[str, Any] = {}
    parts = [-layer_energy([name]) for name in weights]
    if guide is not None:
        x = levels_for(net, "guide", guide)
        factor = min(1.0, GUIDE / min(x.shape[2:]))
        shown = scaled(net, x, *(max(1, round(side * factor)) for side in x.shape[2:]))
        with torch.no_grad():
            seen = net.features(shown, list(weights))
            to = network_geometry(net, shown, list(weights))
        parts = [guided({name: seen[name]}, axis=axis).bound(to) for name in weights]
        said = indexed(to)
    parts = [part * weight for part, weight in zip(parts, weights.values(), strict=True)]
    return sum(parts[1:], parts[0]), said


def _search(
    net: Frozen,
    objective: Objective,
    image: Tensor,
    step_size: float,
    jitter: int,
    smoothing: float,
    tile: int | None,
    seed: int,
    share: Tensor | None,
) -> tuple[Oracle, Step]:
    """What asks the network about an image of that size, at once or in tiles, and the step that is made then."""
    within = picture_range(net, image.shape[1:])
    side = tile or (TILE if max(image.shape[2:]) > WHOLE else WHOLE)
    whole = max(image.shape[2:]) <= side
    roll = jittered(jitter, seed) if jitter and whole else unchanged
    oracle: Oracle = Autograd(net, objective, never, roll)
    if smoothing:
        oracle = finished(oracle, smooth(smoothing).function)
    oracle = oracle if whole else Tiled(oracle, side, seed)
    if isinstance(within.width, float):
        return oracle, Stride(step_size * within.width, within.low, within.high, share)
    # numbers of different widths: the derivative by parts of each width, and the step in those parts
    width = within.width
    return (
        finished(oracle, lambda grad: grad * width),
        Stride(step_size, within.low, within.high, width if share is None else width * share),
    )


def _read_mask(net: Frozen, mask: Photo) -> Tensor:
    """A mask as [1, 1, H, W] in [0, 1]."""
    levels = read_levels(mask, 1)[None].to(net.device)
    where = levels.to(net.dtype) / (1 if levels.is_floating_point() else 255)
    if where.shape[1] != 1 or float(where.min()) < 0 or float(where.max()) > 1:
        raise ValueError("mask must be a grey image, or numbers [1, H, W] from 0 to 1.")
    return where


def _size(image: Tensor) -> str:
    return f"{image.shape[2]} x {image.shape[3]}"


def octave_sizes(height: int, width: int, octaves: int, scale: float) -> list[tuple[int, int]]:
    """The sizes to dream at, smallest first; the last is the photo's own.

    >>> octave_sizes(100, 50, 3, 2.0)
    [(25, 12), (50, 25), (100, 50)]
    """
    factors = [scale**-power for power in reversed(range(octaves))]
    return [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in factors]


def scaled(net: Frozen, image: Tensor, height: int, width: int) -> Tensor:
    """An image [1, C, H, W], as numbers in the bounds or as levels in uint8, at another size and in the bounds."""
    if image.is_floating_point():
        return resized(image, height, width)
    levels = resized(image.to(net.dtype, copy=True), height, width)
    within = picture_range(net, levels.shape[1:])
    return levels.mul_(within.width / 255).add_(within.low).clamp_(within.low, within.high)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Images [B, C, H, W] at another size, smoothed where they shrink."""
    if x.shape[2:] == (height, width):
        return x
    return functional.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
