"""Default distances of each norm, and the check that a distance suits the range and the levels of the inputs."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen
from inputopt.search.inputs import InputoptWarning
from inputopt.search.norms import Norm

DEFAULT_EPS = {"linf": 0.1, "l2": 0.5, "l1": 12.0, "l0": 24.0}
"""Default eps in each norm, for inputs in [0, 1]: in L2 and L1 those that are usual for images of 3 x 32 x 32 (Croce et
al., 2021; Croce and Hein, 2021), in L0 that of Sparse-RS (Croce et al., 2022)."""

BYTES = 255.0
"""Highest value of inputs that are 8-bit levels, for which an eps that is meant for [0, 1] is noticed."""

TOO_SMALL = 0.05
"""Largest eps in Linf that is refused for such inputs."""

UNIT = 2.0
"""Largest width of bounds such as 0 to 1 or -1 to 1, within which distances are given as fractions."""

ROUNDING = 1e-6


def check_eps(eps: float | Tensor, norm: Norm, net: Frozen, x0: Tensor, levels: int | None = None) -> None:
    """Check that the largest eps allows a change, and in Linf the smallest not any change.

    Args:
        eps: radius of the ball: a number or several.
        norm: norm of the ball.
        net: the network, which has the bounds.
        x0: inputs [B, ...].
        levels: number of levels that inputs are restricted to, if they are.

    Raises:
        ValueError: eps is above 0, but smaller than any change can be, or in Linf larger than the width of the bounds.
    """
    least, largest = (float(end) for end in torch.as_tensor(eps).aminmax())
    low, high = (bound.expand(x0[:1].shape) for bound in net.box(x0))
    widths = (high - low).double()
    if not largest:
        return
    step = 1.0 if norm.counts else 0.0 if levels is None else float(widths.min()) / (levels - 1)
    if largest < step * (1 - ROUNDING):
        what = "one input element" if norm.counts else f"one of the {levels} levels of the inputs, {step:.4g}"
        remedy, scaled = "a larger eps", largest * float(widths.max())
        if not norm.counts and float(widths.max()) <= UNIT:
            remedy += ", or no levels (`--levels 0` at the command line)"
        elif not norm.counts and scaled >= step:
            remedy += f": {largest:.4g} for inputs in 0 to 1 is {scaled:.4g} here"
        raise ValueError(f"eps {largest:g} is less than {what}, so that no input could change; give {remedy}.")
    most = float(widths.max())
    if norm.is_box and least > most * (1 + ROUNDING):
        hint = f"did you mean {least:g}/255?" if least <= 255 * most and most <= UNIT else "give a smaller one."
        raise ValueError(
            f"eps {least:g} is larger than the width of the inputs' range, {_ends(low, high)}, so that it allows any "
            f"change; {hint}"
        )
    bytes_like = float(low.min()) == 0 and float(high.max()) == BYTES
    if norm.is_box and bytes_like and largest < TOO_SMALL:
        raise ValueError(
            f"eps {largest:g} is less than a twentieth of an 8-bit level of inputs in {_ends(low, high)}; did you mean "
            f"{largest * BYTES:.4g}?"
        )
    if not norm.counts and bytes_like and largest < 1 - ROUNDING:
        warnings.warn(
            f"eps {largest:g} is less than one 8-bit level of inputs in {_ends(low, high)}; an eps of {largest:g} for "
            f"inputs in 0 to 1 is {largest * BYTES:g} here.",
            InputoptWarning,
            stacklevel=5,
        )


def eps_or_default(eps: Any, norm: str, unit: float = 1.0) -> Any:
    """The given eps, or the norm's default for inputs whose bounds are `unit` wide."""
    if eps is not None:
        return eps
    return DEFAULT_EPS[norm] * (1 if norm == "l0" else unit)


def _ends(low: Tensor, high: Tensor) -> str:
    return f"{float(low.min()):g} to {float(high.max()):g}"
