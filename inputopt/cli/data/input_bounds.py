"""Bounds of inputs: images are scaled to those of a network, and arrays and tables must lie in them."""

from __future__ import annotations

from math import ceil, floor

import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.search.inputs import box_of


def in_bounds(net: Frozen, x: Tensor) -> Tensor:
    """Scale images from [0, 1] to the network's bounds.

    Raises:
        ValueError: the bounds are infinite.
    """
    low, high = net.box(x)
    if not bool(torch.isfinite(high - low).all()):
        raise ValueError("Images need a model with finite bounds; give --bounds.")
    return x if bool((low == 0).all()) and bool((high == 1).all()) else low + (high - low) * x


def check_inputs(name: str, net: Frozen, x: Tensor) -> Tensor:
    """Return inputs [B, ...] that are finite and lie in the network's bounds.

    Raises:
        ValueError: they do not; the message has an example of --bounds.
    """
    checks.finite(f"the inputs of {name}", x)
    low, high = net.box(x)
    try:
        box_of(net, x, x.dtype)
    except ValueError:
        least, most = (float(end) for end in x.aminmax())
        are_levels = least >= 0 and 16 < most <= 255
        example = "0,255" if are_levels else f"{floor(least)},{ceil(most)}"
        raise ValueError(
            f"The inputs of {name} must lie in the network's bounds {float(low.min()):g} to {float(high.max()):g}, but "
            f"range from {least:g} to {most:g}; scale them, or set their bounds, as with --bounds {example}."
        ) from None
    return x
