"""Settings of DeepDream, with defaults for photos and for tiny images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from inputopt import checks
from inputopt.pictures.picture import Photo

Layers = Sequence[str] | Mapping[str, float]

TINY = 32
"""Images with no side longer than this many pixels have the defaults `ON_TINY`."""

JITTER = 32
"""Largest default of `jitter`, in pixels."""


@dataclass(frozen=True)
class DreamSettings:
    """How a dream is made; see `dream`.

    Attributes:
        octaves: number of image sizes.
        octave_scale: ratio of consecutive sizes.
        steps: steps per octave.
        step_size: mean absolute change of a pixel per step, in units of the bounds' width.
        jitter: largest shift in pixels; None for a share of the image.
        smoothing: standard deviation in pixels of the blur of the gradient.

    Raises:
        ValueError, TypeError: a number out of range.
    """

    octaves: int = 4
    octave_scale: float = 1.4
    steps: int = 10
    step_size: float = 0.015
    jitter: int | None = None
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        checks.whole("octaves", self.octaves)
        checks.whole("steps", self.steps)
        if self.jitter is not None:
            checks.whole("jitter", self.jitter, 0)
        checks.positive("step_size", self.step_size)
        if checks.positive("octave_scale", self.octave_scale) <= 1:
            raise ValueError(f"octave_scale must be above 1, not {self.octave_scale}.")
        if self.smoothing != 0:
            checks.positive("smoothing", self.smoothing)

    def roll(self, height: int, width: int, convolves: bool) -> int:
        """The largest shift in pixels of an image of that size."""
        if self.jitter is not None:
            return self.jitter
        return min(JITTER, min(height, width) // 8) if convolves else 0


ON_PHOTOS = DreamSettings()
ON_TINY = DreamSettings(octaves=1, steps=60, step_size=0.01, jitter=0, smoothing=0.0)
"""Tiny images are neither scaled, nor shifted, nor blurred, since a pixel is a large part of them."""


def settings_for(height: int, width: int, **given: Any) -> DreamSettings:
    """The defaults for images of that size in pixels, replaced where a setting is given and not None.

    Raises:
        ValueError, TypeError: a number out of range.
    """
    defaults = ON_TINY if max(height, width) <= TINY else ON_PHOTOS
    return replace(defaults, **{name: value for name, value in given.items() if value is not None})


def layer_weights(layers: Layers) -> dict[str, float]:
    """A mapping from layer names to weights; 1 where none are given."""
    if isinstance(layers, str) or not layers:
        raise ValueError("layers must be a list of at least one layer name.")
    if not isinstance(layers, Mapping):
        return dict.fromkeys(layers, 1.0)
    for weight in layers.values():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
            raise ValueError(f"The weights of layers must be finite numbers, not {weight!r}.")
    return {name: float(weight) for name, weight in layers.items()}


def channel_numbers(given: Any, layers: Mapping[str, float], guide: Photo | None) -> list[int]:
    """The numbers of the channels to amplify.

    Raises:
        ValueError, TypeError: not channel numbers, several layers, or a guide.
    """
    if len(layers) > 1:
        raise ValueError(f"channels are those of one layer, not of {len(layers)}; name one layer.")
    if guide is not None:
        raise ValueError("A guide decides which channels are amplified; omit channels or the guide.")
    listed = np.atleast_1d(np.asarray(given, dtype=object)).tolist()
    if not listed:
        raise ValueError("channels must hold at least one number.")
    return [checks.whole("each of channels", each, least=0) for each in listed]
