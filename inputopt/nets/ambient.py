"""The modes of torch that surround a call: what is on outside must not change what is computed inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch

from inputopt.nets.randomness import numbered

_DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "xla", "mtia")
"""The types of device that autocast knows."""


_NOTHING = nullcontext()


def isolated(device: torch.device | None = None) -> AbstractContextManager[None]:
    """Inference mode and autocast are off inside; whether gradients are recorded stays as it is outside.

    Inference mode counts as recording none. All of it belongs to the calling thread, and is restored afterwards.

    Args:
        device: where all that is computed inside will be, which spares asking for all others.
    """
    if torch.is_inference_mode_enabled():
        return _isolated()
    if device is None:
        casts = any(torch.is_autocast_enabled(kind) for kind in _DEVICES)
    else:
        casts = torch.is_autocast_enabled(device.type)
    return _isolated() if casts else _NOTHING


@contextmanager
def _isolated() -> Iterator[None]:
    recording = torch.is_grad_enabled()
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))  # turns gradients on as well
            stack.enter_context(torch.set_grad_enabled(recording))
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def ambient() -> Iterator[None]:
    """Inside, gradients are recorded, and inference mode and autocast are off, whatever is on outside.

    Networks that draw random numbers draw them by keys, so that the same call gives the same, and moves no generator.

    For whatever is called from outside the library, as a context or a decorator, which keeps signature and docstring:

    >>> @ambient()
    ... def records() -> bool:
    ...     return torch.is_grad_enabled()
    >>> with torch.no_grad():
    ...     records()
    True
    """
    with isolated(), torch.enable_grad(), numbered():
        yield
