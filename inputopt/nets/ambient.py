"""What is set around a call does not reach inside: inference mode, switched-off gradients and autocast."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")


def undisturbed(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function that runs with gradients on, and without inference mode and autocast, whatever is set around it."""

    @functools.wraps(function)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with default_modes():
            return function(*args, **kwargs)

    return run


@contextmanager
def default_modes() -> Iterator[None]:
    """Inside, gradients are on, and inference mode and autocast are off."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps", "xpu"):
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
