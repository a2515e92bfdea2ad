"""Stands in for what `nets` is about to offer; each function says what replaces it. Remove this file then.

- `box(net, like)`: `net.box(like)`
- `unit(net)`: `net.unit`
- `search_dtype(net)`: `net.dtype`
- `ambient()`: `inputopt.nets.ambient.ambient()`
- `asking(shape)`: nothing, the forward's own sentences
- `numbers(x)`: `check_problem`, once it takes arrays, tensors of half precision and those of inference mode
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inputopt.nets.frozen import Frozen


def box(net: Frozen, like: Tensor) -> tuple[Tensor, Tensor]:
    """The bounds as tensors of the dtype and device of `like` [B, ...] that broadcast with it."""
    low, high = (torch.as_tensor(bound, dtype=like.dtype, device=like.device) for bound in net.bounds)
    each = (-1, *(1,) * (like.ndim - 2))  # one number a channel
    return tuple(bound.reshape(each) if bound.ndim == 1 else bound for bound in (low, high))  # type: ignore[return-value]


def unit(net: Frozen) -> float:
    """The largest finite width of the bounds, 1 if there is none."""
    low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in net.bounds)
    widths = (high - low).reshape(-1)
    finite = widths[widths.isfinite()]
    return float(finite.max()) if len(finite) else 1.0


def search_dtype(net: Frozen) -> torch.dtype:
    """What searches run in: float64 for networks of float64, else float32."""
    return torch.float64 if net.dtype == torch.float64 else torch.float32


@contextmanager
def ambient() -> Iterator[None]:
    """Inside, gradients are on, and inference mode and autocast are off, whatever is on outside."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def numbers(x: Any) -> Any:
    """Inputs as a tensor that a search can begin with: arrays are copied, and so is what inference mode made."""
    if isinstance(x, np.ndarray):
        x = torch.tensor(x)
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return x
    x = x.detach().clone() if x.is_inference() else x.detach()
    return x.float() if x.element_size() < 4 else x


@contextmanager
def asking(shape: Sequence[int]) -> Iterator[None]:
    """What a model raises because it does not take inputs of that shape becomes a ValueError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(f"The model does not take inputs of shape {list(shape)} ({error}).") from error
