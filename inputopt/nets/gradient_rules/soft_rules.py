"""What replaces operations without a useful derivative: differentiable functions of the same arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from inputopt.nets.gradient_rules.stand_ins import bump, differentiable, mean_size, step

Soft = Callable[..., Any]
"""(width, the operation's arguments) -> a tensor with the gradient to use; None to leave the operation as it is.

Where the stand-in is smooth, `width` says how wide it is, relative to the spread of the arguments.
"""

SHAPED = {
    "sign", "sgn", "heaviside", "gt", "ge", "greater", "greater_equal", "lt", "le", "less", "less_equal", "eq", "ne",
    "not_equal", "one_hot", "topk",
}  # fmt: skip
"""Operations whose stand-in has a width."""

SATURATING = {
    "clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "relu", "relu6", "sigmoid", "tanh", "hardsigmoid", "erf",
    "softsign", "threshold",
}  # fmt: skip
"""Operations whose derivative is zero, or nearly, in a part of their range."""

LEAK = 0.01
"""Share of the gradient that passes an operation that saturates on one side."""

_BOUNDS = {
    "relu6": (0.0, 6.0), "sigmoid": (-1.0, 1.0), "tanh": (-1.0, 1.0), "hardsigmoid": (-3.0, 3.0), "erf": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}  # fmt: skip


def leaking(name: str, width: float, x: Tensor, *others: Any, **options: Any) -> Tensor:
    """A tensor whose gradient is added to that of a saturating operation, so that it is nowhere zero.

    For those that saturate on both sides, a tanh around the middle, `width` times as wide as the arguments are spread.
    """
    limits = _limits(name, others, options)
    if limits is None:
        return LEAK * x
    low, high = limits
    centred = x - (low + high) / 2
    return (high - low) / 2 * torch.tanh(centred / (width * mean_size(centred)))


def _limits(name: str, others: tuple[Any, ...], options: dict[str, Any]) -> tuple[float, float] | None:
    """Between which arguments an operation does not saturate; None if it does on one side only."""
    if name in _BOUNDS:
        return _BOUNDS[name]
    keys = {"clamp": ("min", "max"), "clip": ("min", "max"), "hardtanh": ("min_val", "max_val")}.get(name)
    if keys is None:
        return None
    defaults = (-1.0, 1.0) if name == "hardtanh" else (None, None)
    given = dict(zip(keys, others, strict=False))
    low, high = (given.get(key, options.get(key, default)) for key, default in zip(keys, defaults, strict=True))
    return (float(low), float(high)) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else None


CASTS = {
    "to", "type", "type_as", "float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool",
}  # fmt: skip
"""Conversions of a tensor to another dtype."""


PERIODS = 2
"""Standard deviation of the arguments of a sine, in periods, from which on its derivative is taken as 0."""


def _identity(width: float, x: Any, *others: Any, **options: Any) -> Any:
    return x


def _constant(width: float, x: Any, *others: Any, **options: Any) -> Any:
    return x.detach()


def _sign(width: float, x: Tensor, *others: Any, **options: Any) -> Tensor:
    return torch.tanh(x / (width * mean_size(x)))


def _waves(width: float, x: Tensor, **options: Any) -> Tensor | None:
    """Sines of arguments that span many periods have the mean derivative 0."""
    return x.detach() if float(x.detach().std()) > PERIODS * 2 * torch.pi else None


def _cast(width: float, x: Any, *others: Any, **options: Any) -> Any:
    return x if _to_integer((*others, *options.values())) else None


def _to_integer(values: tuple[Any, ...]) -> bool:
    for value in values:
        dtype = value.dtype if isinstance(value, Tensor) else value
        if isinstance(dtype, torch.dtype) and not dtype.is_floating_point and not dtype.is_complex:
            return True
    return False


def _quotient(width: float, a: Any, b: Any, *, rounding_mode: str | None = "floor", **options: Any) -> Any:
    return None if rounding_mode is None else torch.true_divide(a, b)


def _division(width: float, a: Any, b: Any, *, rounding_mode: str | None = None, **options: Any) -> Any:
    return _quotient(width, a, b, rounding_mode=rounding_mode)


def _bucket(width: float, x: Any, edges: Any, **options: Any) -> Any:
    return _in_edges(x, edges) if isinstance(x, Tensor) and isinstance(edges, Tensor) else None


def _in_edges(x: Tensor, edges: Tensor) -> Tensor:
    return x * (edges.shape[-1] / (edges.amax() - edges.amin()).clamp_min(1e-12)).to(x.dtype)


HARD: dict[str, Soft] = {
    **dict.fromkeys(("round", "floor", "ceil", "trunc", "fix"), _identity),
    **dict.fromkeys(("remainder", "fmod", "mod", "frac"), _constant),
    **dict.fromkeys(("sign", "sgn", "heaviside"), _sign),
    **dict.fromkeys(("sin", "cos"), _waves),
    **dict.fromkeys(("gt", "ge", "greater", "greater_equal"), lambda width, a, b, **options: step(a - b, width)),
    **dict.fromkeys(("lt", "le", "less", "less_equal"), lambda width, a, b, **options: step(b - a, width)),
    **dict.fromkeys(("eq",), lambda width, a, b, **options: bump(a - b, width)),
    **dict.fromkeys(("ne", "not_equal"), lambda width, a, b, **options: 1 - bump(a - b, width)),
    **dict.fromkeys(("floor_divide", "floordiv"), _quotient),
    **dict.fromkeys(("div", "divide"), _division),
    "bucketize": _bucket,
    "searchsorted": lambda width, edges, x, **options: _bucket(width, x, edges),
    **dict.fromkeys(("long", "int", "short", "char", "byte", "bool"), _identity),
    **dict.fromkeys(("to", "type", "type_as"), _cast),
}
"""By name of an operation on floating-point tensors."""


def _soft_and(a: Any, b: Any) -> Any:
    return a * b if differentiable(a) and differentiable(b) else a  # else a mask of bits


def _soft_or(a: Any, b: Any) -> Any:
    return a + b - a * b if differentiable(a) and differentiable(b) else a


def _complement(a: Any) -> Any:
    return 1 - a


INTEGER: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("invert", "bitwise_not", "logical_not"), _complement),
    **dict.fromkeys(("and", "bitwise_and", "logical_and"), _soft_and),
    **dict.fromkeys(("or", "bitwise_or", "logical_or"), _soft_or),
    **dict.fromkeys(("rshift", "bitwise_right_shift"), lambda a, places: a / 2.0**places),
    **dict.fromkeys(("lshift", "bitwise_left_shift"), lambda a, places: a * 2.0**places),
    **dict.fromkeys(("floor_divide", "floordiv"), torch.true_divide),
    **dict.fromkeys(("remainder", "fmod", "mod"), lambda a, *others, **options: a.detach()),
    "div": lambda a, b, **options: torch.true_divide(a, b),
}
"""By name of an operation on integers and booleans, where it needs another form for their floating-point stand-ins."""
