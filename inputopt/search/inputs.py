"""What every recipe asks of its inputs, before any work starts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.frozen import Frozen
from inputopt.search.problem import Problem
from inputopt.search.shim import box

PROBABILITIES = "The model seems to return probabilities: attacks want logits, whose gradients do not fade."


def looks_like_probabilities(logits: Tensor) -> bool:
    """Whether every row of [B, n] is at least 0 and sums to 1."""
    sums = logits.sum(1)
    return bool((logits >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-4))


def check_problem(net: Frozen, x: Any, label: Any, ids: Any = None, target: Any = None) -> Problem:
    """Inputs, labels and ids as a `Problem`.

    Args:
        net: the network.
        x: [B, ...] numbers inside the network's bounds.
        label: class indices [B].
        ids: what randomness is keyed by, [B]; the position if not given.
        target: class indices to reach, a number or [B]; none if not given.

    Raises:
        TypeError: x is not a tensor of floating-point numbers.
        ValueError: NaN, an empty batch, inputs outside the bounds, labels of a wrong shape or range.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("x must be a tensor of floating-point numbers; convert it with torch.as_tensor(x).float().")
    x = checks.batch("x", checks.finite("x", x.detach()))
    low, high = box(net, x)
    if bool((x < low).any()) or bool((x > high).any()):
        raise ValueError(
            f"x must lie in the model's bounds {float(low.min()):g}..{float(high.max()):g}, but reaches from "
            f"{float(x.min()):g} to {float(x.max()):g}; scale it, or freeze the model with other bounds."
        )
    classes = count_classes(net, x)
    label = _class_indices("labels", label, x, classes)
    if target is not None:
        target = torch.as_tensor(target, device=x.device)
        target = _class_indices("targets", target.expand(len(x)) if target.ndim == 0 else target, x, classes)
        if bool((target == label).any()):
            raise ValueError("A target must differ from the label; leave the target out to reach any other class.")
    ids = torch.arange(len(x)) if ids is None else torch.as_tensor(ids)
    if ids.shape != (len(x),) or ids.is_floating_point():
        raise ValueError(f"ids must be {len(x)} whole numbers, one an input, not {ids.dtype} {list(ids.shape)}.")
    return Problem(x, label, ids.to(device=x.device, dtype=torch.int64), target)


def _class_indices(what: str, given: Any, x: Tensor, classes: int) -> Tensor:
    given = torch.as_tensor(given, device=x.device)
    if given.shape != (len(x),):
        raise ValueError(f"{what} must be {len(x)} class indices, one an input, not shape {list(given.shape)}.")
    return checks.classes(what, given, classes)


def count_classes(net: Frozen, x: Tensor) -> int:
    """How many classes the network tells apart.

    Raises:
        ValueError: it does not take such inputs, or tells fewer than two apart.
    """
    try:
        with torch.no_grad():
            logits = net(x[:1].clone())  # a foreign model may write to what it is given
    except RuntimeError as error:
        raise ValueError(f"The model does not take inputs of shape {list(x.shape[1:])} ({error}).") from error
    if bool(logits.isnan().any()):
        raise ValueError("The model's logits are NaN; check its weights and what it expects its inputs to be.")
    count = logits.shape[1]
    if count < 2:
        raise ValueError(
            "The model has a single output, so there is no class to leave or reach; give one with two or more."
        )
    return count
