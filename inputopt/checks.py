"""Bad input is found here, before any work starts: each check raises one sentence that says what to do."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
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


def as_tensor(value: Any) -> Tensor:
    """`torch.as_tensor`, of arrays too that are read-only or run backwards, which are copied.

    >>> as_tensor(np.arange(3)[::-1]).tolist()
    [2, 1, 0]
    """
    return torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value)


def number(what: str, value: Any) -> int | float:
    """`value` as a plain finite number: Python's own, numpy's, or an array or tensor without dimensions."""
    made = _plain(value)
    if isinstance(made, bool) or not isinstance(made, numbers.Real):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}.")
    if not _limited(made):
        raise ValueError(f"{what} must be a finite number, not {value}.")
    return int(made) if isinstance(made, numbers.Integral) else float(made)


def positive(what: str, value: Any) -> int | float:
    """`value` as a plain number that is finite and above zero."""
    made: Any = _plain(value)
    if isinstance(made, numbers.Real) and not isinstance(made, bool) and not (_limited(made) and float(made) > 0):
        raise ValueError(f"{what} must be a finite number above 0, not {value}.")
    return number(what, made)


def not_negative(what: str, value: Any) -> int | float:
    """`value` as a plain number that is finite and at least 0."""
    made = number(what, value)
    if made < 0:
        raise ValueError(f"{what} must be at least 0, not {value}.")
    return made


def share(what: str, value: Any) -> int | float:
    """`value` as a plain number above 0 and at most 1."""
    made: Any = _plain(value)
    if isinstance(made, numbers.Real) and not isinstance(made, bool) and not 0 < cast(Any, made) <= 1:
        raise ValueError(f"{what} must be a share above 0 and up to 1, not {value}.")
    return number(what, made)


def whole(what: str, value: Any, least: int = 1) -> int:
    """`value` as a plain whole number of at least `least`; numpy's integers are taken too, floats never."""
    made = _plain(value)
    if isinstance(made, bool) or not isinstance(made, numbers.Integral):
        raise TypeError(f"{what} must be a whole number, not {type(value).__name__}.")
    if int(made) < least:
        raise ValueError(f"{what} must be at least {least}, not {value}.")
    return int(made)


def seed(value: Any) -> int:
    """A whole number of any size as one of 63 bits, which every generator takes."""
    made = _plain(value)
    if isinstance(made, bool) or not isinstance(made, numbers.Integral):
        raise TypeError(f"seed must be a whole number, not {type(value).__name__}.")
    return int(made) % 2**63


def function(what: str, value: Any) -> Any:
    """Return `value` if it can be called or is None."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be a function, not {type(value).__name__}.")
    return value


def _plain(value: Any) -> Any:
    """A numpy scalar, or an array or tensor without dimensions, as Python's own number; all else as it is."""
    return value.item() if isinstance(value, (Tensor, np.ndarray, np.generic)) and value.ndim == 0 else value


def _limited(value: Any) -> bool:
    """Whether a number is finite, and no integer beyond what a float can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def block(what: str, value: Any) -> Tensor:
    """A tensor, an array or nested lists as a dense tensor of a type that torch computes with, off any graph.

    It shares the memory of `value` where it can. Python's numbers become float64 or int64, so that nothing is rounded.

    Raises:
        TypeError: not numbers, complex numbers, or lists of different lengths.
    """
    try:
        if isinstance(value, (list, tuple)) and value and all(isinstance(part, Tensor) for part in value):
            value = torch.stack([part.detach() for part in value])
        made = value.detach() if isinstance(value, Tensor) else torch.from_numpy(_array(value))
        if made.is_complex():
            raise TypeError("they are complex")
        if made.is_meta:
            raise TypeError("on the meta device there are none")
        made = made.dequantize() if made.is_quantized else made.to_dense()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{what} must be a tensor, an array or nested lists of numbers ({error}).") from error
    return made.clone() if made.is_inference() else made


def _array(value: Any) -> Any:
    """Nested lists or any array as one that `torch.from_numpy` takes without a warning."""
    made = np.asarray(value)
    if made.dtype.kind not in "biufc":
        raise TypeError(f"got {type(value).__name__}")
    if np.ma.is_masked(value):
        raise TypeError("some are masked")
    if made.dtype == np.uint64 and made.size and made.max() > np.iinfo(np.int64).max:
        raise TypeError("some are above 2**63 - 1")
    wide = {"u": np.int64, "f": np.float64}.get(made.dtype.kind, made.dtype)
    known = made.dtype.kind in "bc" or made.dtype in (np.uint8, np.int8, np.int16, np.int32, np.int64)
    if not known and made.dtype not in (np.float16, np.float32, np.float64):
        made = made.astype(wide)
    if not made.dtype.isnative:
        made = made.astype(made.dtype.newbyteorder("="))
    return made if made.flags.writeable and made.flags.c_contiguous else made.copy()


def tensor(what: str, value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`value` (tensor, array or nested list) as a finite tensor of that dtype and device; it may share its memory."""
    return finite(what, block(what, value).to(device=device, dtype=dtype))


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
    """`value`, a vector of class indices below `count` of any integer type, as int64."""
    if value.ndim != 1 or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(
            f"{what} must be class indices: whole numbers of shape [B], not {value.dtype} {list(value.shape)}."
        )
    made = batch(what, value).long()  # torch finds no minimum of its larger unsigned types
    if int(made.min()) < 0 or int(made.max()) >= count:
        raise ValueError(
            f"{what} must lie in 0..{count - 1}, but they reach from {int(made.min())} to {int(made.max())}."
        )
    return made
