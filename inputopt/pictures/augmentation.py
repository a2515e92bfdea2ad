"""Random transforms of pictures before each evaluation, and the scale at which the network is run on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from inputopt import checks
from inputopt.search.bounds import Range
from inputopt.search.keyed_random import Numbers
from inputopt.search.problem import Problem
from inputopt.search.transforms import Transform, Warp, chained, noise, rotate, scale, shift, unchanged
from inputopt.search.transforms import mirror as mirrored_at_random


def augmented(
    within: Range, strength: float, seed: int, look: Transform = unchanged, mirror: Sequence[bool] = (False,)
) -> Transform:
    """Random flip, shift, scaling, rotation and noise before each evaluation, against pixel-level artefacts.

    `look` is applied after the geometric transforms and before the noise, which is relative to the range's width.
    `mirror` says for each picture whether it is flipped at half of the evaluations.

    Raises:
        ValueError, TypeError: the strength is not a number of at least 0.
    """
    flips = [_mirrored(mirror, seed)] if any(mirror) else []
    if strength == 0:
        return chained(*flips, look)
    checks.positive("augment", strength)
    factor = 1.3**strength
    return chained(
        *flips,
        shift(min(1.0, strength / 14), seed),
        scale(1 / factor, factor, seed),
        rotate(10 * strength, seed),
        look,
        noise(0.05 * strength * within.width, seed),
    )


def _mirrored(pictures: Sequence[bool], seed: int) -> Warp:
    """Flip at random the examples of those pictures (`Problem.label`) that are marked."""
    flip = mirrored_at_random(seed)
    if all(pictures):
        return flip
    marked = np.array(pictures)

    def matrix(x: Tensor, problem: Problem, index: int) -> Numbers:
        rows = marked[problem.label.cpu().numpy()]
        return np.where(rows[:, None, None], flip.matrix(x, problem, index), np.eye(3))

    return Warp(matrix)


SIDE_MULTIPLE = 32
"""Downscaled sides are multiples of this, since networks halve them up to five times."""


def scaled_sides(share: float, sides: Sequence[int]) -> tuple[int, int]:
    """Height and width at the scale `share`, rounded to multiples of `SIDE_MULTIPLE`, and at most the full sides."""
    height, width = (min(side, max(1, round(share * side / SIDE_MULTIPLE)) * SIDE_MULTIPLE) for side in sides)
    return height, width


def downscaled(x: Tensor, share: float) -> Tensor:
    """Images [B, C, H, W] at the scale `share`, with antialiasing."""
    sides = scaled_sides(share, x.shape[2:])
    if share == 1 or sides == x.shape[2:]:
        return x
    return functional.interpolate(x, sides, mode="bilinear", antialias=True)


def growing(share: float, steps: int) -> Transform:
    """Downscale images [B, C, H, W], with a scale that rises linearly from `share` to 1 over `steps` steps.

    At a small scale the search determines the layout of the picture before its details.
    """

    def transform(x: Tensor, problem: Problem, index: int) -> Tensor:
        return downscaled(x, share + (1 - share) * min(1.0, index / steps))

    return transform
