"""Checks of inputs, labels, ids and targets that run before every search."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.nets.class_names import indices_of
from inputopt.nets.frozen import Frozen
from inputopt.search.network_traits import NetworkTraits, find_traits
from inputopt.search.problem import Problem, Region

Inputs: TypeAlias = Tensor | np.ndarray[Any, Any]
"""A tensor or an array."""

SLACK = 8
"""Units in the last place by which an input may lie outside the bounds, which are often rounded themselves."""


class InputoptWarning(UserWarning):
    """Warning that a result may be unreliable; issued by this library, not by the user's model."""


def floats(what: str, value: Any) -> Tensor:
    """Detached copy of a floating-point tensor or array [B, ...], as float32 or float64.

    Half precision is converted to float32, which is exact.

    Raises:
        TypeError: not a dense tensor or array of floating-point numbers.
        ValueError: NaN or infinity, or an empty batch.
    """
    if isinstance(value, np.ndarray):
        value = _from_array(value)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(f"{what} must be a tensor of floating-point numbers{_instead_of_floats(what, value)}.")
    if value.layout != torch.strided or value.is_nested or value.is_meta:
        raise TypeError(f"{what} must be a dense tensor with values; convert it with .to_dense().")
    if value.ndim and not value.numel() and len(value):
        raise ValueError(f"{what} must not be empty, but has shape {list(value.shape)}.")
    made = value.detach().to(torch.float64 if value.dtype == torch.float64 else torch.float32, copy=True)
    return checks.batch(what, checks.finite(what, made))


def _instead_of_floats(what: str, value: Any) -> str:
    """What was given instead of floating-point numbers, and what to do."""
    if isinstance(value, Tensor) and value.ndim == 1 and what == "x":
        return f", not {value.dtype} {list(value.shape)}; the order is model, x, y"
    if isinstance(value, Tensor) and value.dtype == torch.uint8:
        return f"; scale the levels into the model's bounds, such as {what} / 255"
    if isinstance(value, (list, tuple)) and all(isinstance(each, Tensor) for each in value):
        return f", not a {type(value).__name__} of tensors; join them with torch.stack({what})"
    if not isinstance(value, (Tensor, np.ndarray, list, tuple)):
        return f", not {type(value).__name__}; give the tensors of a batch, such as those of x, y = next(iter(loader))"
    return f"; convert it with torch.as_tensor({what}).float()"


def _from_array(value: np.ndarray[Any, Any]) -> Tensor | None:
    """Copy an array of any byte order to a tensor; None for masked arrays and dtypes that torch does not have."""
    if isinstance(value, np.ma.MaskedArray) or value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
        return None
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))


def float_tensor(what: str, value: Any, net: Frozen) -> Tensor:
    """As `floats`, on the search's device and in its dtype: float64 if the network or the value is float64.

    Raises:
        TypeError, ValueError: as `floats`; also ValueError for shape [B] without further dimensions.
    """
    value = floats(what, value)
    if value.ndim < 2:
        raise ValueError(
            f"{what} must have shape [B, ...], one example per row, not {list(value.shape)}; give scalars as [B, 1]."
        )
    wide = torch.float64 if torch.float64 in (value.dtype, net.dtype) else torch.float32
    return value.to(device=value.device if net.first_weights() is None else net.device, dtype=wide)


def box_of(net: Frozen, x: Tensor, given: torch.dtype) -> tuple[Tensor, Tensor]:
    """The network's bounds as tensors [B, ...], widened to contain x, so that low <= x <= high holds exactly.

    x may exceed the bounds by the rounding error of the dtype in which it was passed, `given`.

    Raises:
        ValueError: x lies outside the bounds by more than rounding.
    """
    low, high = (bound.expand(x.shape) for bound in net.box(x))
    least, most = x.aminmax()
    if bool((least >= net.box(x)[0].max()) & (most <= net.box(x)[1].min())):
        return low, high
    rounding = max(torch.finfo(torch.float32).eps, torch.finfo(given).eps)
    slack = SLACK * rounding * torch.maximum(*(bound.abs().nan_to_num(posinf=0.0) for bound in (low, high)))
    outside = (x < low - slack) | (x > high + slack)
    if bool(outside.any()):
        lowest, highest = float(net.box(x)[0].min()), float(net.box(x)[1].max())
        raise ValueError(
            f"x must lie in the model's bounds {lowest:g}..{highest:g}, but ranges from {float(x.min()):g} to "
            f"{float(x.max()):g}; scale it, or freeze the model with other bounds{_bytes_hint(x)}."
        )
    return torch.minimum(low, x), torch.maximum(high, x)


