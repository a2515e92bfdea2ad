"""Deep dream: make more of what a layer sees in a photo, coarse shapes first and fine ones on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.errors import InputShapeError
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.picture import Picture, read_levels
from inputopt.pictures.recipe import FILE, repeatable
from inputopt.search.geometry import anywhere
from inputopt.search.goals import never
from inputopt.search.guidance import guided
from inputopt.search.loop import Interrupted, Watch, latest, optimise
from inputopt.search.objectives import Objective, layer_energy
from inputopt.search.oracle import Backward, Oracle, finished, unjudged
from inputopt.search.problem import Problem
from inputopt.search.steps.directions import smooth
from inputopt.search.steps.step import Stride
from inputopt.search.tiles import Tiled
from inputopt.search.transforms import jitter as jittered
from inputopt.search.transforms import unchanged

Photo = Tensor | Image.Image | str | Path
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
    seed: int = 0,
    watch: Watch | None = None,
) -> Picture:
    """Move a photo along what the named layers see in it (after Mordvintsev, Olah and Tyka, 2015).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        photo: a tensor [C, H, W] in the bounds, a Pillow image or a path; images are scaled to the bounds, and grey
            ones coloured for a network of colours.
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
        seed: what the jitter and the cuts are drawn from.
        watch: shown every step.

    Raises:
        ValueError, TypeError: an unknown layer, or numbers or a photo that make no sense.
        FileError: a photo cannot be read.
    """
    net = frozen(model)
    _check(octaves, octave_scale, steps, step_size, jitter, smoothing, tile)
    width = net.bounds[1] - net.bounds[0]
    image, where = _read(net, "photo", photo), None if mask is None else _read_mask(net, mask)
    if where is not None and where.shape[2:] != image.shape[2:]:
        raise ValueError(f"mask must be as large as the photo, {_size(image)}, not {_size(where)}.")
    objective = _objective(net, layers, guide)
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
        oracle = _oracle(net, objective, (height, across), roll, smoothing, tile, checks.seed(seed))
        step = Stride(step_size * width, *net.bounds, share)
        started = [small]
        del small
        try:
            dreamt = _moved(oracle, step, started, steps, watch)
        except Interrupted as stopped:
            stopped.pictures = [so_far(net, photo, stopped.result.x)]
            raise
        except InputShapeError as error:
            raise ValueError(
                f"The model does not take images of {height} x {across} ({error.__cause__}); "
                "a model of one size wants octaves=1."
            ) from error
        if (height, across) != full:
            detail = dreamt - scaled(net, image, height, across)
    return Picture(dreamt[0], bounds=net.bounds)


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


def _moved(oracle: Oracle, step: Stride, started: list[Tensor], steps: int, watch: Watch | None) -> Tensor:
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
    return found.x


def _unmeasured(change: Tensor) -> Tensor:
    return change.new_zeros(len(change))


def so_far(net: Frozen, photo: Photo, x: Tensor) -> Picture:
    """The dream at the photo's size, from what a watcher was shown of it, `x` [1, C, h, w] of any octave."""
    image = _read(net, "photo", photo)
    whole = scaled(net, image, *image.shape[2:])
    detail = x - scaled(net, image, *x.shape[2:])
    return Picture((whole + resized(detail, *whole.shape[2:]))[0].clamp(*net.bounds), bounds=net.bounds)


def _objective(net: Frozen, layers: Layers, guide: Photo | None) -> Objective:
    weights = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
    if isinstance(layers, str) or not weights:
        raise ValueError("layers must be a list of names, at least one.")
    seen: dict[str, Tensor] = {}
    if guide is not None:
        x = _read(net, "guide", guide)
        factor = min(1.0, GUIDE / min(x.shape[2:]))
        with torch.no_grad():
            shown = scaled(net, x, *(max(1, round(side * factor)) for side in x.shape[2:]))
            seen = net.features(shown, list(weights))
    parts = [
        (guided({name: seen[name]}) if guide is not None else -layer_energy([name])) * float(weight)
        for name, weight in weights.items()
    ]
    return sum(parts[1:], parts[0])


def _oracle(
    net: Frozen, objective: Objective, size: tuple[int, int], jitter: int, smoothing: float, tile: int | None, seed: int
) -> Oracle:
    """What asks the network about an image of that size, at once or in tiles."""
    side = tile or (TILE if max(size) > WHOLE else WHOLE)
    whole = max(size) <= side
    roll = jittered(jitter, seed) if jitter and whole else unchanged
    oracle: Oracle = Backward(net, objective, never, roll)
    if smoothing:
        oracle = finished(oracle, smooth(smoothing).function)
    return oracle if whole else Tiled(oracle, side, seed)


def _read(net: Frozen, what: str, photo: Photo) -> Tensor:
    """A photo as [1, C, H, W]: numbers in the bounds as they are, an image's levels in uint8."""
    shape = net.first_weights() or ()
    channels = shape[1] if net.convolves and len(shape) == 4 and shape[1] in (1, 3) else None
    image = read_levels(photo, channels)[None].to(net.device)
    if not image.is_floating_point() and len(shape) == 2 and shape[1] == image.shape[2] * image.shape[3]:
        image = read_levels(photo, 1)[None].to(net.device)  # so many inputs are one a pixel
    if image.is_floating_point():
        low, high = net.bounds
        if float(image.min()) < low or float(image.max()) > high:
            raise ValueError(f"{what} must lie in the model's bounds {low:g}..{high:g}; scale it.")
        image = image.to(net.dtype)
        if channels == 3 and image.shape[1] == 1:
            image = image.expand(1, 3, -1, -1)
    return image


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
    low, high = net.bounds
    return resized(image.to(net.dtype, copy=True).mul_((high - low) / 255).add_(low), height, width).clamp_(low, high)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Images [B, C, H, W] at another size, smoothed where they shrink."""
    if x.shape[2:] == (height, width):
        return x
    return functional.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
