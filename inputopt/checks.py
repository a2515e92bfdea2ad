"""Validation of arguments before any work starts; each error message is one sentence that says what to do."""

from __future__ import annotations

import math
import numbers
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from inputopt.errors import MAX_NAMES as MAX_NAMES
from inputopt.errors import one_of as one_of


def as_tensor(value: Any) -> Tensor:
    """Like `torch.as_tensor`, but copies numpy arrays, so that read-only ones and negative strides are accepted.

    >>> as_tensor(np.arange(3)[::-1]).tolist()
    [2, 1, 0]
    """
    return torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value)


def number(what: str, value: Any) -> int | float:
    """Convert a Python or numpy number, or a 0-dimensional array or tensor, to a finite Python number."""
    converted = _unwrapped(value)
    if isinstance(converted, bool) or not isinstance(converted, numbers.Real):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}.")
    if not _is_finite(converted):
        raise ValueError(f"{what} must be a finite number, not {value}.")
    return int(converted) if isinstance(converted, numbers.Integral) else float(converted)


def positive(what: str, value: Any) -> int | float:
    """Convert `value` to a finite Python number above 0."""
    converted: Any = _unwrapped(value)
    if (
        isinstance(converted, numbers.Real)
        and not isinstance(converted, bool)
        and not (_is_finite(converted) and float(converted) > 0)
    ):
        raise ValueError(f"{what} must be a finite number above 0, not {value}.")
    return number(what, converted)


def not_negative(what: str, value: Any) -> int | float:
    """Convert `value` to a finite Python number of at least 0."""
    converted = number(what, value)
    if converted < 0:
        raise ValueError(f"{what} must be at least 0, not {value}.")
    return converted


def share(what: str, value: Any) -> int | float:
    """Convert `value` to a Python number above 0 and at most 1."""
    converted: Any = _unwrapped(value)
    if isinstance(converted, numbers.Real) and not isinstance(converted, bool) and not 0 < cast(Any, converted) <= 1:
        raise ValueError(f"{what} must be a fraction above 0 and at most 1, not {value}.")
    return number(what, converted)


def probability(what: str, value: Any) -> int | float:
    """Convert `value` to a Python number between 0 and 1, both excluded."""
    converted: Any = _unwrapped(value)
    if isinstance(converted, numbers.Real) and not isinstance(converted, bool) and not 0 < cast(Any, converted) < 1:
        raise ValueError(f"{what} must be a probability between 0 and 1, not {value}.")
    return number(what, converted)


def whole(what: str, value: Any, least: int = 1) -> int:
    """Convert a Python or numpy integer to an int of at least `least`; floats are rejected."""
    converted = _unwrapped(value)
    if isinstance(converted, bool) or not isinstance(converted, numbers.Integral):
        raise TypeError(f"{what} must be a whole number, not {type(value).__name__}.")
    if int(converted) < least:
        raise ValueError(f"{what} must be at least {least}, not {value}.")
    return int(converted)


def seed(value: Any) -> int:
    """Reduce an integer of any size to 63 bits, which every generator accepts."""
    converted = _unwrapped(value)
    if isinstance(converted, bool) or not isinstance(converted, numbers.Integral):
        raise TypeError(f"seed must be a whole number, not {type(value).__name__}.")
    return int(converted) % 2**63


def function(what: str, value: Any) -> Any:
    """Return `value` if it is callable or None."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be a function, not {type(value).__name__}.")
    return value


def _unwrapped(value: Any) -> Any:
    """Convert a numpy scalar or a 0-dimensional array or tensor to a Python number; return other values unchanged."""
    return value.item() if isinstance(value, (Tensor, np.ndarray, np.generic)) and value.ndim == 0 else value


def _is_finite(value: Any) -> bool:
    """Whether a number is finite, and not an integer too large for a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def block(what: str, value: Any) -> Tensor:
    """Convert a tensor, an array or nested lists to a dense, detached tensor of a standard dtype.

    It shares the memory of `value` where possible. Python numbers become float64 or int64, so that nothing is rounded.

    Raises:
        TypeError: not numbers, complex numbers, or lists of different lengths.
    """
    try:
        if isinstance(value, (list, tuple)) and value and all(isinstance(part, Tensor) for part in value):
            value = torch.stack([part.detach() for part in value])
        converted = value.detach() if isinstance(value, Tensor) else torch.from_numpy(_array(value))
        if converted.is_complex():
            raise TypeError("complex numbers are not supported")
        if converted.is_meta:
            raise TypeError("tensors on the meta device have no values")
        converted = converted.dequantize() if converted.is_quantized else converted.to_dense()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{what} must be a tensor, an array or nested lists of numbers ({error}).") from error
    return converted.clone() if converted.is_inference() else converted


def _array(value: Any) -> Any:
    """Convert nested lists or any array to an array that `torch.from_numpy` accepts without a warning."""
    converted = np.asarray(value)
    if converted.dtype.kind not in "biufc":
        raise TypeError(f"got {type(value).__name__}")
    if np.ma.is_masked(value):
        raise TypeError("some elements are masked")
    if converted.dtype == np.uint64 and converted.size and converted.max() > np.iinfo(np.int64).max:
        raise TypeError("some values are above 2**63 - 1")
    wide = {"u": np.int64, "f": np.float64}.get(converted.dtype.kind, converted.dtype)
    known = converted.dtype.kind in "bc" or converted.dtype in (np.uint8, np.int8, np.int16, np.int32, np.int64)
    if not known and converted.dtype not in (np.float16, np.float32, np.float64):
        converted = converted.astype(wide)
    if not converted.dtype.isnative:
        converted = converted.astype(converted.dtype.newbyteorder("="))
    return converted if converted.flags.writeable and converted.flags.c_contiguous else converted.copy()


def tensor(what: str, value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Convert a tensor, array or nested list to a finite tensor of `dtype` on `device`; it may share memory."""
    return finite(what, block(what, value).to(device=device, dtype=dtype))


def finite(what: str, value: Tensor) -> Tensor:
    """Return `value` if it contains neither NaN nor infinity."""
    # NaN and infinity both show in the minimum or maximum, which need no mask of the size of `value`
    if value.is_floating_point() and value.numel() and not bool(torch.isfinite(torch.stack(value.aminmax())).all()):
        raise ValueError(f"{what} must be finite, but some values are NaN or infinite.")
    return value


def batch(what: str, value: Tensor) -> Tensor:
    """Return `value` if it has a batch dimension with at least one example."""
    if value.ndim < 1 or value.shape[0] == 0:
        raise ValueError(
            f"{what} must have at least one example along the first dimension, not shape {tuple(value.shape)}."
        )
    return value


def classes(what: str, value: Tensor, count: int) -> Tensor:
    """Convert class indices [B] below `count`, of any integer dtype, to int64."""
    if value.ndim != 1 or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(
            f"{what} must be class indices: whole numbers of shape [B], not {value.dtype} {list(value.shape)}."
        )
    converted = batch(what, value).long()  # torch has no min() for its larger unsigned dtypes
    least, most = int(converted.min()), int(converted.max())
    if least < 0 or most >= count:
        found = f"not {least}" if least == most else f"but range from {least} to {most}"
        raise ValueError(f"{what} must lie in 0..{count - 1}, {found}.")
    return converted
