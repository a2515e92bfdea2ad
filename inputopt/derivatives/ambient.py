"""Derivatives are the same whatever modes of torch the caller has switched on around them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")

DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Kinds of device that autocast may be on for."""


@contextmanager
def ordinary_modes() -> Iterator[None]:
    """Inside, gradients are recorded, inference mode is off, and autocast is off everywhere; all is put back after.

    All three belong to the thread. Autocast that a network switches on in its own forward stays on there.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in DEVICES:
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def in_ordinary_modes(function: Callable[Arguments, Found]) -> Callable[Arguments, Found]:
    """Decorate a public function: it runs inside `ordinary_modes`."""

    @functools.wraps(function)
    def inside(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Found:
        with ordinary_modes():
            return function(*args, **kwargs)

    return inside
