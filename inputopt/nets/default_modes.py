"""Context managers that make results independent of the caller's torch modes (inference mode, autocast, no_grad)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch

from inputopt.nets.randomness import numbered_forwards

_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "xla", "mtia")
"""Device types that autocast supports."""


_NO_CHANGE = nullcontext()


def isolated(device: torch.device | None = None) -> AbstractContextManager[None]:
    """Context in which inference mode and autocast are off; the grad mode stays as it is outside.

    Inference mode counts as no_grad. Only the calling thread is affected, and its modes are restored afterwards.

    Args:
        device: the device of all computations inside, so that autocast is checked for this device only; default: all.
    """
    if torch.is_inference_mode_enabled():
        return _isolated()
    if device is None:
        autocast_on = any(torch.is_autocast_enabled(kind) for kind in _DEVICES)
    else:
        autocast_on = torch.is_autocast_enabled(device.type)
    return _isolated() if autocast_on else _NO_CHANGE


@contextmanager
def _isolated() -> Iterator[None]:
    recording = torch.is_grad_enabled()
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))  # also enables gradients
            stack.enter_context(torch.set_grad_enabled(recording))
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def default_modes() -> Iterator[None]:
    """Context for public functions: gradients on, inference mode and autocast off, whatever the caller's modes are.

    Each forward of a network that draws random numbers is seeded with its number within the call, so that the same call
    gives the same result; the global generators are left unchanged.

    Also usable as a decorator, which keeps the signature and docstring:

    >>> @default_modes()
    ... def records() -> bool:
    ...     return torch.is_grad_enabled()
    >>> with torch.no_grad():
    ...     records()
    True
    """
    with isolated(), torch.enable_grad(), numbered_forwards():
        yield
