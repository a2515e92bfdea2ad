"""Rectifiers whose derivative lets everything through, for starts at which a network is dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from inputopt.nets.dispatch_mode import DispatchMode

_RECTIFIERS = {torch.ops.aten.threshold_backward.default, torch.ops.aten.hardtanh_backward.default}


class Redirected(DispatchMode):
    """Inside, a ReLU or ReLU6 passes a derivative on as if it were the identity (after Olah et al., 2017).

    Where a unit is dead, its derivative is zero and a search has nowhere to go; this one still points to where the unit
    would come alive.
    """

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _RECTIFIERS:
            return args[0].clone()
        return func(*args, **(kwargs or {}))
