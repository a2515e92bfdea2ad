"""Checks of a model before it is frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from inputopt import checks
from inputopt.nets.inference.forward import HALF


def check_model(model: Any) -> None:
    """Check that `model` can be frozen.

    Raises:
        TypeError: not a module or function.
        ValueError: lazy layers without weights, weights on the meta device, or weights that are not finite.
    """
    if isinstance(model, type):
        raise TypeError(
            f"model must be a torch module or a function, not the class {model.__name__}; create an instance."
        )
    if not callable(model):
        raise TypeError(
            f"model must be a torch module or a function, not {type(model).__name__}; it comes first, before inputs "
            "and labels."
        )
    if not isinstance(model, nn.Module):
        return
    weights = [*model.parameters(), *model.buffers()]
    if any(nn.parameter.is_lazy(each) for each in weights):
        raise ValueError("The model has lazy layers that have no weights yet; run it once on an input first.")
    if any(each.is_meta for each in weights):
        raise ValueError("The model's weights are on the meta device, where they have no values; load them first.")
    for parameter in model.parameters():
        if parameter.dtype in (*HALF, torch.float32, torch.float64):
            checks.finite("the network's weights", parameter)
