"""What made a result, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from inputopt.images import Bounds
from inputopt.nets.frozen import Frozen
from inputopt.nets.naming import kind_of

MOST_NUMBERS = 4096
"""Largest number of elements of a tensor whose values are recorded among the settings."""

STARTED = "started in target class"
"""Key of the number of examples whose prediction is the target class before the first step, in `Result.made_by`."""


def provenance(made_by: str, net: Frozen, norm: str, seed: int | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What made a result, as JSON values: the function or attack, its norm, seed and settings, the model, its bounds.

    The weights are not hashed, which would take longer than a short attack.
    """
    return {
        "made by": made_by,
        "norm": norm,
        "seed": seed,
        "settings": {name: plain(value) for name, value in settings.items()},
        "model": net.name or net.kind,
        "bounds": [bound.tolist() if isinstance(bound, Tensor) else bound for bound in net.bounds],
    }


def settings_of(config: Any) -> dict[str, Any]:
    """The fields of a dataclass of settings by name."""
    return {each.name: getattr(config, each.name) for each in fields(config)}


def plain(value: Any) -> Any:
    """A setting as a JSON value; a function as its name, a large tensor as its dtype and shape."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        large = value.numel() > MOST_NUMBERS
        return f"{value.dtype} {list(value.shape)}" if large else value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, **{name: plain(each) for name, each in settings_of(value).items()}}
    return kind_of(value)


def bounds_of(made_by: Mapping[str, Any]) -> Bounds | None:
    """The bounds recorded with a result; None if they are not."""
    if "bounds" not in made_by:
        return None
    low, high = (torch.tensor(each) if isinstance(each, list) else float(each) for each in made_by["bounds"])
    return low, high