def _bytes_hint(x: Tensor) -> str:
    """How to give the bounds of inputs that look like 8-bit levels; empty for others."""
    least, most = (float(end) for end in x.aminmax())
    return ", such as bounds=(0, 255)" if least >= 0 and 16 < most <= 255 else ""


def check_problem(
    net: Frozen, x: Any, label: Any = None, ids: Any = None, target: Any = None, *, label_name: str = "labels"
) -> tuple[Problem, NetworkTraits]:
    """Check inputs, labels, ids and targets and build a `Problem` within the network's bounds; also find its traits.

    Args:
        net: the network.
        x: inputs [B, ...] within the network's bounds.
        label: class indices [B], of any integer dtype, or names of the network's classes; the network's predictions if
            not given.
        ids: keys of the examples' random numbers, [B]; the position in the batch if not given.
        target: target classes, a number or [B], or names of the network's classes; untargeted if not given.
        label_name: what error messages call the labels.

    Raises:
        TypeError: x is not a tensor of floating-point numbers.
        ValueError: NaN, an empty batch, inputs outside the bounds, or labels of the wrong shape or range.
    """
    given, x = x, float_tensor("x", x, net)
    low, high = box_of(net, x, checks.as_tensor(given).dtype)
    ids = torch.arange(len(x), device=x.device) if ids is None else integers("ids", ids, x)
    given_classes = {what: each for what, each in ((label_name, label), ("targets", target)) if each is not None}
    made = {what: integers(what, each, x) for what, each in given_classes.items() if not _has_names(each)}
    traits = find_traits(net, x)  # the first run of the network
    for what, each in given_classes.items():
        if _has_names(each):
            made[what] = integers(what, indices_of(each, net.facts.class_names, traits.classes), x)
    found = {what: checks.classes(what, each, traits.classes) for what, each in made.items()}
    label, target = found.get(label_name), found.get("targets")
    label = _predictions(net, x) if label is None else label
    region = Region(Region.everywhere(x).eps, low, high, unit=net.unit)
    return Problem(x, label, ids, target, region), traits


def _has_names(given: Any) -> bool:
    """Whether some of the given classes are text."""
    return isinstance(given, str) or (isinstance(given, (list, tuple)) and any(isinstance(each, str) for each in given))


@torch.no_grad()
def _predictions(net: Frozen, x: Tensor) -> Tensor:
    logits = torch.cat([net(part) for part in torch.split(x, 512)])
    if bool(logits.isnan().any()):
        raise ValueError("The model's logits are NaN for some inputs, so it predicts no class there; give labels.")
    return logits.argmax(1)


def integers(what: str, given: Any, x: Tensor) -> Tensor:
    """Integers of any dtype (tensor, array, list, or for targets a single number) as int64 [B], one for each row of x.

    Raises:
        ValueError, TypeError: not integers, or not as many as x has rows.
    """
    try:
        made = checks.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{what} must be whole numbers ({error}).") from error
    kind = "whole numbers" if what == "ids" else "class indices"
    made = made.expand(len(x)) if made.ndim == 0 and what == "targets" else made
    if made.ndim and made.shape == x.shape and made.ndim > 2:
        raise ValueError(f"{what} must be {kind}, one per input, not inputs of shape {list(x.shape)}; give x, then y.")
    if made.shape == (len(x), *made.shape[1:2]) and made.ndim == 2:
        convert = ".flatten()" if made.shape[1] == 1 else ".argmax(1)"
        raise ValueError(
            f"{what} must be {len(x)} {kind}, one per input, not shape {list(made.shape)}; convert them with {convert}."
        )
    if made.is_floating_point() or made.is_complex() or made.dtype == torch.bool:
        raise ValueError(f"{what} must be {kind}: whole numbers, not {made.dtype}; convert them with .long().")
    if made.shape != (len(x),):
        batch = "; give a batch, such as x[None] and y[None]" if made.ndim == 0 else ""
        raise ValueError(f"{what} must be {len(x)} {kind}, one per input, not shape {list(made.shape)}{batch}.")
    return made.detach().to(device=x.device, dtype=torch.int64, copy=True)  # results must not share memory
