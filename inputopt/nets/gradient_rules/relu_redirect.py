"""Redirected ReLU gradients, for starting points at which the gradient is zero (after Olah et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from inputopt.nets.dispatch_mode import DispatchMode

_RELU_BACKWARDS = {torch.ops.aten.threshold_backward.default, torch.ops.aten.hardtanh_backward.default}


class ReLURedirect(DispatchMode):
    """Mode in which ReLU and ReLU6 pass the gradient through unchanged, like the identity (after Olah et al., 2017).

    Where all units are inactive the gradient is zero and gives a search no direction; the redirected one points to
    where a unit becomes active.
    """

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _RELU_BACKWARDS:
            return args[0].clone()
        return func(*args, **(kwargs or {}))
