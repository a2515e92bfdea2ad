"""Bad input is found here, before any work starts: each check raises one sentence that says what to do."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOST = 20
"""Names in one sentence."""


def one_of(what: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`; else raise a ValueError that suggests the nearest."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    near = difflib.get_close_matches(str(value), names, n=1)
    some = ", ".join(names[:MOST]) + (f" and {len(names) - MOST} others" if len(names) > MOST else "")
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {some}."
    raise ValueError(f"Unknown {what} {value!r}; {hint}")


def positive(what: str, value: float) -> float:
    """Return `value` if it is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}.")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{what} must be a finite number above 0, not {value}.")
    return value


def share(what: str, value: float) -> float:
    """Return `value` if it is a number above 0 and at most 1."""
    if positive(what, value) > 1:
        raise ValueError(f"{what} must be at most 1, not {value}.")
    return value


def whole(what: str, value: int, least: int = 1) -> int:
    """Return `value` if it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{what} must be a whole number, not {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, not {value}.")
    return int(value)


def tensor(what: str, value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`value` (tensor, array or nested list) as a finite tensor of that dtype and device."""
    try:
        made = torch.as_tensor(value).detach().to(device=device, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{what} must be a tensor, an array or nested lists of numbers ({error}).") from error
    return finite(what, made)


def finite(what: str, value: Tensor) -> Tensor:
    """Return `value` if it holds neither NaN nor infinity."""
    # NaN and infinity both show in the least and the largest number, which are found without a mask of all
    if value.is_floating_point() and value.numel() and not bool(torch.isfinite(torch.stack(value.aminmax())).all()):
        raise ValueError(f"{what} must be finite, but some values are NaN or infinite.")
    return value


def batch(what: str, value: Tensor) -> Tensor:
    """Return `value` if it has a batch dimension with at least one example."""
    if value.ndim < 1 or value.shape[0] == 0:
        raise ValueError(f"{what} must hold at least one example along the first dimension, not {tuple(value.shape)}.")
    return value


def classes(what: str, value: Tensor, count: int) -> Tensor:
    """Return `value` if it is a vector of class indices below `count`."""
    if value.ndim != 1 or value.is_floating_point() or value.dtype == torch.bool:
        raise ValueError(
            f"{what} must be class indices: whole numbers of shape [B], not {value.dtype} {list(value.shape)}."
        )
    if int(value.min()) < 0 or int(value.max()) >= count:
        raise ValueError(
            f"{what} must lie in 0..{count - 1}, but they reach from {int(value.min())} to {int(value.max())}."
        )
    return value.long()


def seed(value: int) -> int:
    """A whole number of any size as one of 63 bits, which every generator takes."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"seed must be a whole number, not {type(value).__name__}.")
    return int(value) % 2**63
