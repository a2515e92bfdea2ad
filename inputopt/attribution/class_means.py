"""The mean input of each class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.default_modes import default_modes
from inputopt.search.inputs import floats


@default_modes()
def average(x: Any, y: Any, classes: int | None = None) -> Tensor:
    """The mean input of each class, [n, ...]; 0 for a class without examples.

    Args:
        x: inputs [B, ...].
        y: labels [B].
        classes: number of classes n; one more than the largest label if not given.

    Raises:
        ValueError, TypeError: invalid inputs or labels.
    """
    x = floats("x", x)
    labels = checks.as_tensor(y).to(x.device)
    count = int(labels.max()) + 1 if classes is None else checks.whole("classes", classes)
    labels = checks.classes("y", labels, count)
    if len(labels) != len(x):
        raise ValueError(f"y must hold {len(x)} classes, one per input, not {len(labels)}.")
    total = x.new_zeros(count, *x.shape[1:]).index_add(0, labels, x)
    members = torch.bincount(labels, minlength=count).clamp_min(1).to(x)
    return total / members.reshape(-1, *(1,) * (x.ndim - 1))
