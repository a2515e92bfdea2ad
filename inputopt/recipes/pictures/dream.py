"""Deep dream: make more of what a layer sees in a photo, coarse shapes first and fine ones on top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.recipes.pictures.picture import Picture, read_photo
from inputopt.recipes.pictures.recipe import FILE, repeatable
from inputopt.search.geometry import Box
from inputopt.search.goals import never
from inputopt.search.loop import Watch, latest, optimise
from inputopt.search.objectives import layer_energy
from inputopt.search.oracle import Backward
from inputopt.search.problem import Problem
from inputopt.search.steps.directions import over_mean
from inputopt.search.steps.step import Descend
from inputopt.search.transforms import jitter as jittered
from inputopt.search.transforms import unchanged


@repeatable(photo=FILE)
def dream(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    photo: Tensor | Image.Image | str | Path,
    layers: Sequence[str],
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    *,
    step_size: float = 0.01,
    jitter: int = 0,
    seed: int = 0,
    watch: Watch | None = None,
) -> Picture:
    """Move a photo along what the named layers see in it (after Mordvintsev, Olah and Tyka, 2015).

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        photo: a tensor [C, H, W] in the bounds, a Pillow image or a path; images are scaled to the bounds.
        layers: names of modules of the model; the mean square of what they put out is ascended.
        octaves: how many sizes to dream at, the last is the photo's own; 1 for a model that takes one size only.
        octave_scale: the ratio of one size to the next.
        steps: how many steps at each size.
        step_size: the mean change of a pixel in a step, in parts of the bounds' width.
        jitter: roll the image by up to this many pixels before each step.
        seed: what the jitter is drawn from.
        watch: shown every step.

    Raises:
        ValueError, TypeError: an unknown layer, or numbers or a photo that make no sense.
        FileError: the photo cannot be read.
    """
    net = frozen(model)
    for what, value in (("octaves", octaves), ("steps", steps)):
        checks.whole(what, value)
    checks.whole("jitter", jitter, least=0)
    seed = checks.seed(seed)
    checks.positive("step_size", step_size)
    if checks.positive("octave_scale", octave_scale) <= 1:
        raise ValueError(f"octave_scale must be above 1, not {octave_scale}.")
    low, high = net.bounds
    image = read_photo(photo).to(net.dtype)
    if not isinstance(photo, Tensor):
        image = low + (high - low) * image
    if float(image.min()) < low or float(image.max()) > high:
        raise ValueError(f"photo must lie in the model's bounds {low:g}..{high:g}; scale it.")
    base = image[None].to(net.device)
    oracle = Backward(net, -layer_energy(layers), never, jittered(jitter, seed) if jitter else unchanged)
    step = Descend(over_mean, step_size * (high - low))
    detail = torch.zeros_like(base)
    label = torch.zeros(1, dtype=torch.int64, device=net.device)
    for height, width in octave_sizes(base.shape[2], base.shape[3], octaves, octave_scale):
        small = resized(base, height, width)
        start = small + resized(detail, height, width)
        problem = Problem(start, label, ids=label)
        try:
            found = optimise(oracle, step, Box(low, high), problem, start, steps=steps, select=latest, watch=watch)
        except RuntimeError as error:
            raise ValueError(
                f"The model does not take images of {height} x {width} ({error}); a model of one size wants octaves=1."
            ) from error
        detail = found.x - small
    return Picture(found.x[0], bounds=net.bounds)


def octave_sizes(height: int, width: int, octaves: int, scale: float) -> list[tuple[int, int]]:
    """The sizes to dream at, smallest first; the last is the photo's own.

    >>> octave_sizes(100, 50, 3, 2.0)
    [(25, 12), (50, 25), (100, 50)]
    """
    factors = [scale**-power for power in reversed(range(octaves))]
    return [(max(1, round(height * factor)), max(1, round(width * factor))) for factor in factors]


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Images [B, C, H, W] at another size, smoothed where they shrink."""
    if x.shape[2:] == (height, width):
        return x
    return functional.interpolate(x, (height, width), mode="bilinear", antialias=True, align_corners=False)
